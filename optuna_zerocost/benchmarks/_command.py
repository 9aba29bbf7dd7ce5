"""``optuna-zerocost bench``: the experiments on NAS-Bench-201.

Only what runs is imported, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from optuna_zerocost._arguments import HelpFormatter, names, natural, positive
from optuna_zerocost.benchmarks._errors import BenchmarkError
from optuna_zerocost.commands import guarded

if TYPE_CHECKING:
    # Parsers are generic in typeshed, but not when the program runs.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
    from optuna_zerocost.benchmarks._accuracies import Accuracies
    from optuna_zerocost.benchmarks._curves import Curve
    from optuna_zerocost.benchmarks._search import Arm

__all__ = ["add_bench"]

_OUTPUT = "zerocost-bench"
_DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


def add_bench(subparsers: Subparsers) -> None:
    """Add the command ``bench`` and its own subcommands."""
    parser = subparsers.add_parser(
        "bench",
        help="experiments on NAS-Bench-201: correlations, searches, scores",
        description=(
            "Experiments on NAS-Bench-201, of which all 15,625 networks were trained, with scores "
            'that come with this package. The accuracies need pip install "'
            'optuna-zerocost[benchmarks]". What is interrupted goes on when the same command is '
            "given again."
        ),
    )
    experiments = parser.add_subparsers(required=True, metavar="EXPERIMENT")
    _add_correlation(experiments)
    _add_search(experiments)
    _add_trust(experiments)
    _add_scores(experiments)


def _experiment(
    experiments: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], None],
    *,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = experiments.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(
        command=guarded(
            run,
            error=BenchmarkError,
            interrupted="interrupted; the same command goes on with what is left",
        )
    )
    return parser


def _add_accuracies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", choices=[*_DATASETS, "all"], default="all", help="whose accuracies count"
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


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, default=Path(_OUTPUT), metavar="DIR", help="folder for the results"
    )


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs", type=natural, default=0, metavar="J", help="processes at a time; 0: one a core"
    )


def _add_correlation(experiments: Subparsers) -> None:
    parser = _experiment(
        experiments,
        "correlation",
        _correlation,
        summary="how well scores of untrained networks agree with accuracy",
        description=(
            "Compare every score that comes with the package, the vote and rank sums of several, "
            "and (with --accuracies) training for 12 epochs, with the accuracy after the whole "
            "training. Writes correlation.csv and figures of ρ against cost."
        ),
    )
    _add_accuracies(parser)
    _add_score_file(parser)
    _add_output(parser)


def _add_score_file(parser: argparse.ArgumentParser, *, batch_size: int = 64) -> None:
    parser.add_argument(
        "--scores",
        metavar="FILE",
        help="scores that 'bench scores' wrote, instead of those of the package",
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=batch_size,
        metavar="N",
        help="of the package's scores that read images, take those measured with so many",
    )


def _add_search(experiments: Subparsers) -> None:
    parser = _experiment(
        experiments,
        "search",
        _search,
        summary="searches with and without zero-cost scores",
        description=(
            "Search with each algorithm alone, with a zero-cost warmup, with move proposal, and "
            "with both. Writes curves.csv (best accuracy so far), summary.csv (trained networks "
            "that were needed) and figures. Scores and accuracies are looked up, so that a search "
            "takes seconds."
        ),
    )
    _add_accuracies(parser)
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
    _add_score_file(parser)
    parser.add_argument(
        "--combine", choices=["vote", "ranksum"], default="vote", help="how several are combined"
    )
    _add_effort(parser, seeds=20)
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
    _add_jobs(parser)
    _add_output(parser)


def _add_trust(experiments: Subparsers) -> None:
    parser = _experiment(
        experiments,
        "trust",
        _trust,
        summary="what learning from the trials is worth, whatever the scores are",
        description=(
            "Search with samplers that learn from the trials what a score is worth: with scores "
            "that help, with some that mislead or mean nothing, and with none; and with aging "
            "evolution and TPE. A search ends where it is within 0.1 points of the best. Writes "
            "curves.csv and summary.csv."
        ),
    )
    _add_accuracies(parser)
    _add_score_file(parser, batch_size=16)  # of all networks
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
    _add_effort(parser, seeds=40)
    _add_jobs(parser)
    _add_output(parser)


def _add_effort(parser: argparse.ArgumentParser, *, seeds: int) -> None:
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


def _add_scores(experiments: Subparsers) -> None:
    parser = _experiment(
        experiments,
        "scores",
        _scores,
        summary="measure the scores of the networks",
        description=(
            "Build networks and score them untrained, one seeded initialisation each, on one "
            "thread a process. The scores that come with the package were made this way."
        ),
    )
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
        help="an .npz file with x (uint8, n×32×32×3) and y (n labels); most proxies need it",
    )
    parser.add_argument(
        "--batch-size", type=positive, default=64, metavar="N", help="images in the minibatch"
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="seeds the weights")
    parser.add_argument(
        "--sample-seed", type=natural, default=0, metavar="S", help="seeds the choice of networks"
    )
    parser.add_argument(
        "--affine", action="store_true", help="scale and shift in the cells' BatchNorm layers"
    )
    parser.add_argument(
        "--live-only", action="store_true", help="leave out edges that reach nothing"
    )
    _add_jobs(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("nasbench201_scores.npz"),
        metavar="FILE",
        help="where the scores go",
    )


def _moves(text: str) -> int | Literal["neighbours"]:
    return "neighbours" if text == "neighbours" else positive(text)


def _jobs(arguments: argparse.Namespace) -> int:
    return arguments.jobs or os.cpu_count() or 1


def _accuracies(arguments: argparse.Namespace) -> list[Accuracies]:
    from optuna_zerocost.benchmarks._accuracies import load_accuracies

    datasets = _DATASETS if arguments.dataset == "all" else (arguments.dataset,)
    return [load_accuracies(dataset, arguments.accuracies) for dataset in datasets]


def _correlation(arguments: argparse.Namespace) -> None:
    from optuna_zerocost.benchmarks import _correlation as correlation
    from optuna_zerocost.benchmarks import _figures, _tables
    from optuna_zerocost.benchmarks._files import make_folder
    from optuna_zerocost.benchmarks._scores import load_scores

    try:
        scores = load_scores(arguments.scores, batch_size=arguments.batch_size)
    except ValueError as error:
        raise BenchmarkError(str(error)) from error
    folder = make_folder(arguments.output)
    table = []
    for accuracies in _accuracies(arguments):
        dataset = accuracies.dataset
        rows = correlation.correlate(accuracies, scores, metric=arguments.metric)
        table += [(dataset, row) for row in rows]
        print(f"{dataset}, {arguments.metric} accuracy:", end=" ")
        print(_tables.correlation_text(rows), end="\n\n", flush=True)
        for count in dict.fromkeys(row.networks for row in rows) if _has_figures() else ():
            figure = _figures.correlation_figure(
                [row for row in rows if row.networks == count],
                dataset=dataset,
                metric=arguments.metric,
            )
            _figures.write_figure(figure, folder / f"correlation-{dataset}-{count}")
    print(_tables.CORRELATION_KEY, end="\n\n")
    _tables.write_correlation(folder / "correlation.csv", table, metric=arguments.metric)
    print(f"The tables and figures are in {folder}")


def _search(arguments: argparse.Namespace) -> None:
    from optuna_zerocost.benchmarks import _algorithms, _figures, _tables

    zero_cost = _algorithms.ZeroCost(
        proxies=arguments.proxies,
        scores=arguments.scores,
        batch_size=arguments.batch_size,
        combine=arguments.combine,
        candidates=arguments.warmup_candidates,
        warmup_trials=arguments.warmup_trials,
        moves=arguments.moves,
        random_share=arguments.random_share,
    )
    arms = _algorithms.arms(arguments.algorithms, arguments.modes, zero_cost)
    folder, curves = _run_arms(arguments, arms)
    for dataset, shown in curves.items():
        print(
            f"{dataset}, {arguments.metric} accuracy, {arguments.seeds} searches of "
            f"{arguments.trials} networks:"
        )
        print(_tables.search_text(shown), end="\n\n", flush=True)
        if not _has_figures():
            continue
        figure = _figures.search_figure(shown, dataset=dataset, metric=arguments.metric)
        _figures.write_figure(figure, folder / f"search-{dataset}")
        if arguments.metric != "test" and shown[0].test is not None:
            figure = _figures.search_figure(
                shown, dataset=dataset, metric=arguments.metric, of_test=True
            )
            _figures.write_figure(figure, folder / f"search-{dataset}-test")
    print(_tables.SEARCH_KEY, end="\n\n")
    _write_curves(folder, curves)
    print(f"The tables and figures are in {folder}")


def _run_arms(
    arguments: argparse.Namespace, arms: Sequence[Arm], *, until: float | None = None
) -> tuple[Path, dict[str, list[Curve]]]:
    """Search with every arm; return the folder of the results, and data set → curves."""
    from optuna_zerocost.benchmarks._curves import summarise
    from optuna_zerocost.benchmarks._files import make_folder
    from optuna_zerocost.benchmarks._search import run_searches

    accuracies = _accuracies(arguments)
    objectives = {each.dataset: each.of(arguments.metric) for each in accuracies}
    folder = make_folder(arguments.output)
    searches = run_searches(
        arms,
        objectives,
        metric=arguments.metric,
        seeds=range(arguments.seed, arguments.seed + arguments.seeds),
        trials=arguments.trials,
        folder=folder / "searches",
        jobs=_jobs(arguments),
        until=until,
    )
    tests = {each.dataset: each.test for each in accuracies}
    curves: dict[str, list[Curve]] = {}
    for curve in summarise(searches, objectives, tests):
        curves.setdefault(curve.dataset, []).append(curve)
    return folder, curves


def _write_curves(folder: Path, curves: Mapping[str, Sequence[Curve]]) -> None:
    from optuna_zerocost.benchmarks import _tables

    every = [curve for group in curves.values() for curve in group]
    _tables.write_curves(folder / "curves.csv", every)
    _tables.write_summary(folder / "summary.csv", every)


def _trust(arguments: argparse.Namespace) -> None:
    from optuna_zerocost.benchmarks import _curves, _tables, _trust

    trust = _trust.Trust(
        base=arguments.base,
        candidates=arguments.warmup_candidates,
        scores=arguments.scores,
        batch_size=arguments.batch_size,
    )
    arms = _trust.arms(trust, arguments.arms)
    folder, curves = _run_arms(arguments, arms, until=min(_curves.GAPS))
    for dataset, shown in curves.items():
        print(
            f"{dataset}, {arguments.metric} accuracy, {arguments.seeds} searches of at most "
            f"{arguments.trials} networks:"
        )
        print(
            _tables.trust_text(shown, trials=arguments.trials, reference=_trust.NO_SCORE),
            end="\n\n",
            flush=True,
        )
    print(_tables.TRUST_KEY, end="\n\n")
    _write_curves(folder, curves)
    print(f"The tables are in {folder}")


def _has_figures() -> bool:
    from optuna_zerocost.benchmarks import _figures

    if not _figures.is_available():
        print(
            "There is no figure, since plotly is not installed: "
            'pip install "optuna-zerocost[benchmarks]"'
        )
        return False
    return True


def _scores(arguments: argparse.Namespace) -> None:
    from optuna_zerocost.benchmarks._measure import Measurement, measure

    measurement = Measurement(
        proxies=arguments.proxies,
        networks=arguments.networks,
        images=arguments.images,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        sample_seed=arguments.sample_seed,
        affine=arguments.affine,
        live_only=arguments.live_only,
    )
    measure(measurement, arguments.output, jobs=_jobs(arguments))
    print(f"The scores are in {arguments.output}")
