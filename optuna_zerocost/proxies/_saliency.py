"""Proxies that sum a saliency of the weights, W, over the network.

g is the gradient of the mean loss L, H its Hessian, and a sum over l runs over the layers.
"""

from __future__ import annotations

import torch

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._flow_pass import FLOW_GRADIENTS
from optuna_zerocost.proxies._loss_pass import GRADIENT_PRODUCTS, WEIGHT_GRADIENTS
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
    reads=(GRADIENT_PRODUCTS,),
    summary="-Σ W⊙(Hg)",
    paper="Wang et al., ICLR 2020",
    fails="operations without a second derivative; noisy: two minibatches agree at ρ = .77",
)
def grasp(measured: Measured) -> float:
    """−Σ W⊙(Hg): how much gradient flow would be lost without the weights.

    The sign is that of Abdelfattah et al. (ICLR 2021), temperature 1, one minibatch.
    """
    return 0.0 - total(
        torch.sum(item.weight * item.gradient) for item in measured[GRADIENT_PRODUCTS]
    )


@register(
    "synflow",
    reads=(FLOW_GRADIENTS,),
    summary="Σ |W⊙∂R/∂W|, R = Σ f(1) with absolute weights",
    paper="Tanaka et al., NeurIPS 2020",
    fails="blind to data and activations; 0 if nothing reaches the output; spans 60 powers of ten",
)
def synflow(measured: Measured) -> float:
    """Σ |W⊙∂R/∂W|, R = Σ f(1), f the network with absolute weights and no normalisation.

    It spans tens of orders of magnitude within one space: compare ranks or logarithms.
    """
    return total(
        torch.linalg.vector_norm(item.weight * item.gradient, ord=1)
        for item in measured[FLOW_GRADIENTS]
    )


@register(
    "logsynflow",
    reads=(FLOW_GRADIENTS,),
    summary="Σ |W⊙log(∂R/∂W + 1)|, R = Σ f(1) with absolute weights",
    paper="Cavagnero et al., WACV 2023",
    fails="blind to data and activations; 0 if nothing reaches the output",
)
def logsynflow(measured: Measured) -> float:
    """Σ |W⊙log(∂R/∂W + 1)|, from the pass of synflow, whose huge gradients it tames.

    Raises:
        UndefinedScoreError: If a gradient is −1 or less, so that the logarithm does not exist.
    """
    for item in measured[FLOW_GRADIENTS]:
        least = float(item.gradient.min())
        if least <= -1.0:
            raise UndefinedScoreError(
                f"the flow falls with the weight {item.name!r} (∂R/∂W = {least:g}), and "
                "the logarithm that logsynflow takes exists only for ∂R/∂W > -1: an operation "
                "such as a gate or a difference turns the sign; use synflow for this network"
            )
    return total(
        torch.linalg.vector_norm(item.weight * torch.log1p(item.gradient), ord=1)
        for item in measured[FLOW_GRADIENTS]
    )
