"""Time that the ranking ``Learned`` takes for a trial, by the number of finished trials.

The architectures are those of NAS-Bench-201 and their scores random numbers, looked up in no time,
so that what remains is the sampler: drawing from the base sampler, fitting, ranking the warmup's
pool of 1000 and the other candidates, what is written to the storage.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import create_trial

from optuna_zerocost import Learned, Warmup, ZeroCostSampler
from zerocost_bench.algorithms import ALGORITHMS
from zerocost_bench.nasbench201 import (
    BENCHMARK,
    EDGES,
    OPERATIONS,
    parameters_of,
    suggest_architecture,
)

SPACE: dict[str, BaseDistribution] = {
    name: CategoricalDistribution(OPERATIONS)
    for name in parameters_of(OPERATIONS[:1] * len(EDGES))
}


class Scorer:
    """Random numbers that are functions of the architecture."""

    def __init__(self, scores: int) -> None:
        self.score_names = tuple(f"score{index}" for index in range(scores))

    def __call__(self, trial: Any) -> dict[str, float]:
        """Return the scores of what ``trial`` suggests."""
        return self.of(suggest_architecture(trial))

    def of(self, architecture: tuple[Any, ...]) -> dict[str, float]:
        """Return the scores of an architecture."""
        generator = random.Random(str(architecture))
        return {name: generator.random() for name in self.score_names}


def seconds_for_a_trial(
    base: BaseSampler, ranking: Learned, scorer: Scorer, finished: int, repeats: int
) -> float:
    """Median time from ``ask`` to the last parameter, after ``finished`` trials."""
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=base,
        ranking=ranking,
        warmup=Warmup(candidates=1000, trials=8, show_progress_bar=False),
        seed=0,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    generator = random.Random(0)
    for _ in range(finished):
        params = {name: generator.choice(OPERATIONS) for name in SPACE}
        scores = scorer.of(tuple(params.values()))
        attributes = {f"zerocost:{name}": score for name, score in scores.items()}
        value = scores["score0"] + generator.random()
        study.add_trial(
            create_trial(value=value, params=params, distributions=SPACE, user_attrs=attributes)
        )
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        trial = study.ask()
        suggest_architecture(trial)
        seconds.append(time.perf_counter() - started)
        study.tell(trial, generator.random())
    return statistics.median(seconds[1:])  # the first one scores the pool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--scores", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    scorer = Scorer(arguments.scores)
    print(f"| finished trials | base sampler | s per trial, {arguments.scores} scores |")
    print("| ---: | --- | ---: |")
    for finished in arguments.trials:
        for name, base in (
            ("random", RandomSampler(seed=0)),
            ("TPE", ALGORITHMS["tpe"].make_sampler(BENCHMARK, 0)),
        ):
            median = seconds_for_a_trial(base, Learned(), scorer, finished, arguments.repeats)
            print(f"| {finished} | {name} | {median:.2f} |", flush=True)
