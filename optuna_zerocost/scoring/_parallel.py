"""Scoring that is cut into pieces, done here or by joblib's workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import joblib

from optuna_zerocost.scoring._scorer import BaseScorer

__all__ = ["map_unordered"]

T = TypeVar("T")


def map_unordered(
    function: Callable[..., T], scorer: BaseScorer, tasks: Iterable[tuple[Any, ...]]
) -> Iterator[T]:
    """Yield ``function(scorer, *task)`` for each task, as they are done.

    The scorer's ``n_jobs`` is the number of workers: 1 does the work in this thread; ``None``
    leaves the number to ``joblib.parallel_config``, which also chooses the engine (processes by
    default, which find a module's function only). Tasks are asked for one by one, shortly before a
    worker is free: what a task is may depend on what was done until then.
    """
    if scorer.n_jobs == 1:
        yield from (function(scorer, *task) for task in tasks)
        return
    parallel = joblib.Parallel(
        n_jobs=scorer.n_jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
    )
    yield from parallel(joblib.delayed(_in_worker)(function, scorer, task) for task in tasks)


def _in_worker(function: Callable[..., T], scorer: BaseScorer, task: tuple[Any, ...]) -> T:
    scorer.prepare_worker()
    return function(scorer, *task)
