"""The cost of limits, what they spare, and what they keep from drifting.

Of two spaces only one or two per cent of the random architectures are within the limits:

* a benchmark: parameters between two bounds; the objective is the validation accuracy on its first
  data set, looked up;
* ``stacks``: 4 to 12 convolutions of 16 to 256 channels each, whose number of parameters has a
  maximum. The objective is made up: it grows with the depth and with the mean width, so that a
  deep and narrow network is the best within the limit. It tells where a search looks, no more.

Three ways to search them, until as many networks are trained:

* ``limits``: TPE in ``ZeroCostSampler`` over a ``ModelScorer`` with limits and without a proxy;
* ``by hand``: TPE alone; the objective counts the parameters and prunes what is outside;
* ``random``: random search in the first way, which nothing has drifted from.

For each: the share of the trained that is within, how many different networks these are, trials
that were pruned, draws for a trained network, the depth of the first and of the last five trained
(of a benchmark's cell, its convolutions), the best value, and the seconds that choosing a
network took, building included.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState
from torch import nn

from optuna_zerocost import Limits, ModelScorer, ZeroCostSampler
from zerocost_bench.arguments import add_benchmark, benchmark_of
from zerocost_bench.benchmark import Architecture, Benchmark

WAYS = ("limits", "by hand", "random")

# After so many trials pruning by hand gives up.
MOST_TRIALS = 3000

DEPTHS, WIDTHS, CLASSES = range(4, 13), (16, 32, 64, 128, 256), 10


@dataclass(frozen=True)
class Space:
    """A search space with a limit.

    Attributes:
        name: As it is printed.
        build_model: Makes a network of a trial.
        suggest: Makes the architecture alone of a trial.
        parameters: Counts the parameters of an architecture, without a network.
        depth: Of an architecture.
        value: Of an architecture; higher is better.
        limit: Of the parameters, minimum and maximum.
        share: Of random architectures that are within.
    """

    name: str
    build_model: Callable[[Any], nn.Module]
    suggest: Callable[[Any], Architecture]
    parameters: Callable[[Architecture], int]
    depth: Callable[[Architecture], int]
    value: Callable[[Architecture], float]
    limit: tuple[float, float]
    share: float

    def is_within(self, architecture: Architecture) -> bool:
        """Return whether an architecture is within the limit."""
        return self.limit[0] <= self.parameters(architecture) <= self.limit[1]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one search: for each trained network one entry, and the trials pruned."""

    trained: list[Architecture]
    draws: list[int]
    seconds: list[float]
    pruned: int
    best: float


def suggest_widths(trial: Any) -> tuple[int, ...]:
    """Suggest the channels of each convolution of a stack."""
    depth = trial.suggest_int("depth", DEPTHS[0], DEPTHS[-1])
    return tuple(trial.suggest_categorical(f"width{i}", WIDTHS) for i in range(depth))


def build_stack(trial: Any) -> nn.Module:
    """Build the stack that a trial suggests."""
    layers: list[nn.Module] = []
    channels = 3
    for width in suggest_widths(trial):
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)
    )


def stack_parameters(widths: Sequence[int]) -> int:
    """Count the parameters of a stack: kernels, scale and shift, classifier."""
    kernels = sum(9 * a * b for a, b in itertools.pairwise([3, *widths]))
    return kernels + 2 * sum(widths) + CLASSES * (widths[-1] + 1)


def stack_value(widths: Sequence[int]) -> float:
    """Return the objective that is made up."""
    return len(widths) + statistics.mean(map(math.log2, widths))


def stacks(share: float) -> Space:
    """Return the space of stacks, of which this share is within the limit, by random draws."""
    sampler = RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    sizes = sorted(stack_parameters(suggest_widths(study.ask())) for _ in range(3000))
    limit = float(sizes[int(share * len(sizes))])
    return Space(
        "stacks",
        build_stack,
        suggest_widths,
        stack_parameters,
        len,
        stack_value,
        (0.0, limit),
        share,
    )


def cells(benchmark: Benchmark, low: float, high: float) -> Space:
    """Return a benchmark whose networks must have so many parameters."""
    accuracies = benchmark.load_accuracies(benchmark.datasets[0]).validation

    def parameters(cell: Architecture) -> int:
        return int(benchmark.counts(cell, benchmark.trained_with)["params"])

    return Space(
        benchmark.name,
        functools.partial(benchmark.build_model, options=benchmark.trained_with),
        benchmark.suggest,
        parameters,
        lambda cell: int(benchmark.counts(cell)["convolutions"]),
        lambda cell: float(accuracies[benchmark.index(cell)]),
        (low, high),
        statistics.mean(low <= parameters(cell) <= high for cell in benchmark.architectures()),
    )


def search(space: Space, way: str, trainings: int, seed: int) -> Outcome:
    """Search until so many networks are trained, or pruning by hand gives up."""
    base: optuna.samplers.BaseSampler = TPESampler(seed=seed, constant_liar=True)
    sampler = base
    if way != "by hand":
        limits = Limits(params=space.limit)
        scorer = ModelScorer(space.build_model, proxies=(), limits=limits)
        if way == "random":
            base = RandomSampler(seed=seed)
        sampler = ZeroCostSampler(scorer, base_sampler=base, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    trained: list[Architecture] = []
    draws: list[int] = []
    seconds: list[float] = []
    pruned = since = 0
    started = time.perf_counter()
    while len(trained) < trainings and len(study.trials) < MOST_TRIALS:
        trial = study.ask()
        architecture = space.suggest(trial)
        since += 1 + int(trial.user_attrs.get("zerocost:rejected", 0))
        if way == "by hand" and not space.is_within(architecture):
            pruned += 1
            study.tell(trial, state=TrialState.PRUNED)
            continue
        seconds.append(time.perf_counter() - started)
        draws.append(since)
        trained.append(architecture)
        study.tell(trial, space.value(architecture))
        since, started = 0, time.perf_counter()
    best = max(map(space.value, trained), default=math.nan)
    return Outcome(trained, draws, seconds, pruned, best)


def row(space: Space, way: str, outcomes: Sequence[Outcome]) -> str:
    """Return a line of the table."""
    trained = [architecture for outcome in outcomes for architecture in outcome.trained]
    within = statistics.mean(map(space.is_within, trained))
    different = sum(len(set(outcome.trained)) for outcome in outcomes)
    depths = [
        statistics.mean(space.depth(a) for outcome in outcomes for a in outcome.trained[part])
        for part in (slice(5), slice(-5, None))
    ]
    draws = [count for outcome in outcomes for count in outcome.draws]
    seconds = [value for outcome in outcomes for value in outcome.seconds]
    cells = [
        space.name,
        f"{space.share:.1%}",
        way,
        f"{within:.0%} of {len(trained)}",
        f"{different}",
        f"{sum(outcome.pruned for outcome in outcomes) / len(outcomes):.0f}",
        f"{statistics.median(draws):.0f} ({statistics.mean(draws):.0f})",
        f"{depths[0]:.1f} → {depths[1]:.1f}",
        f"{statistics.mean(outcome.best for outcome in outcomes):.2f}",
        f"{statistics.median(seconds):.2f} ({statistics.mean(seconds):.2f})",
    ]
    return f"| {' | '.join(cells)} |"


def lines(searched: Space, trainings: int, seeds: int) -> Iterator[str]:
    """Yield the table, line by line."""
    yield (
        "| space | within | way | trained within | different | pruned trials | draws a training "
        "| depth | best | seconds a training |"
    )
    yield "| --- " * 10 + "|"
    for space in (stacks(0.02), searched):
        for way in WAYS:
            yield row(space, way, [search(space, way, trainings, seed) for seed in range(seeds)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    add_benchmark(parser)
    parser.add_argument(
        "--params",
        type=float,
        nargs=2,
        default=[1.8e5, 3e5],
        metavar=("LOW", "HIGH"),
        help="parameters that a network of the benchmark may have",
    )
    parser.add_argument("--trainings", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="write OUTPUT.md")


def run(arguments: argparse.Namespace) -> None:
    """Run, print, and write what is asked for."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    head = (
        f"# Limits\n\nObtained with `zerocost-bench limits --trainings {arguments.trainings}"
        f" --seeds {arguments.seeds}`: 1 thread, torch {torch.__version__}, optuna "
        f"{optuna.__version__}, Python {platform.python_version()}, {platform.machine()}.\n\n"
        "Draws and seconds are the median, with the mean in brackets; what was trained is counted "
        "over all seeds, the rest are means. Seconds are those of choosing a network: drawing, "
        "building, counting; pruning by hand counts without building. What each way and column "
        "is: `zerocost_bench/experiments/limits.py`.\n"
    )
    print(head, flush=True)
    written = [head]
    searched = cells(benchmark_of(arguments), *arguments.params)
    for line in lines(searched, arguments.trainings, arguments.seeds):
        print(line, flush=True)
        written.append(line)
    if arguments.output:
        arguments.output.with_suffix(".md").write_text("\n".join(written) + "\n")
