"""The samplers of ``optuna-zerocost``, for ``optunahub.load_module("samplers/zerocost")``."""

from optuna_zerocost import (
    AgingEvolutionSampler,
    ModelScorer,
    ReinforceSampler,
    RelationPredictorSampler,
    Warmup,
    ZeroCostSampler,
)

__all__ = [
    "AgingEvolutionSampler",
    "ModelScorer",
    "ReinforceSampler",
    "RelationPredictorSampler",
    "Warmup",
    "ZeroCostSampler",
]
