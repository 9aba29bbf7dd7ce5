"""Scorers turn a trial into named scores; rankings turn candidates into an order.

:class:`ModelScorer` needs torch and is imported on first use, so that a sampler over another
scorer does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna_zerocost.scoring._candidate import Candidate, History
from optuna_zerocost.scoring._ranking import ByScore, Ranking, RankSum, Vote
from optuna_zerocost.scoring._scorer import Scorer

if TYPE_CHECKING:
    from optuna_zerocost.scoring._model_scorer import ModelScorer

__all__ = [
    "ByScore",
    "Candidate",
    "History",
    "ModelScorer",
    "RankSum",
    "Ranking",
    "Scorer",
    "Vote",
]


def __getattr__(name: str) -> object:
    if name != "ModelScorer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from optuna_zerocost.scoring._model_scorer import ModelScorer

    return ModelScorer
