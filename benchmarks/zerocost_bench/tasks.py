"""Many tasks in processes of their own, with a progress bar; what is done is kept by the tasks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import joblib
from tqdm import tqdm

__all__ = ["run_tasks"]


def run_tasks(
    function: Callable[..., object],
    tasks: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    sizes: Sequence[int],
    done: int,
    label: str,
    unit: str,
) -> None:
    """Call ``function(*task)`` for each task.

    Args:
        function: A function of a module; it stores what it finds.
        tasks: What is left to do, the longest first.
        jobs: Processes at a time; 1 uses this one.
        sizes: For each task how many units it adds to the progress bar.
        done: Units that were done before.
        label: What the progress bar says.
        unit: What it counts.
    """
    bar = tqdm(total=done + sum(sizes), initial=done, desc=label, unit=unit, disable=None)
    numbered = joblib.Parallel(
        n_jobs=max(1, min(jobs, len(tasks))), return_as="generator_unordered", batch_size=1
    )
    with bar:
        for size in numbered(
            joblib.delayed(_run)(os.getpid(), function, task, size)
            for task, size in zip(tasks, sizes, strict=True)
        ):
            bar.update(size)


def _run(parent: int, function: Callable[..., object], task: tuple[Any, ...], size: int) -> int:
    if os.getpid() != parent:
        # An interrupt reaches the whole group; the process that started this one answers it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    function(*task)
    return size
