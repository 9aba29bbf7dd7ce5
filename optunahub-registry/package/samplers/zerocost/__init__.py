"""What ``optuna-zerocost`` has, for ``optunahub.load_module("samplers/zerocost")``."""

from optuna_zerocost import AgingEvolutionSampler
from optuna_zerocost import Learned
from optuna_zerocost import Limits
from optuna_zerocost import ModelScorer
from optuna_zerocost import Pareto
from optuna_zerocost import RankSum
from optuna_zerocost import ReinforceSampler
from optuna_zerocost import RelationPredictorSampler
from optuna_zerocost import report_network
from optuna_zerocost import Sources
from optuna_zerocost import Vote
from optuna_zerocost import Warmup
from optuna_zerocost import ZeroCostPruner
from optuna_zerocost import ZeroCostSampler


__all__ = [
    "AgingEvolutionSampler",
    "Learned",
    "Limits",
    "ModelScorer",
    "Pareto",
    "RankSum",
    "ReinforceSampler",
    "RelationPredictorSampler",
    "Sources",
    "Vote",
    "Warmup",
    "ZeroCostPruner",
    "ZeroCostSampler",
    "report_network",
]
