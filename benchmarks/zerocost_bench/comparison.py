"""A comparison of arms as ``search`` and ``trust`` run it: searches, curves, two tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from zerocost_bench import tables
from zerocost_bench.arguments import accuracies_of, benchmark_of, jobs_of
from zerocost_bench.curves import Curve, summarise
from zerocost_bench.files import make_folder
from zerocost_bench.searches import Arm, run_searches

__all__ = ["run_arms"]


def run_arms(
    arguments: argparse.Namespace, arms: Sequence[Arm], *, until: float | None = None
) -> tuple[Path, dict[str, list[Curve]]]:
    """Search with every arm; write curves.csv and summary.csv.

    Args:
        arguments: Those that ``search`` and ``trust`` share.
        arms: What is compared.
        until: A search ends early when it has trained a network this near to the best there is.

    Returns:
        The folder of the results, and data set → curves.
    """
    accuracies = accuracies_of(arguments)
    objectives = {each.dataset: each.of(arguments.metric) for each in accuracies}
    folder = make_folder(arguments.output)
    searches = run_searches(
        benchmark_of(arguments),
        arms,
        objectives,
        metric=arguments.metric,
        seeds=range(arguments.seed, arguments.seed + arguments.seeds),
        trials=arguments.trials,
        folder=folder / "searches",
        jobs=jobs_of(arguments),
        until=until,
    )
    curves = summarise(searches, objectives, {each.dataset: each.test for each in accuracies})
    tables.write_curves(folder / "curves.csv", curves)
    tables.write_summary(folder / "summary.csv", curves)
    by_dataset: dict[str, list[Curve]] = {}
    for curve in curves:
        by_dataset.setdefault(curve.dataset, []).append(curve)
    return folder, by_dataset
