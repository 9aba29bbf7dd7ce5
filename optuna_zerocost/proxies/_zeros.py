"""Scores that are 0 for a reason that has nothing to do with the architecture."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from optuna_zerocost.proxies._failures import is_out_of_memory
from optuna_zerocost.proxies._flow_pass import FLOW
from optuna_zerocost.proxies._pass import Request
from optuna_zerocost.proxies._registry import Proxy

__all__ = ["ConstantScoreWarning", "warn_of_zeros"]


class ConstantScoreWarning(UserWarning):
    """A score is 0 for every architecture of this kind, and so tells none from another."""


def warn_of_zeros(request: Request, zeros: Sequence[Proxy]) -> None:
    """Warn if the scores of ``zeros``, which are 0, are so for a reason that can be named.

    A network whose output no input reaches is none: that 0 is what it deserves. The network may
    run once, and the caller restores its state.
    """
    reason, readers = _zero_weight(request), [proxy.name for proxy in zeros]
    if not reason:
        readers = [proxy.name for proxy in zeros if proxy.source is FLOW]
        reason = _flow_that_ends(request) if readers else ""
    if reason:
        warnings.warn(
            f"{', '.join(readers)} of {type(request.network).__name__} came out as 0, as for "
            f"every architecture of this kind: {reason}",
            ConstantScoreWarning,
            stacklevel=3,
        )


def _zero_weight(request: Request) -> str:
    for weight in request.structure.weights:
        if not any(bool(parameter.detach().any()) for parameter in weight.parameters):
            return (
                f"all values of {weight.name!r} are 0, and stop what would flow through them. "
                "Initialise that layer otherwise where networks are scored, or choose a proxy "
                "that draws weights of its own (swap, zen)"
            )
    return ""


def _flow_that_ends(request: Request) -> str:
    request.structure.set_mode(training=False)
    try:
        with torch.no_grad():
            output = request.forward(request.batch.copied())
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return ""
    if any(_sums_to_one(output, dim) for dim in {1, output.dim() - 1} if 0 < dim < output.dim()):
        return (
            "it ends in a softmax, whose outputs sum to 1 whatever comes before. Score logits: "
            "leave the softmax to the loss, or pass forward_fn, which returns what goes into it"
        )
    if output.dim() > 0 and len(output) > 1 and bool((output != output[:1]).any()):
        return (
            "its outputs differ from sample to sample, but an input of ones comes out as zeros "
            "on the way, as where inputs are normalised inside the network (x - x.mean()). "
            "Normalise them before the network, or by a layer of torch.nn, which is bypassed"
        )
    return ""


def _sums_to_one(output: Tensor, dim: int) -> bool:
    sums = output.double().sum(dim)
    close = torch.allclose(sums, torch.ones_like(sums), atol=1e-2)
    return output.size(dim) > 1 and bool((output >= 0).all()) and close
