"""The scores that a trial was chosen among, kept short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from optuna_zerocost.records._attributes import PREFIX
from optuna_zerocost.records._candidate import Candidate
from optuna_zerocost.records._long_values import read_json, write_json

__all__ = ["considered_scores", "store_considered"]

_KEY = f"{PREFIX}considered"

# As many candidates as a usual trial has keep their own score; of more, quantiles are kept.
_MOST_NUMBERS = 33


def store_considered(
    write: Callable[[str, Any], None], candidates: Sequence[Candidate], names: Sequence[str]
) -> None:
    """Store the scores of ``candidates``, the chosen one included, in rising order.

    ``write`` sets one system attribute of the trial. No ``names`` keep all scores.
    """
    kept = names or sorted({name for candidate in candidates for name in candidate.scores})
    values = {
        name: [candidate.scores[name] for candidate in candidates if name in candidate.scores]
        for name in kept
    }
    write_json(write, _KEY, {name: _shortened(of_name) for name, of_name in values.items()})


def considered_scores(attributes: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return name → scores in rising order, of a trial's system attributes.

    Scores have six digits. More than 33 candidates are represented by as many quantiles, the
    lowest and the highest score among them.
    """
    return read_json(attributes, _KEY) or {}


def _shortened(values: Sequence[float]) -> list[float]:
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if len(ordered) > _MOST_NUMBERS:
        # Scores that exist rather than values between them: a mean of 1 and 1e9 is neither.
        ordered = np.quantile(ordered, np.linspace(0, 1, _MOST_NUMBERS), method="nearest")
    return [float(f"{value:.6g}") for value in ordered]
