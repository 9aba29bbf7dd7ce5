"""Rankings: candidates and finished trials in, an order out."""

from optuna_zerocost.rankings._explanation import explain
from optuna_zerocost.rankings._learned import Learned, Sources, _Assessment
from optuna_zerocost.rankings._parameter_distance import Differences
from optuna_zerocost.rankings._pareto import Pareto
from optuna_zerocost.rankings._rank_correlation import Estimate, kendall, spearman
from optuna_zerocost.rankings._ranking import (
    AsDrawn,
    ByScore,
    Ranking,
    RankSum,
    Vote,
    as_ranking,
    best_first,
    oriented_scores,
)
from optuna_zerocost.rankings._surrogate import Surrogate

__all__ = [
    "AsDrawn",
    "ByScore",
    "Differences",
    "Estimate",
    "Learned",
    "Pareto",
    "RankSum",
    "Ranking",
    "Sources",
    "Surrogate",
    "Vote",
    "_Assessment",
    "as_ranking",
    "best_first",
    "explain",
    "kendall",
    "oriented_scores",
    "spearman",
]
