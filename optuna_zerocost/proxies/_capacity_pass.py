"""The passes that only measure how large a network is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from optuna_zerocost.proxies._flow_pass import normalisation_bypassed
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._tensors import unfused, widened

__all__ = [
    "FLOP_COUNT",
    "LAYER_WEIGHTS",
    "PARAMETER_COUNT",
    "CountPass",
    "FlopPass",
    "WeightPass",
]


@dataclass(frozen=True)
class CountPass(Pass):
    """Count the parameters; the network does not run and may be on the meta device."""

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "count"

    @property
    def reads_values(self) -> bool:
        """Shapes suffice."""
        return False

    @property
    def holds_whole_batch(self) -> bool:
        """No input is run."""
        return False

    def run(self, request: Request) -> Measured:
        """Count the numbers in the trainable parameters."""
        parameters = [parameter for _, parameter in request.structure.parameters]
        count = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        return Measured({PARAMETER_COUNT: count})


@dataclass(frozen=True)
class WeightPass(Pass):
    """Read the weights; the network does not run."""

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "weight"

    @property
    def holds_whole_batch(self) -> bool:
        """No input is run."""
        return False

    def run(self, request: Request) -> Measured:
        """Return the weights that count."""
        weights = request.structure.require_weights(readers=request.who_reads([LAYER_WEIGHTS]))
        return Measured({LAYER_WEIGHTS: tuple(widened(item.tensor()) for item in weights)})


@dataclass(frozen=True)
class FlopPass(Pass):
    """Count the floating point operations of one input; works on the meta device.

    Eval mode and bypassed normalisation, whose operations are not counted, so that one input
    suffices for every network.
    """

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "flop"

    @property
    def reads_values(self) -> bool:
        """Shapes suffice."""
        return False

    @property
    def holds_whole_batch(self) -> bool:
        """One input is run."""
        return False

    def run(self, request: Request) -> Measured:
        """Run one sample under torch's counter."""
        request.structure.set_mode(training=False)
        # Without gradients torch's attention layers take a fused path that the counter misses.
        request.structure.require_gradients()
        inputs: Any = request.batch.first_sample()
        fused = {torch.ops.aten.mkldnn_rnn_layer: _recurrent_flops}
        counter = FlopCounterMode(display=False, custom_mapping=fused)
        with normalisation_bypassed(request.structure), unfused(request.structure), counter:
            request.forward(inputs)
        return Measured({FLOP_COUNT: counter.get_total_flops()})


def _recurrent_flops(
    inputs: Sequence[int],
    input_weights: Sequence[int],
    hidden_weights: Sequence[int],
    *_: object,
    **__: object,
) -> int:
    """Count one recurrent layer of oneDNN, a kernel that torch's counter does not know.

    Inputs have the shape (steps, N, features).
    """
    return 2 * inputs[0] * inputs[1] * (math.prod(input_weights) + math.prod(hidden_weights))


PARAMETER_COUNT: Quantity[int] = Quantity(
    "parameter count", CountPass(), "number of values in the trainable parameters"
)
LAYER_WEIGHTS: Quantity[tuple[Tensor, ...]] = Quantity(
    "layer weights", WeightPass(), "the weights of the layers that count"
)
FLOP_COUNT: Quantity[int] = Quantity(
    "flop count", FlopPass(), "floating point operations of one forward of one input"
)
