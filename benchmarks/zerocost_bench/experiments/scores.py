"""Scores of untrained networks, one seeded initialisation each.

One thread a process. The scores that come with the package were made this way.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from zerocost_bench.arguments import (
    add_benchmark,
    add_jobs,
    benchmark_of,
    jobs_of,
    names,
    natural,
    positive,
)
from zerocost_bench.measurement import Measurement, measure

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    add_benchmark(parser)
    parser.add_argument(
        "--proxies",
        type=names,
        default="synflow,logsynflow,params,flops,l2_norm",
        metavar="A,B",
        help="see 'optuna-zerocost proxies'",
    )
    parser.add_argument(
        "--networks",
        type=positive,
        metavar="N",
        help="number of networks, drawn at random (default: all)",
    )
    parser.add_argument(
        "--images",
        metavar="FILE",
        help="samples and labels, which most proxies need; for NAS-Bench-201 an .npz file with x "
        "(uint8, n×32×32×3) and y (n labels)",
    )
    parser.add_argument(
        "--batch-size", type=positive, default=64, metavar="N", help="images in the minibatch"
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="seeds the weights")
    parser.add_argument(
        "--sample-seed", type=natural, default=0, metavar="S", help="seeds the choice of networks"
    )
    parser.add_argument(
        "--options",
        type=names,
        default=(),
        metavar="A,B",
        help="of the networks; NAS-Bench-201 has affine and live-only",
    )
    add_jobs(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("scores.npz"),
        metavar="FILE",
        help="where the scores go",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure and write."""
    measurement = Measurement(
        benchmark_of(arguments),
        proxies=arguments.proxies,
        networks=arguments.networks,
        images=arguments.images,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        sample_seed=arguments.sample_seed,
        options=arguments.options,
    )
    measure(measurement, arguments.output, jobs=jobs_of(arguments))
    print(f"The scores are in {arguments.output}")
