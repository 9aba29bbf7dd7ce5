"""Correlation of the input gradients within each class."""

from __future__ import annotations

import torch

from optuna_zerocost.proxies._jacob_cov import correlation
from optuna_zerocost.proxies._loss_pass import CLASSES, INPUT_GRADIENTS
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register

__all__ = ["epe_nas"]


@register(
    "epe_nas",
    reads=(INPUT_GRADIENTS, CLASSES),
    summary="Σ_c |Σ log(|corrcoef(J_c)| + 1e-5)|, c the classes of the minibatch",
    paper="Lopes et al., ICANN 2021",
    fails="constant input gradients; classes with one sample say nothing; integer inputs",
)
def epe_nas(measured: Measured) -> float:
    """Σ_c |s_c|, s_c = Σ log(|corrcoef(J_c)| + 1e-5).

    J are the samples' gradients as for jacob_cov, J_c those of class c. With more than 100
    classes in the minibatch it is the mean of |s_c − s_d| over the pairs of classes instead.
    """
    correlations = correlation(measured[INPUT_GRADIENTS], reader="epe_nas")
    classes = measured[CLASSES].cpu()
    members = [classes == label for label in sorted(set(classes.tolist()))]
    of_classes = [correlations[own][:, own].abs() for own in members]
    sums = torch.stack([torch.log(values + 1e-5).sum() for values in of_classes])
    if len(sums) <= 100:
        return float(sums.abs().sum())
    first, second = torch.combinations(sums).unbind(1)
    return float((first - second).abs().mean())
