"""Scoring that is cut into pieces, done here or by joblib's workers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from typing import Any, TypeVar

import joblib

from optuna_zerocost.scoring._apart import ScorerApart
from optuna_zerocost.scoring._rejection import ScoringProcessError
from optuna_zerocost.scoring._scorer import BaseScorer

__all__ = ["map_unordered"]

T = TypeVar("T")

# In a worker: the scorer of the run that it is at, whose process apart outlives a task.
_KEPT: dict[str, BaseScorer] = {}


def map_unordered(
    function: Callable[..., T], scorer: BaseScorer, tasks: Iterable[tuple[Any, ...]]
) -> Iterator[T]:
    """Yield ``function(scorer, *task)`` for each task, as they are done.

    The scorer's ``n_jobs`` is the number of workers: 1 does the work in this thread; ``None``
    leaves the number to ``joblib.parallel_config``, which also chooses the engine (processes by
    default, which find a module's function only). Tasks are asked for one by one, shortly before a
    worker is free: what a task is may depend on what was done until then.

    If a worker dies, joblib loses all of them, and does not tell which task it was. What was under
    way is done again, one task after the other with nothing beside it, by a scorer apart, which
    finds out the candidate; and so are the tasks that follow, in workers again.
    """
    if scorer.n_jobs == 1:
        yield from (function(scorer, *task) for task in tasks)
        return
    tasks = iter(tasks)
    under_way: dict[int, tuple[Any, ...]] = {}
    run = f"{os.getpid()}:{uuid.uuid4().hex}"

    def calls() -> Iterator[Any]:
        for index, task in enumerate(tasks):
            under_way[index] = task
            yield joblib.delayed(_in_worker)(function, scorer, run, index, task)

    parallel = joblib.Parallel(
        n_jobs=scorer.n_jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
    )
    try:
        for index, done in parallel(calls()):
            del under_way[index]
            yield done
        return
    except BrokenExecutor as error:
        if isinstance(scorer, ScorerApart):
            raise ScoringProcessError(
                "A worker died that scores nothing itself, but in a process apart. Probably there "
                "is too little memory for so many processes: use fewer n_jobs."
            ) from error
    apart = ScorerApart(scorer)
    yield from (function(apart, *task) for task in under_way.values())
    yield from map_unordered(function, apart, tasks)


def _in_worker(
    function: Callable[..., T], scorer: BaseScorer, run: str, index: int, task: tuple[Any, ...]
) -> tuple[int, T]:
    is_apart = isinstance(scorer, ScorerApart) or scorer.timeout is not None
    if is_apart and not run.startswith(f"{os.getpid()}:"):
        if run not in _KEPT:
            _KEPT.clear()
        scorer = _KEPT.setdefault(run, scorer)
    scorer.prepare_worker()
    return index, function(scorer, *task)
