"""Algorithms: samplers of their own, alone or as the base of ``ZeroCostSampler``.

The network of one of them needs torch, and is imported from ``relation_network`` on its own.
"""

from optuna_zerocost.algorithms._aging_evolution import AgingEvolutionSampler
from optuna_zerocost.algorithms._mutations import Mutations
from optuna_zerocost.algorithms._neighbours import one_edit_neighbours
from optuna_zerocost.algorithms._reinforce import ReinforceSampler
from optuna_zerocost.algorithms._relation_predictor import RelationPredictorSampler

__all__ = [
    "AgingEvolutionSampler",
    "Mutations",
    "ReinforceSampler",
    "RelationPredictorSampler",
    "one_edit_neighbours",
]
