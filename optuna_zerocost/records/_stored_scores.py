"""Scores as they are stored with a trial: user attributes, so that optuna-dashboard shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna_zerocost.records._attributes import PREFIX, is_score_name

__all__ = ["stored_scores"]


def stored_scores(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores, finite numbers, among the user attributes of a trial.

    Args:
        attributes: ``trial.user_attrs``.

    Returns:
        Name → score, without the prefix; empty if the trial was not scored.
    """
    # The storage in memory hands out live trials, which a worker may be writing to: read a copy.
    return {
        name: float(value)
        for key, value in dict(attributes).items()
        if key.startswith(PREFIX)
        and is_score_name(name := key.removeprefix(PREFIX))
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
