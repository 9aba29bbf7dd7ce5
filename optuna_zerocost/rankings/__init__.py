"""Rankings: candidates and finished trials in, an order out."""

from optuna_zerocost.rankings._explanation import explain
from optuna_zerocost.rankings._fixed import ByScore, OnlyScore, RankSum, Vote, as_ranking
from optuna_zerocost.rankings._learned import Learned
from optuna_zerocost.rankings._observations import Observations, Table
from optuna_zerocost.rankings._outlook import Outlook
from optuna_zerocost.rankings._pareto import Pareto
from optuna_zerocost.rankings._rank_correlation import Estimate, kendall, spearman
from optuna_zerocost.rankings._ranking import (
    BaseRanking,
    Ranking,
    Sources,
    best_first,
    proposed_first,
)

__all__ = [
    "BaseRanking",
    "ByScore",
    "Estimate",
    "Learned",
    "Observations",
    "OnlyScore",
    "Outlook",
    "Pareto",
    "RankSum",
    "Ranking",
    "Sources",
    "Table",
    "Vote",
    "as_ranking",
    "best_first",
    "explain",
    "kendall",
    "proposed_first",
    "spearman",
]
