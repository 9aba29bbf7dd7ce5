"""Scoring: from a trial to named scores.

What needs torch is imported on first use, so that a sampler over another scorer does not load it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from optuna_zerocost.scoring._evaluating import evaluate
from optuna_zerocost.scoring._limited import LimitedScorer
from optuna_zerocost.scoring._limits import Limits, OutsideLimits
from optuna_zerocost.scoring._parallel import map_unordered
from optuna_zerocost.scoring._rejection import (
    CandidateRejected,
    NetworkNotReported,
    RepeatedArchitecture,
    ScoringProcessError,
)
from optuna_zerocost.scoring._report_network import report_network
from optuna_zerocost.scoring._scorer import (
    BaseScorer,
    DrawingTrial,
    Scorer,
    as_scorer,
)
from optuna_zerocost.scoring._stand_in import DrawnTrial, StandInTrial, StudyToRead, TrialToScore

if TYPE_CHECKING:
    from optuna_zerocost.scoring._model_scorer import ModelScorer
    from optuna_zerocost.scoring._reduced_training import ReducedTrainingScorer

__all__ = [
    "BaseScorer",
    "CandidateRejected",
    "DrawingTrial",
    "DrawnTrial",
    "LimitedScorer",
    "Limits",
    "ModelScorer",
    "NetworkNotReported",
    "OutsideLimits",
    "ReducedTrainingScorer",
    "RepeatedArchitecture",
    "Scorer",
    "ScoringProcessError",
    "StandInTrial",
    "StudyToRead",
    "TrialToScore",
    "as_scorer",
    "evaluate",
    "map_unordered",
    "report_network",
]

_HOMES = {
    "ModelScorer": "optuna_zerocost.scoring._model_scorer",
    "ReducedTrainingScorer": "optuna_zerocost.scoring._reduced_training",
    # They were here once, and users' scripts may still look for them.
    **dict.fromkeys(("Candidate", "History"), "optuna_zerocost.records"),
    **dict.fromkeys(
        ("ByScore", "Learned", "Pareto", "RankSum", "Ranking", "Sources", "Vote"),
        "optuna_zerocost.rankings",
    ),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
