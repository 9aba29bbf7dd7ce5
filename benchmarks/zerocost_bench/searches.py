"""Searches on a benchmark by several algorithms and many seeds, each kept when it is done.

A search is a function of the algorithm, the seed and the table, so its file holds the trained
networks in order, and every figure is made from these.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.samplers import BaseSampler

from optuna_zerocost import __version__
from zerocost_bench.benchmark import Benchmark
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import make_folder, write_whole
from zerocost_bench.tasks import run_tasks

__all__ = ["Arm", "Search", "run_searches"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """One way to search, that is run with several seeds.

    Attributes:
        label: What it is called, such as ``"evolution + warmup"``.
        settings: All that its results depend on besides the seed and the objective; what was done
            with other settings is not taken for it.
        make_sampler: Seed → sampler. It goes to other processes, so its parts are functions of a
            module, or partial applications of these.
        weight: How long it takes, relative to other arms: those that take longer start first.
    """

    label: str
    settings: Mapping[str, Any]
    make_sampler: Callable[[int], BaseSampler]
    weight: float = 1.0


@dataclass(frozen=True)
class Search:
    """One search, done.

    Attributes:
        label: The arm's.
        dataset: What was searched.
        seed: The sampler's.
        trained: The trained networks in order, by their place among the benchmark's architectures.
        seconds: For the whole study: sampling, scores looked up, bookkeeping. Training costs
            nothing here, so divided by the number of trials it is the overhead.
    """

    label: str
    dataset: str
    seed: int
    trained: npt.NDArray[np.int64]
    seconds: float


def run_searches(
    benchmark: Benchmark,
    arms: Sequence[Arm],
    objectives: Mapping[str, Array],
    *,
    metric: str,
    seeds: Sequence[int],
    trials: int,
    folder: Path,
    jobs: int = 1,
    until: float | None = None,
) -> list[Search]:
    """Run every arm with every seed on every data set; take from ``folder`` what is there.

    Args:
        benchmark: What is searched.
        arms: Ways to search, each with a label of its own.
        objectives: Data set → accuracy of each architecture, to be maximized.
        metric: What the accuracies are called; part of a search's identity.
        seeds: Seeds of the samplers.
        trials: Networks that a search trains.
        folder: Where searches are kept, one file each, written when it is done.
        jobs: Searches at a time, in processes of their own.
        until: A search ends early when it has trained a network this near to the best there is.

    Returns:
        The searches, by data set, arm and seed.

    Raises:
        BenchmarkError: If a file in the folder cannot be read, or none be written.
    """
    # Processes that were there before may work in another folder.
    folder = make_folder(folder.absolute())
    wanted = {
        (dataset, arm.label, seed): _file_of(
            folder,
            benchmark,
            arm,
            dataset,
            metric=metric,
            seed=seed,
            trials=trials,
            until=until,
        )
        for dataset in objectives
        for arm in arms
        for seed in seeds
    }
    left = sorted(
        (
            (arm, dataset, seed)
            for arm in arms
            for dataset in objectives
            for seed in seeds
            if not wanted[dataset, arm.label, seed].exists()
        ),
        key=lambda task: -task[0].weight,
    )
    goals = {
        dataset: math.inf if until is None else float(objective.max()) - until
        for dataset, objective in objectives.items()
    }
    run_tasks(
        _run,
        [
            (
                benchmark,
                arm,
                dataset,
                seed,
                objectives[dataset],
                trials,
                goals[dataset],
                wanted[dataset, arm.label, seed],
            )
            for arm, dataset, seed in left
        ],
        jobs=jobs,
        sizes=[trials] * len(left),
        done=trials * (len(wanted) - len(left)),
        label="searching",
        unit="trial",
    )
    return [_read(file, label, dataset, seed) for (dataset, label, seed), file in wanted.items()]


def _file_of(
    folder: Path,
    benchmark: Benchmark,
    arm: Arm,
    dataset: str,
    *,
    metric: str,
    seed: int,
    trials: int,
    until: float | None,
) -> Path:
    """Return the file of a search: the settings are in its name, in short."""
    settings = {
        **arm.settings,
        "benchmark": benchmark.name,
        "metric": metric,
        "trials": trials,
        **({} if until is None else {"until": until}),
        "optuna": optuna.__version__,
        "optuna_zerocost": __version__,
    }
    identity = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]
    name = "-".join(arm.label.replace("+", " ").split())
    return folder / f"{dataset}-{name}-{identity}-seed{seed:03}.json"


def _run(
    benchmark: Benchmark,
    arm: Arm,
    dataset: str,
    seed: int,
    objective: Array,
    trials: int,
    goal: float,
    file: Path,
) -> None:
    trained: list[int] = []

    def train(trial: optuna.Trial) -> float:
        trained.append(benchmark.index(benchmark.suggest(trial)))
        value = float(objective[trained[-1]])
        if value >= goal:
            trial.study.stop()
        return value

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        started = time.process_time()
        study = optuna.create_study(
            study_name=f"{dataset}-{seed}", direction="maximize", sampler=arm.make_sampler(seed)
        )
        study.optimize(train, n_trials=trials)
        seconds = time.process_time() - started
    finally:
        optuna.logging.set_verbosity(verbosity)
    content = {
        "label": arm.label,
        "settings": dict(arm.settings),
        "dataset": dataset,
        "seed": seed,
        "seconds": seconds,
        "trained": trained,
    }
    write_whole(file, lambda handle: json.dump(content, handle))


def _read(file: Path, label: str, dataset: str, seed: int) -> Search:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        trained = np.array(content["trained"], dtype=np.int64)
        return Search(label, dataset, seed, trained, float(content["seconds"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"{file} cannot be read ({type(error).__name__}: {error}); remove it, and the same "
            "command runs that search again"
        ) from error
