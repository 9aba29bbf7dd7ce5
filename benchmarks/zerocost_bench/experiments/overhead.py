"""Time that the sampler itself takes, besides scoring and training.

Prints, for several base samplers and storages, the median time of a trial of the bare base sampler
and of ``ZeroCostSampler`` with 32 moves around it, once the history has the given length. Scoring
and training cost nothing here: the scorer is a sum, and the objective returns it.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from optuna_zerocost import AgingEvolutionSampler, ZeroCostSampler

CHOICES = [0, 1, 2, 3, 4]
NAMES = [f"op{i}" for i in range(6)]  # as many architectures as NAS-Bench-201 has


def space(trial: Any) -> float:
    return float(sum(trial.suggest_categorical(name, CHOICES) for name in NAMES))


def score(trial: Any) -> dict[str, float]:
    return {"sum": space(trial)}


BASES: dict[str, Callable[[], BaseSampler]] = {
    "random": lambda: RandomSampler(seed=0),
    "tpe": lambda: TPESampler(seed=0, constant_liar=True),
    "nsga2": lambda: NSGAIISampler(seed=0),
    "evolution": lambda: AgingEvolutionSampler(seed=0),
    "gp": lambda: GPSampler(seed=0),
}
FAST = [name for name in BASES if name != "gp"]


def history(length: int) -> list[optuna.trial.FrozenTrial]:
    generator = np.random.default_rng(0)
    distribution = CategoricalDistribution(CHOICES)
    trials = []
    for _ in range(length):
        params = {name: int(generator.integers(5)) for name in NAMES}
        trials.append(
            optuna.trial.create_trial(
                params=params,
                distributions={name: distribution for name in NAMES},
                value=float(sum(params.values())),
            )
        )
    return trials


def median_seconds(sampler: BaseSampler, storage: Any, past: Any, trials: int) -> float:
    study = optuna.create_study(storage=storage, sampler=sampler)
    study.add_trials(past)
    seconds = []
    for _ in range(trials):
        started = time.perf_counter()
        trial = study.ask()
        study.tell(trial, space(trial))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--bases", choices=list(BASES), nargs="+", default=FAST, metavar="NAME")
    parser.add_argument("--history", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--moves", type=int, default=32)
    parser.add_argument("--trials", type=int, default=15)


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"| base | storage | history | bare, ms | {arguments.moves} moves, ms | ms a move |")
    print("| --- | --- | --- | --- | --- | --- |")
    for length in arguments.history:
        past = history(length)
        for base in arguments.bases:
            for kind in ("memory", "sqlite"):
                with tempfile.TemporaryDirectory() as folder:
                    url = f"sqlite:///{pathlib.Path(folder) / 'study.db'}"
                    storage = url if kind == "sqlite" else None
                    bare = median_seconds(BASES[base](), storage, past, arguments.trials)
                    sampler = ZeroCostSampler(
                        score, base_sampler=BASES[base](), warmup=None, moves=arguments.moves
                    )
                    wrapped = median_seconds(sampler, storage, past, arguments.trials)
                per_move = (wrapped - bare) / arguments.moves
                print(
                    f"| {base} | {kind} | {length} | {bare * 1e3:.1f} | {wrapped * 1e3:.1f} "
                    f"| {per_move * 1e3:.2f} |",
                    flush=True,
                )
