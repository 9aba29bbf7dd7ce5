"""Two objectives on NAS-Bench-201: does a Pareto ranking of scores find better trade-offs?

Accuracy against latency, and accuracy against size, looked up in the benchmark's table for
CIFAR-10. Base samplers alone, and inside ``ZeroCostSampler`` with move proposal, all with the same
number of trials, that is of trainings. What counts is the hypervolume: the area that the trials
dominate. The reference point is the worst of each objective in the table, and the area is a share
of the rectangle between it and the best of each.

The scores do not look at the table: synflow, and for the cost a count from the operations alone.
For the size that is the number of parameters. For the latency it is the number of layers that run
in a cell: ReLU, convolution, BatchNorm and the sum at the node make four for a convolution, two
for pooling, one for a skip connection. (Parameters and floating point operations order these
architectures alike, and follow the latency less.)

    zerocost-bench pareto [--scores SCORES.npz] [--seeds 20] [--trials 100]
"""

from __future__ import annotations

import argparse
import pathlib
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from optuna_zerocost import Pareto, ZeroCostSampler
from zerocost_bench.nasbench201 import (
    OPERATIONS,
    ScoreTable,
    TableObjective,
    architectures,
    count_parameters,
    suggest_architecture,
)

RESULTS = pathlib.Path(__file__).parent / "results" / "pareto.md"
LAYERS = {"none": 0, "skip_connect": 1, "avg_pool_3x3": 2, "nor_conv_1x1": 4, "nor_conv_3x3": 4}
# cost objective → the score that stands in for it
COSTS = {"latency": "layers", "model_size": "params"}
BASES: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "NSGA-II": lambda seed: NSGAIISampler(seed=seed),
    "NSGA-II, population 20": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "TPE": lambda seed: TPESampler(seed=seed, constant_liar=True),
}


def synflow_of(file: pathlib.Path | None) -> Callable[[Any], float]:
    """Return a function from a trial to synflow.

    Args:
        file: NPZ with ``synflow`` [n] and ``ops`` [n, 6], which index ``OPERATIONS``. Without, the
            scores that come with the package.
    """
    if file is None:
        table = ScoreTable(("synflow",))
        return lambda trial: table(trial)["synflow"]
    with np.load(file, allow_pickle=False) as arrays:
        rows, values = arrays["ops"].tolist(), arrays["synflow"].tolist()
    by_operations: dict[tuple[str, ...], float] = {
        tuple(OPERATIONS[index] for index in row): value
        for row, value in zip(rows, values, strict=True)
    }
    return lambda trial: by_operations[suggest_architecture(trial)]


def make_scorer(synflow: Callable[[Any], float]) -> Callable[[Any], dict[str, float]]:
    def score(trial: Any) -> dict[str, float]:
        operations = suggest_architecture(trial)
        return {
            "synflow": synflow(trial),
            "params": float(count_parameters(operations)),
            "layers": float(sum(LAYERS[operation] for operation in operations)),
        }

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

    def __init__(self, cost: str) -> None:
        self._tables = (TableObjective("cifar10"), TableObjective("cifar10", cost))
        everything = np.array(
            [[table.value(operations) for table in self._tables] for operations in architectures()]
        )
        self._worst = np.array([everything[:, 0].min(), everything[:, 1].max()])
        self._best = np.array([everything[:, 0].max(), everything[:, 1].min()])
        self.reference = tuple(self._worst.tolist())
        self.possible = self.share(everything)

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Look up a trial's accuracy and cost."""
        accuracy, cost = self._tables
        return accuracy(trial), cost(trial)

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
    parser.add_argument("--scores", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--moves", type=int, default=32)
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    score = make_scorer(synflow_of(arguments.scores))
    started = time.perf_counter()
    lines = [
        "# Two objectives on NAS-Bench-201",
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
    for cost, stand_in in COSTS.items():
        objectives = Objectives(cost)
        accuracy, worst = objectives.reference
        ranking = Pareto("synflow", f"-{stand_in}")
        lines += [
            "",
            f"## Accuracy and {cost}, `ranking={ranking!r}`",
            "",
            f"Reference point: accuracy {accuracy:.3f} %, {cost} {worst:.5g}. "
            f"All 15,625 architectures together: {objectives.possible:.4f}.",
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
    lines += [
        "",
        f"Optuna {optuna.__version__}, Python {platform.python_version()}, {platform.system()}, "
        f"one process, {(time.perf_counter() - started) / 60:.0f} minutes in all.",
    ]
    arguments.output.write_text("\n".join(lines) + "\n")


def quartiles(values: Sequence[float]) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.4f} ({low:.4f} – {high:.4f})"
