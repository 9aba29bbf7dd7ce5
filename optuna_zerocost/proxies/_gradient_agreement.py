"""Proxies that compare the gradients of different data."""

from __future__ import annotations

import math

import torch

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._per_sample_pass import GRADIENT_SIGNS, MINIBATCH_GRADIENTS
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import total

__all__ = ["gradsign", "zico"]


@register(
    "zico",
    reads=(MINIBATCH_GRADIENTS,),
    summary="Σ_l log Σ mean_b|g_b| / std_b(g_b), b the minibatches, or two halves of one",
    paper="Li et al., ICLR 2023",
    fails="halves a single minibatch, which changes BatchNorm's statistics; pass several",
)
def zico(measured: Measured) -> float:
    """Σ_l log Σ mean_b|g_b| / std_b(g_b): gradients that are large and agree.

    b runs over the minibatches, at least two: pass ``Minibatches``. Of a single minibatch the two
    halves are taken, each of which BatchNorm normalises on its own. The inner sum runs over the
    weights of layer l whose gradient differs between minibatches, with the population's standard
    deviation. Layers without such a weight are skipped.

    Raises:
        UndefinedScoreError: If that leaves no layer.
    """
    logarithms = []
    for gradients in measured[MINIBATCH_GRADIENTS]:
        deviation = gradients.std(0, correction=0)
        differs = deviation != 0
        ratios = gradients.abs().mean(0)[differs] / deviation[differs]
        if ratios.numel():
            logarithms.append(math.log(float(ratios.sum())))
    if not logarithms:
        raise UndefinedScoreError(
            "no weight's gradient differs between the minibatches, so zico has nothing to add up: "
            "the minibatches are equal, or no gradient reaches a weight"
        )
    return math.fsum(logarithms)


@register(
    "gradsign",
    reads=(GRADIENT_SIGNS,),
    summary="Σ |Σ_n sign(g_n)|, g_n the gradient of sample n",
    paper="Zhang and Jia, ICLR 2022",
    fails="BatchNorm over a single 1×1 map; slow on large batches",
)
def gradsign(measured: Measured) -> float:
    """Σ |Σ_n sign(g_n)|: on how many weights how many samples agree which way to go.

    As in the published implementation each sample goes through the network alone, in train mode,
    so that BatchNorm normalises it with its own statistics. That takes N small passes, and is
    impossible where BatchNorm sees a single value a channel.
    """
    return total(
        torch.linalg.vector_norm(signs, ord=1, dtype=torch.float64)
        for signs in measured[GRADIENT_SIGNS]
    )
