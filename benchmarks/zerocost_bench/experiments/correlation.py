"""Scores of untrained networks compared with the accuracy after the whole training.

These are every score that comes with the package, the vote and rank sums of several, and (with
--accuracies) training for 12 epochs. Writes correlation.csv and figures of ρ against cost.
"""

from __future__ import annotations

import argparse

from zerocost_bench import plots, tables
from zerocost_bench.arguments import (
    accuracies_of,
    add_accuracies,
    add_benchmark,
    add_output_folder,
    add_score_file,
    benchmark_of,
)
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import make_folder
from zerocost_bench.score_agreement import correlate

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    add_benchmark(parser)
    add_accuracies(parser)
    add_score_file(parser)
    add_output_folder(parser)


def run(arguments: argparse.Namespace) -> None:
    """Compare, print and write."""
    benchmark = benchmark_of(arguments)
    try:
        scores = benchmark.load_scores(arguments.scores, batch_size=arguments.batch_size)
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    folder = make_folder(arguments.output)
    table = []
    for accuracies in accuracies_of(arguments):
        dataset = accuracies.dataset
        rows = correlate(accuracies, scores, metric=arguments.metric)
        table += [(dataset, row) for row in rows]
        print(f"{dataset}, {arguments.metric} accuracy:", end=" ")
        print(tables.correlation_text(rows), end="\n\n", flush=True)
        for count in dict.fromkeys(row.networks for row in rows) if plots.are_possible() else ():
            figure = plots.correlation_figure(
                [row for row in rows if row.networks == count],
                title=f"{benchmark.title}, {dataset}",
                metric=arguments.metric,
            )
            plots.write_figure(figure, folder / f"correlation-{dataset}-{count}")
    print(tables.CORRELATION_KEY, end="\n\n")
    tables.write_correlation(folder / "correlation.csv", table, metric=arguments.metric)
    print(f"The tables and figures are in {folder}")
