"""Which of a study's trials is better than which."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.records import outcome_of, sign_of

__all__ = ["Relation", "best_first", "relation_of"]

Relation = npt.NDArray[np.int8]
"""Shape (m, m): 1 where the row is better than the column, −1 where worse, 0 where neither."""


def relation_of(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> Relation:
    """Compare each two of m trials.

    With one objective by their outcomes, of which only the order counts. With several objectives a
    trial is better than one that it dominates.

    Args:
        trials: Complete or pruned trials.
        directions: One for each objective.
    """
    signs = [sign_of(direction) for direction in directions]
    if len(signs) == 1:
        keys = [outcome_of(trial, directions[0]) for trial in trials]
        ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
        merits = np.array([[ranks[key]] for key in keys], dtype=np.float64).reshape(-1, 1)
    else:
        values = [t.values if t.state == TrialState.COMPLETE else [math.nan] for t in trials]
        merits = np.array([np.multiply(v, signs) for v in values]).reshape(-1, len(signs))
    at_least = (merits[:, None] >= merits[None]).all(axis=-1)
    relation: Relation = at_least.astype(np.int8) - at_least.T.astype(np.int8)
    return relation


def best_first(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> list[FrozenTrial]:
    """Return ``trials`` by how many others they are better than, less how many are better."""
    won = relation_of(trials, directions).sum(axis=1, dtype=np.int64)
    return [trials[index] for index in np.argsort(-won, kind="stable")]
