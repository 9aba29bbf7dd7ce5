"""Arguments that several experiments share: their types, and what is said about them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from optuna_zerocost.commands import HelpFormatter, names, natural, positive
from zerocost_bench.benchmark import BENCHMARKS, Benchmark, benchmark_named

if TYPE_CHECKING:
    from zerocost_bench.accuracies import Accuracies

__all__ = [
    "HelpFormatter",
    "accuracies_of",
    "add_accuracies",
    "add_benchmark",
    "add_effort",
    "add_jobs",
    "add_output_folder",
    "add_record",
    "add_score_file",
    "benchmark_of",
    "jobs_of",
    "names",
    "natural",
    "positive",
]


def add_benchmark(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`benchmark_of` reads."""
    parser.add_argument(
        "--benchmark", choices=list(BENCHMARKS), default="nasbench201", help="the search space"
    )


def benchmark_of(arguments: argparse.Namespace) -> Benchmark:
    """Return the benchmark that was asked for."""
    return benchmark_named(arguments.benchmark)


def add_accuracies(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`accuracies_of` reads, besides the benchmark."""
    parser.add_argument(
        "--dataset",
        default="all",
        metavar="NAME",
        help="one of the benchmark's data sets, whose accuracies count, or all",
    )
    parser.add_argument(
        "--metric",
        choices=["validation", "test"],
        default="validation",
        help="which accuracy counts; test accuracies need --accuracies",
    )
    parser.add_argument(
        "--accuracies",
        metavar="FILE",
        help="an .npz file with test accuracies and those after 12 epochs",
    )


def accuracies_of(arguments: argparse.Namespace) -> list[Accuracies]:
    """Return the accuracies of each data set that was asked for."""
    benchmark = benchmark_of(arguments)
    datasets = benchmark.datasets if arguments.dataset == "all" else (arguments.dataset,)
    return [benchmark.load_accuracies(dataset, arguments.accuracies) for dataset in datasets]


def add_score_file(parser: argparse.ArgumentParser, *, batch_size: int = 64) -> None:
    """Add where scores come from."""
    parser.add_argument(
        "--scores",
        metavar="FILE",
        help="scores that 'zerocost-bench scores' wrote, instead of those of the package",
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=batch_size,
        metavar="N",
        help="of the package's scores that read images, take those measured with so many",
    )


def add_effort(parser: argparse.ArgumentParser, *, seeds: int) -> None:
    """Add how many searches there are, and how long they are."""
    parser.add_argument(
        "--seeds", type=positive, default=seeds, metavar="K", help="searches of each kind"
    )
    parser.add_argument(
        "--seed", type=natural, default=0, metavar="S", help="seed of the first; the next follow"
    )
    parser.add_argument(
        "--trials", type=positive, default=300, metavar="N", help="networks that a search trains"
    )
    parser.add_argument(
        "--warmup-candidates",
        type=positive,
        default=3000,
        metavar="N",
        help="random networks that a warmup scores",
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`jobs_of` reads."""
    parser.add_argument(
        "--jobs", type=natural, default=0, metavar="J", help="processes at a time; 0: one a core"
    )


def jobs_of(arguments: argparse.Namespace) -> int:
    """Return how many processes run at a time."""
    return arguments.jobs or os.cpu_count() or 1


def add_output_folder(parser: argparse.ArgumentParser) -> None:
    """Add where results go."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("zerocost-bench"),
        metavar="DIR",
        help="folder for the results",
    )


def add_record(parser: argparse.ArgumentParser) -> None:
    """Add whether the result is one that README and documentation quote."""
    parser.add_argument(
        "--record", action="store_true", help="store the key figures in results/figures.toml"
    )
