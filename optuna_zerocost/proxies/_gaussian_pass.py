"""The passes over a network whose weights are drawn from N(0, 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from optuna_zerocost.proxies._activations import ActivationWatch
from optuna_zerocost.proxies._derivatives import forward_in_train_mode
from optuna_zerocost.proxies._errors import BatchError, NetworkError
from optuna_zerocost.proxies._initialise import draw_gaussian
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._tensors import widened

__all__ = [
    "FEATURE_CHANGE",
    "NEURON_PATTERNS",
    "RUNNING_VARIANCES",
    "NeuronPatterns",
    "NoisePass",
    "RedrawPass",
]

_NOISE = 0.01
_SAMPLES = 16
_DRAWS = 32


@dataclass(frozen=True)
class NoisePass(Pass):
    """Two forwards in train mode, on inputs x and x + 0.01ε, both from N(0, 1); no gradients."""

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "noise"

    def run(self, request: Request) -> Measured:
        """Compare the features of both forwards."""
        readers = request.who_reads(request.readers)
        inputs, noise = request.batch.gaussian(), request.batch.gaussian()
        if not any(tensor.is_floating_point() for tensor in inputs.tensors()):
            raise BatchError(
                "the inputs are all integers, to which no noise can be added, and "
                f"{readers} compares features with and without; choose other proxies"
            )
        normalised = [
            module
            for module in request.structure.modules
            if isinstance(getattr(module, "running_var", None), Tensor)
        ]
        if not normalised:
            raise NetworkError(
                f"{type(request.network).__name__} has no BatchNorm with running statistics, "
                f"without which {readers} means nothing; choose other proxies"
            )
        draw_gaussian(request.structure, readers=readers)
        request.structure.set_mode(training=True)
        with torch.no_grad():
            before = self._features(request, inputs.copied())
            after = self._features(request, inputs.plus(noise, _NOISE))
        change = (before - after).abs().flatten(1).double().sum(1)
        variances = tuple(widened(module.get_buffer("running_var")) for module in normalised)
        return Measured({FEATURE_CHANGE: change, RUNNING_VARIANCES: variances})

    def _features(self, request: Request, inputs: Any) -> Tensor:
        watch = _PoolingWatch(request.batch.size)
        with watch:
            forward_in_train_mode(request, inputs, samples=request.batch.size)
        if watch.features is None:
            raise NetworkError(
                f"{type(request.network).__name__} never pools its features to one position, and "
                f"{request.who_reads(request.readers)} reads those before the global pooling; "
                "choose other proxies for a network that flattens them"
            )
        return widened(watch.features)


class _PoolingWatch(TorchFunctionMode):
    """Context manager: inside, note the input of the last global pooling."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self._samples = samples
        self.features: Tensor | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        result = func(*args, **named)
        name = getattr(func, "__name__", "")
        if "pool" in name or name in ("mean", "amax"):
            input = args[0] if args else named.get("input")
            if isinstance(input, Tensor) and isinstance(result, Tensor) and input.dim() > 2:
                channels = {input.size(1), input.size(-1) if input.dim() == 3 else input.size(1)}
                pooled = len(input) == self._samples and result.dim() > 1
                if pooled and result.numel() in {self._samples * size for size in channels}:
                    self.features = input.clone()  # it may be overwritten in place
        return result


@dataclass(frozen=True)
class NeuronPatterns:
    """How many patterns of samples the units tell apart.

    A unit's pattern says which samples switch it on. ``distinct`` is the number of different
    patterns among all units, the mean over the draws of the weights; ``parameters`` is the number
    of trainable parameters.
    """

    distinct: float
    parameters: int


@dataclass(frozen=True)
class RedrawPass(Pass):
    """32 draws of the weights, for each a forward of the first 16 samples in train mode."""

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "redraw"

    def run(self, request: Request) -> Measured:
        """Count the distinct patterns of each draw."""
        request.batch.check_values()
        readers = request.who_reads(request.readers)
        batch = request.batch.inputs_of(min(_SAMPLES, request.batch.size))
        powers = 2 ** torch.arange(batch.size)
        counts = []
        request.structure.set_mode(training=True)
        for _ in range(_DRAWS):
            draw_gaussian(request.structure, readers=readers)
            # Which of the 2^16 patterns occur.
            occurs = torch.zeros(2**batch.size, dtype=torch.bool)

            def note(codes: Tensor, _result: Tensor, occurs: Tensor = occurs) -> None:
                occurs[(codes.cpu() * powers[:, None]).sum(0)] = True

            watch = ActivationWatch(samples=batch.size, readers=readers, note=note)
            with torch.no_grad(), watch:
                forward_in_train_mode(request, batch.copied(), samples=batch.size)
            if not bool(occurs.any()):
                raise NetworkError(
                    f"{type(request.network).__name__} calls no ReLU-like activation, and "
                    f"{readers} reads their signs; ReLU, GELU, SiLU and their kin count"
                )
            counts.append(int(occurs.sum()))
        trainable = [p.numel() for _, p in request.structure.parameters if p.requires_grad]
        patterns = NeuronPatterns(sum(counts) / len(counts), sum(trainable))
        return Measured({NEURON_PATTERNS: patterns})


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
NEURON_PATTERNS: Quantity[NeuronPatterns] = Quantity(
    "neuron patterns", RedrawPass(), "how many patterns of samples the units tell apart"
)
