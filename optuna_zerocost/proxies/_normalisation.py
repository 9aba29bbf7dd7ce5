"""Networks without their normalisation, for passes of a single input."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn

from optuna_zerocost.proxies._structure import NORMALISATIONS, Structure
from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named

__all__ = ["normalisation_bypassed"]

_FUNCTIONS = frozenset(
    "batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm".split()
)


@contextlib.contextmanager
def normalisation_bypassed(structure: Structure) -> Iterator[None]:
    """Context manager: inside, normalisation layers return a copy of their input.

    A copy, since what follows a normalisation layer in place must not write into what precedes
    it. A forward hook could not do this: the layer would still run before it, and BatchNorm
    without running statistics raises for a batch of one with 1×1 maps.

    A subclass with a forward of its own may take other arguments, add, permute, activate or return
    several outputs. Its forward is run, and of what it calls the normalisation alone is bypassed.
    """
    layers = structure.of_kind(*NORMALISATIONS)
    own = [
        {key: vars(layer)[key] for key in ("forward",) if key in vars(layer)} for layer in layers
    ]
    try:
        for layer in layers:
            is_plain = _definer(type(layer)).__module__.startswith("torch.")
            bypassed = _copied if is_plain else partial(_without_normalising, layer)
            vars(layer)["forward"] = bypassed
        yield
    finally:
        for layer, forward in zip(layers, own, strict=True):
            vars(layer).pop("forward", None)
            vars(layer).update(forward)


def _definer(kind: type) -> type:
    return next(cls for cls in kind.__mro__ if "forward" in vars(cls))


def _copied(input: Tensor, *_: Any) -> Tensor:
    return input.clone()


def _without_normalising(layer: nn.Module, *args: Any, **named: Any) -> Any:
    with _Bypass() as bypass:
        result = type(layer).forward(layer, *args, **named)
    if bypass.met:
        return result
    # It normalises by hand.
    input = next((v for v in (*args, *named.values()) if isinstance(v, Tensor)), None)
    is_alike = isinstance(result, Tensor) and input is not None and result.shape == input.shape
    return input.clone() if is_alike and input is not None else result


class _Bypass(FunctionMode):
    """Context manager: inside, functions that normalise return a copy of their input."""

    met = False

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        if name not in _FUNCTIONS:
            return func(*args, **named)
        self.met = True
        input: Tensor = args[0] if args else named["input"]
        return input.clone()
