"""Errors of scoring a network, one class for each kind of cure."""

from __future__ import annotations

__all__ = [
    "BatchError",
    "LabelsError",
    "NetworkError",
    "OutOfMemoryError",
    "OutputError",
    "PassError",
    "ProxyDefinitionError",
    "ProxyError",
    "ProxyFunctionError",
    "SecondDerivativeError",
    "UndefinedScoreError",
    "UnknownProxyError",
]


class ProxyError(ValueError):
    """Base class of every error that scoring a network raises on its own account."""


class UnknownProxyError(ProxyError):
    """No proxy is registered under the name that was asked for."""


class ProxyDefinitionError(ProxyError):
    """A proxy is declared in a contradictory way, or its name is already taken."""


class BatchError(ProxyError):
    """The inputs of the minibatch cannot be used: their form, their size or their values."""


class LabelsError(ProxyError):
    """The labels of the minibatch are missing, or do not fit the network's output."""


class NetworkError(ProxyError):
    """The network cannot be scored as it is: its weights are absent, unready or not finite."""


class OutputError(ProxyError):
    """The network's output, or the loss of it, is not a tensor of the expected kind."""


class PassError(ProxyError):
    """The network, or the loss function, raised during a pass; ``__cause__`` is what it raised."""


class ProxyFunctionError(ProxyError):
    """A proxy's own function raised; ``__cause__`` is what it raised."""


class OutOfMemoryError(PassError):
    """A pass needs more memory than there is.

    No pass is repeated with a smaller batch, for BatchNorm's statistics, and with them the scores,
    are those of the batch.
    """


class SecondDerivativeError(PassError):
    """A proxy needs second derivatives and an operation of the network has none."""


class UndefinedScoreError(ProxyError):
    """The proxy has no finite value for this network and minibatch.

    ``not_finite`` says whether activations or gradients that are NaN or infinite are why.
    """

    def __init__(self, message: str, *, not_finite: bool = False) -> None:
        super().__init__(message)
        self.not_finite = not_finite
