"""Differences between the samples in the units that they switch on."""

from __future__ import annotations

import torch

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._loss_pass import ACTIVATION_AGREEMENT
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register

__all__ = ["naswot"]


@register(
    "naswot",
    reads=(ACTIVATION_AGREEMENT,),
    summary="log |det K|, K_ij = number of units in whose code samples i and j agree",
    paper="Mellor et al., ICML 2021",
    fails="no ReLU-like activation; two samples with one code (the determinant is 0)",
)
def naswot(measured: Measured) -> float:
    """log|det K|, K = Σ XXᵀ + (1−X)(1−X)ᵀ over the activations that reach the output.

    X are an activation's codes (input > 0), samples × units: large where the network tells the
    samples apart. ReLU-like activations count, see the module ``_activations``.

    Raises:
        UndefinedScoreError: If K is singular, as for two samples of the same code.
    """
    kernel = measured[ACTIVATION_AGREEMENT]
    samples = len(kernel)
    units = int(kernel[0, 0])
    alike = torch.triu(kernel == units, diagonal=1).nonzero()
    if len(alike):
        first, second = alike[0].tolist()
        raise UndefinedScoreError(
            f"samples {first} and {second} switch the same of {units} units on, so the "
            "determinant that naswot takes the logarithm of is 0; leave out equal samples, or "
            "reject the network, which does not tell them apart"
        )
    eigenvalues = torch.linalg.eigvalsh(kernel)
    if eigenvalues[0] <= samples * torch.finfo(kernel.dtype).eps * eigenvalues[-1]:
        raise UndefinedScoreError(
            f"the codes of {samples} samples in {units} units are linearly dependent, so the "
            "determinant that naswot takes the logarithm of is 0; pass fewer samples, or reject "
            "the network"
        )
    return float(torch.linalg.slogdet(kernel).logabsdet)
