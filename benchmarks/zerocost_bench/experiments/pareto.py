"""Two objectives: does a Pareto ranking of scores find better trade-offs?

Accuracy against each cost that the benchmark knows (for NAS-Bench-201 latency and size), looked up
in its table for its first data set. Base samplers alone, and inside ``ZeroCostSampler`` with move
proposal, all with the same number of trials, that is of trainings. What counts is the hypervolume:
the area that the trials dominate. The reference point is the worst of each objective in the table,
and the area is a share of the rectangle between it and the best of each.

The scores do not look at the table: synflow, and for the cost a count from the operations alone.
For a size that is the number of parameters. For a latency it is the number of layers that run
in a cell: ReLU, convolution, BatchNorm and the sum at the node make four for a convolution, two
for pooling, one for a skip connection. (Parameters and floating point operations order these
architectures alike, and follow the latency less.)
"""

from __future__ import annotations

import argparse
import pathlib
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from optuna_zerocost import Pareto, ZeroCostSampler
from zerocost_bench.arguments import add_benchmark, add_record, benchmark_of
from zerocost_bench.benchmark import Benchmark
from zerocost_bench.key_figures import record_figures

BASES: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "NSGA-II": lambda seed: NSGAIISampler(seed=seed),
    "NSGA-II, population 20": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "TPE": lambda seed: TPESampler(seed=seed, constant_liar=True),
}


def synflow_of(benchmark: Benchmark, file: pathlib.Path | None) -> Callable[[Any], float]:
    """Return a function from a trial to synflow, as measured, of a file or what is there."""
    table = benchmark.score_table(("synflow",), scores=benchmark.load_scores(file))
    return lambda trial: table(trial)["synflow"]


def make_scorer(
    benchmark: Benchmark, synflow: Callable[[Any], float]
) -> Callable[[Any], dict[str, float]]:
    def score(trial: Any) -> dict[str, float]:
        counts = benchmark.counts(benchmark.suggest(trial), benchmark.trained_with)
        stand_ins = {name: counts[name] for name in benchmark.stand_ins.values()}
        return {"synflow": synflow(trial), **stand_ins}

    return score


def hypervolume(points: Iterable[Sequence[float]]) -> float:
    """Return the area of the unit square that points dominate; higher is better for both."""
    area, height = 0.0, 0.0
    for x, y in sorted(map(tuple, points), reverse=True):
        if y > height:
            area, height = area + x * (y - height), y
    return area


class Objectives:
    """Accuracy and a cost, and where between worst and best of the table a trial's values are."""

    def __init__(self, benchmark: Benchmark, cost: str) -> None:
        dataset = benchmark.datasets[0]
        accuracies = benchmark.load_accuracies(dataset).validation
        self._benchmark = benchmark
        self._values = np.stack([accuracies, benchmark.load_costs(dataset)[cost]], axis=1)
        self._worst = np.array([self._values[:, 0].min(), self._values[:, 1].max()])
        self._best = np.array([self._values[:, 0].max(), self._values[:, 1].min()])
        self.reference = tuple(self._worst.tolist())
        self.possible = self.share(self._values)

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Look up a trial's accuracy and cost."""
        accuracy, cost = self._values[self._benchmark.index(self._benchmark.suggest(trial))]
        return float(accuracy), float(cost)

    def share(self, values: Any) -> float:
        """Return the hypervolume of values [n, 2]."""
        return hypervolume(
            ((np.asarray(values) - self._worst) / (self._best - self._worst)).tolist()
        )


def search(sampler: BaseSampler, objectives: Objectives, *, trials: int) -> float:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objectives, n_trials=trials)
    return objectives.share([trial.values for trial in study.get_trials(deepcopy=False)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    add_benchmark(parser)
    add_record(parser)
    parser.add_argument("--scores", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--moves", type=int, default=32)
    parser.add_argument("--output", type=pathlib.Path, help="write this file")


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    benchmark = benchmark_of(arguments)
    score = make_scorer(benchmark, synflow_of(benchmark, arguments.scores))
    started = time.perf_counter()
    figures: dict[str, float] = {}
    lines = [
        f"# Two objectives on {benchmark.title}",
        "",
        f"`zerocost-bench pareto {'--scores SCORES.npz ' if arguments.scores else ''}"
        f"--seeds {arguments.seeds} --first-seed {arguments.first_seed} "
        f"--trials {arguments.trials} --moves {arguments.moves}`",
        "",
        f"Hypervolume after {arguments.trials} trials (trainings by table), median with quartiles "
        f"of {arguments.seeds} seeds; a share of the rectangle between the worst and the best of "
        'each objective. "Of what was missing" is the share of the gap between the base '
        "sampler's median and the whole table's hypervolume that the proposals close. \"Higher\" "
        "counts the seeds with which the proposals do better than the base sampler alone.",
    ]
    for cost, stand_in in benchmark.stand_ins.items():
        objectives = Objectives(benchmark, cost)
        accuracy, worst = objectives.reference
        ranking = Pareto("synflow", f"-{stand_in}")
        lines += [
            "",
            f"## Accuracy and {cost}, `ranking={ranking!r}`",
            "",
            f"Reference point: accuracy {accuracy:.3f} %, {cost} {worst:.5g}. "
            f"All {len(benchmark.architectures()):,} architectures together: "
            f"{objectives.possible:.4f}.",
            "",
            f"| base sampler | alone | with {arguments.moves} moves | difference of medians "
            "| of what was missing | higher |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name, base in BASES.items():
            alone, ours = [], []
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                alone.append(search(base(seed), objectives, trials=arguments.trials))
                sampler = ZeroCostSampler(
                    score,
                    base_sampler=base(seed),
                    ranking=ranking,
                    warmup=None,
                    moves=arguments.moves,
                    seed=seed,
                )
                ours.append(search(sampler, objectives, trials=arguments.trials))
            before, after = float(np.median(alone)), float(np.median(ours))
            lines.append(
                f"| {name} | {quartiles(alone)} | {quartiles(ours)} | {after - before:+.4f} "
                f"| {(after - before) / (objectives.possible - before):.0%} "
                f"| {sum(a < b for a, b in zip(alone, ours, strict=True))} of {len(ours)} |"
            )
            print(lines[-1], flush=True)
            key = re.sub(r"\W+", "_", f"{cost}_{name}".lower())
            figures |= {f"{key}_alone": round(before, 4), key: round(after, 4)}
    lines += [
        "",
        f"Optuna {optuna.__version__}, Python {platform.python_version()}, {platform.system()}, "
        f"one process, {(time.perf_counter() - started) / 60:.0f} minutes in all.",
    ]
    if arguments.record:
        record_figures("pareto", arguments.command_line, figures)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


def quartiles(values: Sequence[float]) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.4f} ({low:.4f} – {high:.4f})"
