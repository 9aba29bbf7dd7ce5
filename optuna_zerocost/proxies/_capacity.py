"""Proxies of a network's size, the baselines that every proxy must beat, and their passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from optuna_zerocost.proxies._normalisation import normalisation_bypassed
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import total, unfused, widened

__all__ = ["FLOP_COUNT", "LAYER_WEIGHTS", "PARAMETER_COUNT", "flops", "l2_norm", "params"]


class CountPass(Pass):
    """Count the parameters; the network does not run and may be on the meta device."""

    name = "count"
    reads_values = False  # Shapes suffice.
    holds_whole_batch = False  # No input is run.
    copies_parameters = False

    def run(self, request: Request) -> Measured:
        count = sum(p.numel() for _, p in request.structure.parameters if p.requires_grad)
        return Measured({PARAMETER_COUNT: count})


PARAMETER_COUNT: Quantity[int] = Quantity(
    "parameter count",
    CountPass(),
    "number of values in the trainable parameters",
    needs_weights=False,
)


@register(
    "params",
    reads=(PARAMETER_COUNT,),
    summary="number of trainable parameters",
    fails="a baseline: larger is not always better",
)
def params(measured: Measured) -> float:
    """Return the number of trainable parameters, biases and normalisation included."""
    return float(measured[PARAMETER_COUNT])


class FlopPass(Pass):
    """Count the floating point operations of one input; works on the meta device.

    Eval mode and bypassed normalisation, whose operations are not counted, so that one input
    suffices for every network.
    """

    name = "flop"
    reads_values = False  # Shapes suffice.
    holds_whole_batch = False  # One input is run.

    def run(self, request: Request) -> Measured:
        request.structure.set_mode(training=False)
        # Without gradients torch's attention layers take a fused path that the counter misses.
        request.structure.require_gradients()
        fused = {torch.ops.aten.mkldnn_rnn_layer: _recurrent_flops}
        counter = FlopCounterMode(display=False, custom_mapping=fused)
        with normalisation_bypassed(request.structure), unfused(request.structure), counter:
            request.forward(request.batch.one_input().copied())
        return Measured({FLOP_COUNT: counter.get_total_flops()})


FLOP_COUNT: Quantity[int] = Quantity(
    "flop count",
    FlopPass(),
    "floating point operations of one forward of one input",
    needs_weights=False,
)


@register(
    "flops",
    reads=(FLOP_COUNT,),
    summary="2 × multiply-adds of one forward of one input",
    fails="a baseline: larger is not always better",
)
def flops(measured: Measured) -> float:
    """Return twice the multiply-adds of one forward of one input, as torch counts them.

    Matrix products, convolutions and attention count; elementwise operations do not.
    """
    return float(measured[FLOP_COUNT])


def _recurrent_flops(
    inputs: Sequence[int], weights: Sequence[int], recurrent: Sequence[int], *_: Any, **__: Any
) -> int:
    """Count one recurrent layer of oneDNN, a kernel that torch's counter does not know.

    Inputs have the shape (steps, N, features).
    """
    return 2 * inputs[0] * inputs[1] * (math.prod(weights) + math.prod(recurrent))


class WeightPass(Pass):
    """Read the weights; the network does not run."""

    name = "weight"
    holds_whole_batch = False  # No input is run.
    copies_parameters = False

    def run(self, request: Request) -> Measured:
        weights = request.structure.require_weights(readers=request.who_reads([LAYER_WEIGHTS]))
        return Measured({LAYER_WEIGHTS: tuple(widened(item.tensor()) for item in weights)})


LAYER_WEIGHTS: Quantity[tuple[Tensor, ...]] = Quantity(
    "layer weights", WeightPass(), "the weights of the layers that count"
)


@register(
    "l2_norm",
    reads=(LAYER_WEIGHTS,),
    summary="Σ_l ‖W_l‖₂",
    paper="Abdelfattah et al., ICLR 2021",
    fails="a baseline: sees the initialisation and the size of layers only",
)
def l2_norm(measured: Measured) -> float:
    """Σ_l ‖W_l‖₂, the sum of the layers' norms."""
    return total(torch.linalg.vector_norm(weight) for weight in measured[LAYER_WEIGHTS])
