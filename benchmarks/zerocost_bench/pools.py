"""Pools of a warmup that do not change with the place where a scorer is defined."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from optuna_zerocost.records import without_address
from optuna_zerocost.scoring import Scorer, as_scorer

__all__ = ["WithPool", "named_with_module"]


def named_with_module(value: Any) -> str:
    """Return where a function, or an object's class, is defined; a partial's with its arguments.

    Pools of stored results were drawn by such names.
    """
    if isinstance(value, functools.partial):
        bound = [*map(_described, value.args)]
        bound += [f"{name}={_described(each)}" for name, each in value.keywords.items()]
        return f"{named_with_module(value.func)}({', '.join(bound)})"
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _described(value: Any) -> str:
    return named_with_module(value) if callable(value) else without_address(repr(value))


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
