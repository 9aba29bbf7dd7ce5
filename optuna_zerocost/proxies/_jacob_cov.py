"""Correlation of the samples' input gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._loss_pass import INPUT_GRADIENTS
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register

__all__ = ["correlation", "jacob_cov"]


@register(
    "jacob_cov",
    reads=(INPUT_GRADIENTS,),
    summary="-Σ_i [log(v_i + k) + 1/(v_i + k)], v eigenvalues of corrcoef(J)",
    paper="Mellor et al., arXiv:2006.04647v1, 2020",
    fails="constant input gradients (a dead network); integer inputs",
)
def jacob_cov(measured: Measured) -> float:
    """−Σ_i [log(v_i + k) + 1/(v_i + k)], k = 1e-5.

    v are the eigenvalues of the correlation, N×N, of J_n = ∂(Σ logits)/∂x_n, flattened: large
    where the network tells the samples apart.
    """
    eigenvalues = (
        torch.linalg.eigvalsh(correlation(measured[INPUT_GRADIENTS], reader="jacob_cov")) + 1e-5
    )
    return -float(torch.sum(torch.log(eigenvalues) + 1.0 / eigenvalues))


def correlation(gradients: Tensor, *, reader: str) -> Tensor:
    """Return the correlation of the rows, (N, D) to (N, N), in float64 on the CPU.

    Raises:
        UndefinedScoreError: If a row is constant, or not finite.
    """
    rows = gradients.cpu().double()
    infinite = (~torch.isfinite(rows).all(1)).nonzero().flatten().tolist()
    if infinite:
        raise UndefinedScoreError(
            f"the gradient with respect to the input, which {reader} reads, is NaN or infinite "
            f"for {len(infinite)} of {len(rows)} samples (the first: sample {infinite[0]}): the "
            "activations or their derivatives overflow; check the initialisation and the inputs",
            not_finite=True,
        )
    deviation = torch.linalg.vector_norm(rows - rows.mean(1, keepdim=True), dim=1)
    rounding = torch.finfo(gradients.dtype).eps * torch.linalg.vector_norm(rows, dim=1)
    constant = (deviation <= rounding).nonzero().flatten().tolist()
    if constant:
        raise UndefinedScoreError(
            f"the gradient with respect to the input is constant for {len(constant)} of "
            f"{len(rows)} samples (the first: sample {constant[0]}), so it correlates with no "
            "other: the output does not depend on that input, or depends on it like a plain sum"
        )
    return torch.corrcoef(rows)
