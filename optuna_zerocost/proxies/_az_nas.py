"""Expressivity, progressivity and trainability of the stages of a network."""

from __future__ import annotations

from itertools import pairwise

import torch

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._stage_pass import STAGE_FEATURES, STAGE_GAINS, StageFeatures

__all__ = ["az_expressivity", "az_progressivity", "az_trainability"]

_PAPER = "Lee and Ham, CVPR 2024"


@register(
    "az_expressivity",
    reads=(STAGE_FEATURES,),
    summary="Σ_l entropy of the normalised eigenvalues of cov(features_l)",
    paper=_PAPER,
    fails="no stage beside the classifier; parametrised weights",
)
def az_expressivity(measured: Measured) -> float:
    """Σ_l E_l, E_l = −Σ p log(p + 1e-8), p the eigenvalues of cov(features_l) over their sum.

    l runs over the network's stages (see the module ``_stage_pass``), the covariance over samples
    and positions.

    Raises:
        UndefinedScoreError: If the features of a stage are constant.
    """
    return sum((_entropy(stage) for stage in measured[STAGE_FEATURES]), 0.0)


@register(
    "az_progressivity",
    reads=(STAGE_FEATURES,),
    summary="min_l (E_l − E_{l−1}), E the stages' entropies as in az_expressivity",
    paper=_PAPER,
    fails="fewer than two stages; parametrised weights",
)
def az_progressivity(measured: Measured) -> float:
    """min_l (E_l − E_{l−1}): by how much expressivity grows, at least, from stage to stage.

    Raises:
        UndefinedScoreError: If there is one stage only, or the features of one are constant.
    """
    entropies = [_entropy(stage) for stage in measured[STAGE_FEATURES]]
    if len(entropies) < 2:
        raise UndefinedScoreError(
            f"the network has one stage ({measured[STAGE_FEATURES][0].name!r}) beside the "
            "classifier, and az_progressivity compares each with the one before; arrange it as "
            "a sequence of stages"
        )
    return min(after - before for before, after in pairwise(entropies))


@register(
    "az_trainability",
    reads=(STAGE_GAINS,),
    summary="mean_l (2 − s − 1/(s + 1e-6)), s the spectral norm of g_inᵀg_out/(BHW)",
    paper=_PAPER,
    fails="fewer than two stages; maps that shrink by no whole factor; parametrised weights",
)
def az_trainability(measured: Measured) -> float:
    """mean_l (2 − s − 1/(s + 1e-6)), at most 0: whether gradient keeps its size in each stage.

    s is the largest singular value of g_inᵀg_out/(BHW), g_out random signs at the output of stage
    l and g_in the gradient that they become at that of the stage before. Where one of both has
    fewer positions than the other, neighbouring ones of the other become channels. A stage that
    passes its input on counts like any other; the published implementation scores −∞ for it.
    """
    gains = [
        float(torch.linalg.matrix_norm(gain.cpu().double(), ord=2))
        for gain in measured[STAGE_GAINS]
    ]
    return sum(2.0 - gain - 1.0 / (gain + 1e-6) for gain in gains) / len(gains)


def _entropy(stage: StageFeatures) -> float:
    features = stage.features.cpu().double()
    centred = features - features.mean(0)
    rounding = torch.finfo(stage.features.dtype).eps * features.abs().max()
    if bool(centred.abs().max() <= rounding):
        raise UndefinedScoreError(
            f"the features of the stage {stage.name!r} are constant, so the eigenvalues of their "
            "covariance cannot be normalised; reject the network, which loses its inputs there"
        )
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred / len(centred)).clamp(min=0.0)
    share = eigenvalues / eigenvalues.sum()
    return float(-torch.sum(share * torch.log(share + 1e-8)))
