"""Independence of the channels of one image's feature maps."""

from __future__ import annotations

import torch

from optuna_zerocost.proxies._errors import UndefinedScoreError
from optuna_zerocost.proxies._loss_pass import FEATURE_MAPS
from optuna_zerocost.proxies._pass import Measured
from optuna_zerocost.proxies._registry import register

__all__ = ["meco"]


@register(
    "meco",
    reads=(FEATURE_MAPS,),
    summary="Σ over maps of the least eigenvalue of their channels' correlation",
    paper="Jiang et al., NeurIPS 2023",
    fails="no feature maps with channels and positions",
)
def meco(measured: Measured) -> float:
    """Σ λ_min(corrcoef(map)), over the maps (channels × positions) of the first sample.

    As in the published implementation, every module's output is a map, a container's too, which
    repeats that of its last layer; and a constant channel correlates with nothing, itself
    included, so that its map adds 0. So does a map with no more positions than channels.

    Raises:
        UndefinedScoreError: If a map is not finite.
    """
    return sum((_least_eigenvalue(map.cpu().double()) for map in measured[FEATURE_MAPS]), 0.0)


def _least_eigenvalue(map: torch.Tensor) -> float:
    channels, positions = map.shape
    if not bool(torch.isfinite(map).all()):
        raise UndefinedScoreError(
            "a feature map, of whose channels meco reads the correlation, holds NaN or infinity: "
            "the activations overflow; check the initialisation and the scale of the inputs",
            not_finite=True,
        )
    if positions <= channels or bool((map == map[:, :1]).all(1).any()):
        return 0.0  # singular
    correlation = torch.corrcoef(map).reshape(channels, channels)
    return float(torch.linalg.eigvalsh(correlation)[0])
