"""Scorers turn a trial into named scores; rankings turn candidates into an order.

Scorers that need torch are imported on first use, so that a sampler over another one does not
load it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from optuna_zerocost.scoring._candidate import Candidate, History
from optuna_zerocost.scoring._learned import Learned, Sources
from optuna_zerocost.scoring._limited import LimitedScorer
from optuna_zerocost.scoring._limits import Limits, OutsideLimits
from optuna_zerocost.scoring._pareto import Pareto
from optuna_zerocost.scoring._ranking import ByScore, Ranking, RankSum, Vote
from optuna_zerocost.scoring._scorer import Scorer

if TYPE_CHECKING:
    from optuna_zerocost.scoring._model_scorer import ModelScorer
    from optuna_zerocost.scoring._reduced_training import ReducedTrainingScorer

__all__ = [
    "ByScore",
    "Candidate",
    "History",
    "Learned",
    "LimitedScorer",
    "Limits",
    "ModelScorer",
    "OutsideLimits",
    "Pareto",
    "RankSum",
    "Ranking",
    "ReducedTrainingScorer",
    "Scorer",
    "Sources",
    "Vote",
]


# What needs torch.
_LAZY = {"ModelScorer": "_model_scorer", "ReducedTrainingScorer": "_reduced_training"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
