"""The sampler in studies as users have them: networks and how they are trained, together.

Runs studies with Optuna's samplers and with this package's, and tells how large the error is
after 10, 20 and 40 trials, relative to the better of TPE and GP, and what the sampler takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TypeVar

from zerocost_bench.arguments import (
    add_jobs,
    add_output_folder,
    jobs_of,
    names,
    natural,
    positive,
)
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import make_folder, write_whole
from zerocost_bench.key_figures import RESULTS
from zerocost_bench.studies import STUDIES
from zerocost_bench.studies.arms import ARMS
from zerocost_bench.studies.lines import latest, read_lines
from zerocost_bench.studies.report import as_markdown, as_text
from zerocost_bench.studies.runner import run_studies

__all__ = ["add_arguments", "run"]

FILE = "studies.jsonl"

_T = TypeVar("_T")


def _chosen(known: Mapping[str, _T], asked: Sequence[str] | None, kind: str) -> dict[str, _T]:
    wanted = list(known) if asked is None else asked
    if unknown := [name for name in wanted if name not in known]:
        raise BenchmarkError(f"no {kind} is called {unknown[0]!r}; there are {', '.join(known)}")
    return {name: known[name] for name in wanted}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--studies", type=names, metavar="A,B", help="default: all")
    parser.add_argument("--arms", type=names, metavar="A,B", help="default: all")
    parser.add_argument("--seeds", type=positive, default=12, metavar="K", help="of each arm")
    parser.add_argument(
        "--first-seed", type=natural, default=100, metavar="S", help="the next ones follow"
    )
    parser.add_argument(
        "--trials", type=positive, metavar="N", help="of a study (default: its own number, 40)"
    )
    add_jobs(parser)
    add_output_folder(parser)
    parser.add_argument(
        "--report-only",
        action="store_true",
        help=f"run nothing; report what {FILE} has, whatever the code was",
    )
    parser.add_argument(
        "--write", action="store_true", help="write benchmarks/results/studies.md as well"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run and report."""
    studies = _chosen(STUDIES, arguments.studies, "study")
    arms = _chosen(ARMS, arguments.arms, "arm")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    if arguments.report_only:
        lines = [
            line
            for line in latest(read_lines(arguments.output / FILE))
            if line.study in studies and line.arm in arms and line.seed in seeds
        ]
        if not lines:
            raise BenchmarkError(f"{arguments.output / FILE} has none of these studies")
    else:
        lines = run_studies(
            list(studies.values()),
            arms,
            seeds=seeds,
            trials=arguments.trials,
            jobs=jobs_of(arguments),
            file=make_folder(arguments.output) / FILE,
        )
    print(as_text(lines))
    if arguments.write:
        page = as_markdown(lines, arguments.command_line.replace(" --write", ""))
        write_whole(RESULTS / "studies.md", lambda file: file.write(page))
        print(f"\nThe page is {RESULTS / 'studies.md'}")
