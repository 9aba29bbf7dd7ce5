"""Pools of a warmup that do not change with the place where a scorer is defined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna_zerocost.scoring import Scorer, as_scorer

__all__ = ["WithPool"]


class WithPool:
    """A scorer whose warmup draws the networks that every other one of this pool draws by a seed.

    So a comparison is not decided by which scorer was lucky with its random networks, and a result
    does not change when code moves.

    Args:
        scorer: Gives the scores.
        pool: What the pool is called.
    """

    def __init__(self, scorer: Scorer, pool: str) -> None:
        self._scorer = scorer
        self.fingerprint = pool
        whole = as_scorer(scorer)
        self.score_names = whole.score_names
        self.score_directions = whole.score_directions

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Return the scores of the architecture that ``trial`` suggests."""
        return self._scorer(trial)
