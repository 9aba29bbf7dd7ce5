"""Trainability and expressivity of a network with Kaiming-normal weights."""

from __future__ import annotations

import torch

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._kaiming_pass import REGION_AGREEMENT, TANGENT_KERNEL
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register

__all__ = ["linear_regions", "ntk_condition"]

_PAPER = "Chen et al., ICLR 2021"


@register(
    "ntk_condition",
    reads=(TANGENT_KERNEL,),
    summary="λ_max/λ_min of the neural tangent kernel",
    direction="minimize",
    paper=_PAPER,
    fails="singular kernels (dead networks); parametrised weights; memory N × weights",
)
def ntk_condition(measured: Measured) -> float:
    """λ_max/λ_min of the N×N kernel of the samples' gradients; smaller is better.

    The gradients are those of the summed logits of each sample with respect to the weights that
    count, from one forward of the whole minibatch. They take N backward passes over it, and N
    copies of the weights: pass few samples.

    Raises:
        UndefinedScoreError: If the kernel is singular.
    """
    eigenvalues = torch.linalg.eigvalsh(measured[TANGENT_KERNEL])
    least, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    if least <= len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps * largest:
        raise UndefinedScoreError(
            f"the neural tangent kernel of {len(eigenvalues)} samples is singular (eigenvalues "
            f"{least:g} to {largest:g}), so its condition number is infinite: two samples are "
            "equal, no gradient reaches the weights, or there are fewer weights than samples"
        )
    return largest / least


@register(
    "linear_regions",
    reads=(REGION_AGREEMENT,),
    summary="number of distinct activation patterns among the samples",
    paper=_PAPER,
    fails="no ReLU-like activation; saturates at the number of samples",
)
def linear_regions(measured: Measured) -> float:
    """Return into how many linear regions the samples fall, at most N.

    Two samples are in one region if they agree in every unit of every ReLU-like activation.
    """
    agreement = measured[REGION_AGREEMENT]
    same = agreement == agreement[0, 0]  # a sample agrees with itself in all units
    # argmax finds the first sample of each one's region.
    return float(len(set(same.int().argmax(1).tolist())))
