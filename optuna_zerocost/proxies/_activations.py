"""The codes of ReLU-like activations: which samples switch which units on.

An activation is ReLU-like if it is positive for positive inputs and (nearly) flat for negative
ones: ReLU, ReLU6, LeakyReLU, PReLU, RReLU, ELU, CELU, SELU, GELU, SiLU, Mish and Hardswish. Its
code is ``input > 0``. Calls are seen whether a module, a function or a method makes them, because
all of these go through torch's function protocol; so is Swish that is written by hand, as
``x * sigmoid(x)`` or ``x * sigmoid(1.702 * x)``. Only those inside fused kernels
(``nn.RNN(nonlinearity="relu")``, TorchScript) are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from optuna_zerocost.proxies._errors import NetworkError
from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named

__all__ = ["ActivationWatch", "agreement", "no_activation"]

_RELU_LIKE = "relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish hardswish".split()
_PRODUCTS = frozenset("mul mul_ multiply multiply_ __mul__ __rmul__ __imul__".split())
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
        # Of a sigmoid, or a positive multiple, what it was computed from.
        self._gates: Any = WeakIdKeyDictionary()
        self._multiples: Any = WeakIdKeyDictionary()

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        kind = name.removesuffix("_")  # of an operation in place
        is_relu_like = kind in _RELU_LIKE
        if kind == "hardtanh":  # which is what nn.ReLU6 calls
            is_relu_like = (args[1] if len(args) > 1 else named.get("min_val", -1.0)) == 0
        gated = self._gated(args) if name in _PRODUCTS else None
        if not is_relu_like and gated is None:
            result = func(*args, **named)
            self._follow(kind, args, result)
            return result
        input: Tensor = gated if gated is not None else args[0] if args else named["input"]
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

    def _gated(self, args: Arguments) -> Tensor | None:
        """Return x if these are the factors x and sigmoid(x), in either order."""
        for one, other in (args, args[::-1]) if len(args) == 2 else ():
            if isinstance(one, Tensor) and self._gates.get(one) is other:
                return other if isinstance(other, Tensor) else None
        return None

    def _follow(self, kind: str, args: Arguments, result: object) -> None:
        if not args or not isinstance(result, Tensor):
            return
        if kind == "sigmoid" and result is not args[0]:
            self._gates[result] = self._multiples.get(args[0], args[0])
        elif kind in _PRODUCTS and len(args) == 2:
            for factor, tensor in (args, args[::-1]):
                if isinstance(factor, (int, float)) and factor > 0 and result is not tensor:
                    self._multiples[result] = tensor


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
