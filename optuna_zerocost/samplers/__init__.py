"""The sampler that puts scores of untrained networks to work in Optuna."""

from optuna_zerocost.algorithms import (
    AgingEvolutionSampler,
    ReinforceSampler,
    RelationPredictorSampler,
)
from optuna_zerocost.samplers._pool_source import PoolSource
from optuna_zerocost.samplers._provenance import OtherScorerError
from optuna_zerocost.samplers._warmup import Warmup
from optuna_zerocost.samplers._zerocost import ZeroCostSampler

__all__ = [
    "AgingEvolutionSampler",
    "OtherScorerError",
    "PoolSource",
    "ReinforceSampler",
    "RelationPredictorSampler",
    "Warmup",
    "ZeroCostSampler",
]
