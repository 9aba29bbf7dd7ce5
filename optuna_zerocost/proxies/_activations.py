"""The codes of ReLU-like activations: which samples switch which units on.

An activation is ReLU-like if it is positive for positive inputs and (nearly) flat for negative
ones: ReLU, ReLU6, LeakyReLU, PReLU, RReLU, ELU, CELU, SELU, GELU, SiLU, Mish and Hardswish. Its
code is ``input > 0``. Calls are seen whether a module, a function or a method makes them, because
all of these go through torch's function protocol; only those inside fused kernels
(``nn.RNN(nonlinearity="relu")``, TorchScript) are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._errors import NetworkError
from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named

__all__ = ["ActivationWatch", "agreement", "no_activation"]

_RELU_LIKE = "relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish hardswish".split()
_COLUMNS = 2**20  # at a time: bounds the memory, and float32 counts exactly up to 2**24


class ActivationWatch(FunctionMode):
    """Context manager: inside, ``note(codes, result)`` is called after each ReLU-like activation.

    Codes are booleans, (N, units), for N samples; the result is the activation's output.
    """

    def __init__(self, samples: int, readers: str, *, note: Callable[..., None]) -> None:
        super().__init__()
        self._samples = samples
        self._readers = readers
        self._note = note

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        kind = name.removesuffix("_")  # of an operation in place
        is_relu_like = kind in _RELU_LIKE
        if kind == "hardtanh":  # which is what nn.ReLU6 calls
            is_relu_like = (args[1] if len(args) > 1 else named.get("min_val", -1.0)) == 0
        if not is_relu_like:
            return func(*args, **named)
        input: Tensor = args[0] if args else named["input"]
        if input.dim() == 0 or input.size(0) != self._samples:
            raise NetworkError(
                f"an activation has inputs of shape {tuple(input.shape)}, and {self._readers} "
                f"compare its {self._samples} samples row by row; let the first dimension be the "
                "batch throughout the network (batch_first=True)"
            )
        # Before the call, for an activation in place overwrites its input.
        codes = input.detach().flatten(1) > 0 if input.dim() > 1 else input.detach()[:, None] > 0
        result = func(*args, **named)
        self._note(codes, result)
        return result


def agreement(codes: Tensor) -> Tensor:
    """Return for each pair of samples in how many units they agree, N×N, in float64 on the CPU.

    That is XXᵀ + (1−X)(1−X)ᵀ for codes X of zeros and ones; with signs S = 2X − 1 it is
    (SSᵀ + units) / 2, one product instead of two.
    """
    signs = torch.zeros(len(codes), len(codes), dtype=torch.float64)
    for part in torch.split(codes, _COLUMNS, dim=1):
        values = part.float().mul_(2).sub_(1)
        signs += (values @ values.T).cpu()
    return (signs + codes.size(1)) / 2


def no_activation(network: nn.Module, readers: str) -> NetworkError:
    """Return the error that says that a network without such activations has no codes."""
    return NetworkError(
        f"{type(network).__name__} calls no ReLU-like activation, and {readers} reads their "
        "signs; ReLU, GELU, SiLU and their kin count"
    )
