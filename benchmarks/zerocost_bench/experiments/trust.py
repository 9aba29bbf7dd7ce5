"""The worth of learning from the trials, with scores that help, mislead, or mean nothing.

Searches with samplers that learn from the trials what a score is worth, whatever the scores are;
and with aging evolution and TPE. A search ends where it is within 0.1 points of the best. Writes
curves.csv and summary.csv.
"""

from __future__ import annotations

import argparse
import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.samplers import BaseSampler

from optuna_zerocost.rankings import Learned
from optuna_zerocost.samplers import Warmup, ZeroCostSampler
from optuna_zerocost.scoring import Scorer
from zerocost_bench import tables
from zerocost_bench.algorithms import ALGORITHMS, ZeroCost
from zerocost_bench.algorithms import arms as searching_arms
from zerocost_bench.arguments import (
    add_accuracies,
    add_benchmark,
    add_effort,
    add_jobs,
    add_output_folder,
    add_record,
    add_score_file,
    benchmark_of,
    names,
)
from zerocost_bench.benchmark import Benchmark
from zerocost_bench.comparison import run_arms
from zerocost_bench.curves import GAPS
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.key_figures import record_figures
from zerocost_bench.pools import WithPool
from zerocost_bench.score_table import MeasuredScores, ScoreTable
from zerocost_bench.searches import Arm

__all__ = ["NO_SCORE", "Trust", "add_arguments", "arms", "run"]

_HELPFUL = ("synflow", "params")
_USELESS = "plain"

NO_SCORE = "learned, no score"
"""The arm that the others are compared with."""

# arm → how the names of its key figures begin
_RECORDED = {
    "learned, synflow + params": "two",
    "learned, all scores": "all",
    "learned, reversed synflow": "reversed",
    "learned, random numbers": "random",
    NO_SCORE: "none",
    "evolution + warmup + move": "evolution",
    "tpe": "tpe",
}


def constant_score(benchmark: Benchmark, trial: Any) -> dict[str, float]:
    """Return the same for each architecture, so that there is nothing to read from it."""
    benchmark.suggest(trial)
    return {"nothing": 0.0}


class ReversedScores:
    """Scores with their signs turned, which are said to be better when higher all the same.

    Args:
        table: Gives the scores.
    """

    def __init__(self, table: ScoreTable) -> None:
        self._table = table
        # Decides which networks a warmup draws; the stored results have this one.
        self.fingerprint = "optuna_zerocost.benchmarks._trust.ReversedScores"
        self._turn = {
            name: 1.0 if direction == "minimize" else -1.0
            for name, direction in table.score_directions.items()
        }
        self.score_names = tuple(f"reversed_{name}" for name in table.score_names)

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Return the turned scores of the architecture that ``trial`` suggests."""
        scores = self._table(trial)
        return {f"reversed_{name}": self._turn[name] * score for name, score in scores.items()}


@dataclass(frozen=True)
class RandomScores:
    """A random number for each architecture, always the same.

    Attributes:
        benchmark: Has the architectures.
        seed: Tells these numbers from others.
    """

    benchmark: Benchmark
    seed: int
    score_names: tuple[str, ...] = ("random",)

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Return the number of the architecture that ``trial`` suggests."""
        index = self.benchmark.index(self.benchmark.suggest(trial))
        return {"random": random.Random(f"{self.seed};{index}").random()}


@dataclass(frozen=True)
class Trust:
    """Settings of the samplers that learn.

    Attributes:
        benchmark: What is searched.
        base: Algorithm that they ask for draws, one of
            :data:`~zerocost_bench.algorithms.ALGORITHMS`.
        candidates: Random networks in the warmup's pool.
        scores: The file with the scores; ``None`` for what comes with the package.
        batch_size: Of the package's scores, take those measured with so many images. Of every
            network they come with the package for 16.
    """

    benchmark: Benchmark
    base: str = "tpe"
    candidates: int = 3000
    scores: str | None = None
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.base not in ALGORITHMS:
            raise BenchmarkError(
                f"no algorithm is called {self.base!r}; known are {', '.join(ALGORITHMS)}"
            )

    def measured(self) -> MeasuredScores:
        """Return the scores.

        Raises:
            BenchmarkError: If they are not there, or synflow and params are not among them.
        """
        try:
            scores = _load(self.benchmark, self.scores, self.batch_size)
            self.benchmark.score_table(_HELPFUL, scores=scores)
        except ValueError as error:
            raise BenchmarkError(str(error)) from error
        return scores


@functools.lru_cache(maxsize=1)
def _load(benchmark: Benchmark, file: str | None, batch_size: int) -> MeasuredScores:
    return benchmark.load_scores(file, batch_size=batch_size)


def arms(trust: Trust, parts: Sequence[str] | None = None) -> list[Arm]:
    """Return samplers that learn from different scores, and the algorithms to compare with.

    They are ``synflow`` and ``params`` together; all scores that were measured for every network;
    ``synflow`` turned round; random numbers; ``plain``, where it was measured; no score at all.
    For comparison: aging evolution with the paper's warmup and moves, aging evolution alone, and
    Optuna's TPE alone.

    Args:
        trust: How the samplers that learn are set up.
        parts: Only those with one of these in their label, and the one with no score.

    Raises:
        BenchmarkError: If the scores are not there, or a part is in no label.
    """
    scores = trust.measured()
    others = [name for name in scores if name not in _HELPFUL]
    whole = tuple(name for name in (*_HELPFUL, *others) if scores.measured[name].all())
    tables = {"synflow + params": _HELPFUL, "all scores": whole}
    if _USELESS in whole:
        tables[_USELESS] = (_USELESS,)
    found = [
        _arm(
            name,
            trust,
            functools.partial(_table, trust, names),
            trust.benchmark.score_table(names, scores=scores),
        )
        for name, names in tables.items()
    ]
    synflow = trust.benchmark.score_table(_HELPFUL[:1], scores=scores)
    found += [
        _arm("reversed synflow", trust, functools.partial(_reversed, trust), synflow),
        _arm("random numbers", trust, functools.partial(RandomScores, trust.benchmark)),
        _arm(NO_SCORE.removeprefix("learned, "), trust, functools.partial(_no_score, trust)),
    ]
    paper = ZeroCost(
        trust.benchmark,
        scores=trust.scores,
        batch_size=trust.batch_size,
        candidates=trust.candidates,
        warmup_trials=min(trust.candidates, 64),
    )
    found += searching_arms(["evolution"], ["both", "base"], paper)
    found += searching_arms(["tpe"], ["base"], paper)
    return found if parts is None else _chosen(found, parts)


def _chosen(arms: Sequence[Arm], parts: Sequence[str]) -> list[Arm]:
    for part in parts:
        if not any(part in arm.label for arm in arms):
            known = "; ".join(arm.label for arm in arms)
            raise BenchmarkError(f"no sampler's name has {part!r} in it; there are {known}")
    wanted = [*parts, NO_SCORE]
    return [arm for arm in arms if any(part in arm.label for part in wanted)]


def _arm(
    name: str, trust: Trust, scorer: Callable[[int], Scorer], table: ScoreTable | None = None
) -> Arm:
    settings = {
        "learned": name,
        "base": trust.base,
        "candidates": trust.candidates,
        "scores": "" if table is None else table.fingerprint,
    }
    make = functools.partial(make_sampler, trust, scorer)
    return Arm(f"learned, {name}", settings, make, weight=60.0)


def _table(trust: Trust, names: tuple[str, ...], seed: int) -> ScoreTable:
    return trust.benchmark.score_table(names, scores=trust.measured())


def _reversed(trust: Trust, seed: int) -> Scorer:
    return ReversedScores(_table(trust, _HELPFUL[:1], seed))


def _no_score(trust: Trust, seed: int) -> Scorer:
    return functools.partial(constant_score, trust.benchmark)


def make_sampler(trust: Trust, scorer: Callable[[int], Scorer], seed: int) -> BaseSampler:
    """Return the sampler of an arm that learns."""
    return ZeroCostSampler(
        WithPool(scorer(seed), trust.benchmark.title),
        base_sampler=ALGORITHMS[trust.base].make_sampler(trust.benchmark, seed),
        ranking=Learned(),
        warmup=Warmup(trust.candidates, min(trust.candidates, 64), show_progress_bar=False),
        seed=seed,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    add_benchmark(parser)
    add_accuracies(parser)
    add_score_file(parser, batch_size=16)  # of all networks
    parser.add_argument(
        "--base",
        default="tpe",
        metavar="A",
        help="algorithm that the samplers that learn ask: random, tpe, evolution",
    )
    parser.add_argument(
        "--arms",
        type=names,
        metavar="A,B",
        help="parts of the names of the samplers that are compared (default: all)",
    )
    add_effort(parser, seeds=40)
    add_jobs(parser)
    add_output_folder(parser)
    add_record(parser)


def run(arguments: argparse.Namespace) -> None:
    """Search, print and write."""
    trust = Trust(
        benchmark_of(arguments),
        base=arguments.base,
        candidates=arguments.warmup_candidates,
        scores=arguments.scores,
        batch_size=arguments.batch_size,
    )
    folder, curves = run_arms(arguments, arms(trust, arguments.arms), until=min(GAPS))
    for dataset, shown in curves.items():
        print(
            f"{dataset}, {arguments.metric} accuracy, {arguments.seeds} searches of at most "
            f"{arguments.trials} networks:"
        )
        print(
            tables.trust_text(shown, trials=arguments.trials, reference=NO_SCORE),
            end="\n\n",
            flush=True,
        )
    print(tables.TRUST_KEY, end="\n\n")
    if arguments.record:
        needed = {
            f"{_RECORDED[curve.label]}_{dataset}".lower().replace("-", "_"): curve.needed[GAPS[-1]]
            for dataset, shown in curves.items()
            for curve in shown
            if curve.label in _RECORDED
        }
        medians = {name: median for name, (_, median, _) in needed.items()}
        record_figures("trust", arguments.command_line, medians)
    print(f"The tables are in {folder}")
