"""Proxies that sum a saliency of the weights, W, over the network.

g is the gradient of the mean loss L, H its Hessian, and a sum over l runs over the layers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._extended_range import times_power_of_two
from optuna_zerocost.proxies._flow_pass import SCALED_FLOW_GRADIENTS
from optuna_zerocost.proxies._loss_pass import WEIGHT_GRADIENTS, WEIGHTED_GRADIENT_PRODUCT
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._tensors import total

__all__ = ["grad_norm", "grasp", "logsynflow", "plain", "snip", "synflow"]


@register(
    "grad_norm",
    reads=(WEIGHT_GRADIENTS,),
    summary="Σ_l ‖g_l‖₂",
    paper="Abdelfattah et al., ICLR 2021",
    fails="correlates negatively with accuracy on NAS-Bench-101",
)
def grad_norm(measured: Measured) -> float:
    """Σ_l ‖g_l‖₂, the sum of the layers' norms (not the norm of all gradients together)."""
    return total(torch.linalg.vector_norm(item.gradient) for item in measured[WEIGHT_GRADIENTS])


@register(
    "plain",
    reads=(WEIGHT_GRADIENTS,),
    summary="Σ W⊙g",
    paper="Mozer and Smolensky, NeurIPS 1989",
    fails="noisy: signed terms cancel; two minibatches agree at ρ = .30",
)
def plain(measured: Measured) -> float:
    """Σ W⊙g, signed: by how much the loss would rise, to first order, were W to double."""
    return total(torch.sum(item.weight * item.gradient) for item in measured[WEIGHT_GRADIENTS])


@register(
    "snip",
    reads=(WEIGHT_GRADIENTS,),
    summary="Σ |W⊙g|",
    paper="Lee et al., ICLR 2019",
    fails="correlates negatively with accuracy on NAS-Bench-101",
)
def snip(measured: Measured) -> float:
    """Σ |W⊙g|: how much the loss depends on each connection being there."""
    return total(
        torch.linalg.vector_norm(item.weight * item.gradient, ord=1)
        for item in measured[WEIGHT_GRADIENTS]
    )


@register(
    "grasp",
    reads=(WEIGHTED_GRADIENT_PRODUCT,),
    summary="-Σ W⊙(Hg)",
    paper="Wang et al., ICLR 2020",
    fails="operations without a second derivative; noisy: two minibatches agree at ρ = .77",
)
def grasp(measured: Measured) -> float:
    """−Σ W⊙(Hg): how much gradient flow would be lost without the weights.

    The sign is that of Abdelfattah et al. (ICLR 2021), temperature 1, one minibatch.
    """
    return 0.0 - measured[WEIGHTED_GRADIENT_PRODUCT]


@register(
    "synflow",
    reads=(SCALED_FLOW_GRADIENTS,),
    summary="Σ |W⊙∂R/∂W|, R = Σ f(1) with absolute weights",
    paper="Tanaka et al., NeurIPS 2020",
    fails="blind to data and activations; 0 if nothing reaches the output; spans 60 powers of ten",
)
def synflow(measured: Measured) -> float:
    """Σ |W⊙∂R/∂W|, R = Σ f(1), f the network with absolute weights and no normalisation.

    It spans tens of orders of magnitude within one space: compare ranks or logarithms.

    Raises:
        UndefinedScoreError: If it exceeds float64, as for hundreds of layers.
    """
    flow = measured[SCALED_FLOW_GRADIENTS]
    value = total(
        torch.linalg.vector_norm(item.weight * item.gradient, ord=1) for item in flow.gradients
    )
    try:
        return math.ldexp(value, flow.exponent)
    except OverflowError:
        power = math.log10(value) + flow.exponent * math.log10(2)
        raise UndefinedScoreError(
            f"synflow is about 10^{power:.0f}, beyond what float64 holds (10^308): without its "
            "normalisation the network is too deep or too wide; use logsynflow for such networks"
        ) from None


@register(
    "logsynflow",
    reads=(SCALED_FLOW_GRADIENTS,),
    summary="Σ |W⊙log(∂R/∂W + 1)|, R = Σ f(1) with absolute weights",
    paper="Cavagnero et al., WACV 2023",
    fails="blind to data and activations; 0 if nothing reaches the output",
)
def logsynflow(measured: Measured) -> float:
    """Σ |W⊙log(∂R/∂W + 1)|, from the pass of synflow, whose huge gradients it tames.

    Raises:
        UndefinedScoreError: If a gradient is −1 or less, so that the logarithm does not exist.
    """
    flow = measured[SCALED_FLOW_GRADIENTS]
    for item in flow.gradients:
        least = float(times_power_of_two(item.gradient.min(), flow.exponent))
        if least <= -1.0:
            raise UndefinedScoreError(
                f"the flow falls with the weight {item.name!r} (∂R/∂W = {least:g}), and "
                "the logarithm that logsynflow takes exists only for ∂R/∂W > -1: an operation "
                "such as a gate or a difference turns the sign; use synflow for this network"
            )
    return total(
        torch.linalg.vector_norm(item.weight * _log1p(item.gradient, flow.exponent), ord=1)
        for item in flow.gradients
    )


def _log1p(scaled: Tensor, exponent: int) -> Tensor:
    """Return log(scaled·2^exponent + 1), whose argument may exceed float64."""
    if exponent == 0:
        return torch.log1p(scaled)
    # From 2^64 on, adding 1 changes nothing.
    is_large = scaled > math.ldexp(1.0, min(64 - exponent, 1000))
    small = torch.log1p(times_power_of_two(scaled.masked_fill(is_large, 0.0), exponent))
    return torch.where(is_large, torch.log(scaled) + exponent * math.log(2), small)
