"""Scoring: from a trial to named scores.

What needs torch is imported on first use, so that a sampler over another scorer does not load it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from optuna_zerocost.scoring._limited import LimitedScorer
from optuna_zerocost.scoring._limits import Limits, OutsideLimits
from optuna_zerocost.scoring._parallel import map_unordered
from optuna_zerocost.scoring._rejection import CandidateRejected, RepeatedArchitecture
from optuna_zerocost.scoring._scorer import (
    BaseScorer,
    DrawingTrial,
    Scorer,
    as_scorer,
    evaluate,
)

if TYPE_CHECKING:
    from optuna_zerocost.scoring._model_scorer import ModelScorer
    from optuna_zerocost.scoring._reduced_training import ReducedTrainingScorer

__all__ = [
    "BaseScorer",
    "CandidateRejected",
    "DrawingTrial",
    "LimitedScorer",
    "Limits",
    "ModelScorer",
    "OutsideLimits",
    "ReducedTrainingScorer",
    "RepeatedArchitecture",
    "Scorer",
    "as_scorer",
    "evaluate",
    "map_unordered",
]

_NEEDS_TORCH = {
    "ModelScorer": "optuna_zerocost.scoring._model_scorer",
    "ReducedTrainingScorer": "optuna_zerocost.scoring._reduced_training",
}
# Where users' scripts may still look for them.
_MOVED = {
    **dict.fromkeys(("Candidate", "History"), "optuna_zerocost.records"),
    **dict.fromkeys(
        ("ByScore", "Learned", "Pareto", "RankSum", "Ranking", "Sources", "Vote"),
        "optuna_zerocost.rankings",
    ),
}


def __getattr__(name: str) -> object:
    home = _NEEDS_TORCH.get(name) or _MOVED.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
