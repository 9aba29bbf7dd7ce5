"""Searches with each algorithm alone, with a zero-cost warmup, with move proposal, with both.

Writes curves.csv (best accuracy so far), summary.csv (trained networks that were needed) and
figures. Scores and accuracies are looked up, so that a search takes seconds.
"""

from __future__ import annotations

import argparse
from typing import Literal

from zerocost_bench import algorithms, plots, tables
from zerocost_bench.arguments import (
    add_accuracies,
    add_benchmark,
    add_effort,
    add_jobs,
    add_output_folder,
    add_score_file,
    benchmark_of,
    names,
    positive,
)
from zerocost_bench.comparison import run_arms

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    add_benchmark(parser)
    add_accuracies(parser)
    parser.add_argument(
        "--algorithms",
        type=names,
        default="random,evolution,tpe",
        metavar="A,B",
        help="random, tpe, evolution, reinforce, predictor",
    )
    parser.add_argument(
        "--modes",
        type=names,
        default="base,warmup,move,both",
        metavar="A,B",
        help="base (the algorithm alone), warmup, move, both",
    )
    parser.add_argument(
        "--proxies",
        type=names,
        default="synflow",
        metavar="A,B",
        help="the scores; several are combined",
    )
    add_score_file(parser)
    parser.add_argument(
        "--combine", choices=["vote", "ranksum"], default="vote", help="how several are combined"
    )
    add_effort(parser, seeds=20)
    parser.add_argument(
        "--warmup-trials",
        type=positive,
        default=64,
        metavar="N",
        help="trials that take the best of these",
    )
    parser.add_argument(
        "--moves",
        type=_moves,
        metavar="N",
        help="candidates for each later trial, or 'neighbours' for all neighbours of a parent "
        "(default: neighbours for evolution, 32 for the others)",
    )
    parser.add_argument(
        "--random-share",
        type=float,
        default=0.0,
        metavar="P",
        help="share of the later trials that take a random candidate, not the best",
    )
    add_jobs(parser)
    add_output_folder(parser)


def _moves(text: str) -> int | Literal["neighbours"]:
    return "neighbours" if text == "neighbours" else positive(text)


def run(arguments: argparse.Namespace) -> None:
    """Search, print and write."""
    benchmark = benchmark_of(arguments)
    zero_cost = algorithms.ZeroCost(
        benchmark,
        proxies=arguments.proxies,
        scores=arguments.scores,
        batch_size=arguments.batch_size,
        combine=arguments.combine,
        candidates=arguments.warmup_candidates,
        warmup_trials=arguments.warmup_trials,
        moves=arguments.moves,
        random_share=arguments.random_share,
    )
    arms = algorithms.arms(arguments.algorithms, arguments.modes, zero_cost)
    folder, curves = run_arms(arguments, arms)
    for dataset, shown in curves.items():
        title = f"{benchmark.title}, {dataset}"
        print(
            f"{dataset}, {arguments.metric} accuracy, {arguments.seeds} searches of "
            f"{arguments.trials} networks:"
        )
        print(tables.search_text(shown), end="\n\n", flush=True)
        if not plots.are_possible():
            continue
        figure = plots.search_figure(shown, title=title, metric=arguments.metric)
        plots.write_figure(figure, folder / f"search-{dataset}")
        if arguments.metric != "test" and shown[0].test is not None:
            figure = plots.search_figure(shown, title=title, metric=arguments.metric, of_test=True)
            plots.write_figure(figure, folder / f"search-{dataset}-test")
    print(tables.SEARCH_KEY, end="\n\n")
    print(f"The tables and figures are in {folder}")
