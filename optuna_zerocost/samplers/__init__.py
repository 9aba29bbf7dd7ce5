"""Samplers that put scores of untrained networks to work in Optuna."""

from optuna_zerocost.samplers._aging_evolution import AgingEvolutionSampler
from optuna_zerocost.samplers._reinforce import ReinforceSampler
from optuna_zerocost.samplers._relation_predictor import RelationPredictorSampler
from optuna_zerocost.samplers._warmup import Warmup
from optuna_zerocost.samplers._zerocost import ZeroCostSampler

__all__ = [
    "AgingEvolutionSampler",
    "ReinforceSampler",
    "RelationPredictorSampler",
    "Warmup",
    "ZeroCostSampler",
]
