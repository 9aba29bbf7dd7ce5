"""How large a network is: the baselines that every proxy must beat."""

from __future__ import annotations

import torch

from optuna_zerocost.proxies._capacity_pass import FLOP_COUNT, LAYER_WEIGHTS, PARAMETER_COUNT
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import total

__all__ = ["flops", "l2_norm", "params"]


@register(
    "params",
    reads=(PARAMETER_COUNT,),
    summary="number of trainable parameters",
    fails="a baseline: larger is not always better",
)
def params(measured: Measured) -> float:
    """Return the number of trainable parameters, biases and normalisation included."""
    return float(measured[PARAMETER_COUNT])


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
