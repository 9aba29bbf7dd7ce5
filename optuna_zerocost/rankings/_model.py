"""A surrogate over observations: predictions for rows of a table, and trust in its scores."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from optuna_zerocost.rankings._observations import FEWEST_VALUES, Observations
from optuna_zerocost.rankings._rank_correlation import spearman
from optuna_zerocost.rankings._surrogate import Surrogate

__all__ = ["GaussianProcess", "Model", "trust_in_scores"]

_Array = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.intp]

# Trust is only told, not used, so that fewer trials do.
_MOST_TRIALS_FOR_TRUST = 100


class Model(Protocol):
    """Whatever predicts rows of a table of observations."""

    def predict(self, seen: Observations, rows: _Rows) -> tuple[_Array, _Array]:
        """Return the means of ``rows`` and their standard deviations, both of shape (m,)."""
        ...


class GaussianProcess:
    """The surrogate of parameters and scores, fitted to the rows that have values."""

    def __init__(self, seen: Observations, rows: _Rows, values: _Array, studies: _Rows) -> None:
        self._rows = rows
        self._surrogate = Surrogate(
            seen.distance.between(rows, rows),
            seen.telling[rows],
            values,
            studies=studies,
            doubts=seen.is_doubted[seen.is_telling],
        )

    def predict(self, seen: Observations, rows: _Rows) -> tuple[_Array, _Array]:
        """Return the means of ``rows`` and their standard deviations, both of shape (m,)."""
        return self._surrogate.predict(seen.distance.between(rows, self._rows), seen.telling[rows])


def trust_in_scores(seen: Observations) -> dict[str, float]:
    """Return what each score explains beyond the parameters; see ``Learned.trust``."""
    rows = np.arange(len(seen.own.trials), dtype=np.intp)[-_MOST_TRIALS_FOR_TRUST:]
    if len(rows) < FEWEST_VALUES:
        return {}
    values = seen.values[rows]
    differences = seen.distance.between(rows, rows)

    def error_with(scores: _Array) -> float:
        # One model for each score: it must be quick.
        return Surrogate(differences, scores, values, with_choices=False).leave_one_out_error()

    without = error_with(np.zeros((len(rows), 0)))
    found = {}
    for index, name in enumerate(seen.names):
        column = seen.scores[rows, index : index + 1]
        error = error_with(column)
        share = max(0.0, 1.0 - error / without) if without > 0 else 0.0
        rho = spearman(list(column[:, 0]), list(values)).value
        found[name] = math.copysign(share, rho) if rho else 0.0
    return found
