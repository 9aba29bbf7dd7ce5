"""Sensitivity of the features of a network with Gaussian weights to its inputs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from optuna_zerocost.proxies._errors import BatchError, NetworkError, UndefinedScoreError
from optuna_zerocost.proxies._initialise import draw_weights
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import is_number, widened
from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named

__all__ = ["FEATURE_CHANGE", "RUNNING_VARIANCES", "zen"]


class NoisePass(Pass):
    """Two forwards in train mode, on inputs x and x + 0.01ε, both from N(0, 1); no gradients."""

    name = "noise"

    def run(self, request: Request) -> Measured:
        readers = request.who_reads(request.readers)
        inputs, noise = request.batch.gaussian(), request.batch.gaussian()
        if not any(is_number(tensor) for tensor in inputs.tensors()):
            raise BatchError(
                "the inputs are all integers, to which no noise can be added, and "
                f"{readers} compares features with and without; choose other proxies"
            )
        modules = request.structure.modules
        normalised = [m for m in modules if isinstance(getattr(m, "running_var", None), Tensor)]
        if not normalised:
            raise NetworkError(
                f"{type(request.network).__name__} has no BatchNorm with running statistics, "
                f"without which {readers} means nothing; choose other proxies"
            )
        draw_weights(request, kaiming=False)
        with torch.no_grad():
            before = self._features(request, inputs.copied())
            after = self._features(request, inputs.plus(noise, 0.01))
        change = (before - after).abs().flatten(1).double().sum(1)
        variances = tuple(widened(module.get_buffer("running_var")) for module in normalised)
        return Measured({FEATURE_CHANGE: change, RUNNING_VARIANCES: variances})

    def _features(self, request: Request, inputs: Any) -> Tensor:
        watch = _PoolingWatch(request.batch.size)
        with watch:
            request.forward_in_train_mode(inputs, samples=request.batch.size)
        if watch.features is None:
            raise NetworkError(
                f"{type(request.network).__name__} never pools its features to one position, and "
                f"{request.who_reads(request.readers)} reads those before the global pooling; "
                "choose other proxies for a network that flattens them"
            )
        return widened(watch.features)


_NOISE_PASS = NoisePass()

FEATURE_CHANGE: Quantity[Tensor] = Quantity(
    "feature change",
    _NOISE_PASS,
    "for each sample Σ|f(x) − f(x + 0.01ε)|, f the features before the global pooling, (N,)",
)
RUNNING_VARIANCES: Quantity[tuple[Tensor, ...]] = Quantity(
    "running variances",
    _NOISE_PASS,
    "the running variance of each BatchNorm layer after both forwards, (C,)",
)


@register(
    "zen",
    reads=(FEATURE_CHANGE, RUNNING_VARIANCES),
    summary="log mean_n Σ|f(x) − f(x + 0.01ε)| + Σ_BN log √mean(running variance)",
    paper="Lin et al., ICCV 2021",
    fails="no BatchNorm with running statistics; parametrised weights",
)
def zen(measured: Measured) -> float:
    """Return log mean_n Σ|f(x) − f(x + 0.01ε)| + Σ_BN log √mean(running variance).

    f are the features before the last global pooling, whether a module, a function or ``mean``
    pools; weights, x and ε are N(0, 1). The running variances start at 1 and have seen both
    forwards; they undo what BatchNorm divided by.

    Raises:
        UndefinedScoreError: If the features do not change.
    """
    change = float(measured[FEATURE_CHANGE].mean())
    if change == 0.0:
        raise UndefinedScoreError(
            "noise on the inputs does not change the features before the global pooling, and zen "
            "takes the logarithm of the change; reject the network, which ignores its inputs"
        )
    scale = [0.5 * math.log(float(variance.mean())) for variance in measured[RUNNING_VARIANCES]]
    return math.log(change) + math.fsum(scale)


class _PoolingWatch(FunctionMode):
    """Context manager: inside, note the input of the last global pooling."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self._samples = samples
        self.features: Tensor | None = None

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        result = func(*args, **named)
        if "pool" in name or name in ("mean", "amax"):
            input = args[0] if args else named.get("input")
            if isinstance(input, Tensor) and isinstance(result, Tensor) and input.dim() > 2:
                channels = {input.size(1), input.size(-1) if input.dim() == 3 else input.size(1)}
                pooled = len(input) == self._samples and result.dim() > 1
                if pooled and result.numel() in {self._samples * size for size in channels}:
                    self.features = input.clone()  # it may be overwritten in place
        return result
