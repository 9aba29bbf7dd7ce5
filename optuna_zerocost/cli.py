"""The command ``optuna-zerocost``.

Subcommands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

from optuna_zerocost._arguments import HelpFormatter, Subparsers, natural, positive
from optuna_zerocost.benchmarks._command import add_bench
from optuna_zerocost.commands import (
    FAILED,
    INTERRUPTED,
    add_rank,
    add_report,
    add_score,
    add_warmup,
    guarded,
)

__all__ = ["main"]

_PROGRAM = "optuna-zerocost"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments. Default: those of the process.

    Returns:
        The exit code: 0, or 1 if a subcommand could not do what was asked, or 130 if it was
        interrupted.

    Raises:
        SystemExit: With code 2 for wrong arguments, with code 0 after ``--help``.
    """
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="Zero-cost proxies for neural architecture search, in Optuna."
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(subparsers)
    _add_proxies(subparsers)
    add_score(subparsers)
    add_rank(subparsers)
    add_warmup(subparsers)
    add_report(subparsers)
    add_bench(subparsers)
    arguments = parser.parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        code = command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` say, has seen enough. Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _add_demo(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="search with and without zero-cost proxies on real images, and compare",
        description=(
            "Train small convolutional networks on scikit-learn's handwritten digits, chosen by "
            "TPE alone and by TPE with zero-cost proxies, the same number with each, and compare. "
            "The studies stay in the storage; a second run adds its own beside them "
            "(…-run2) rather than resume them."
        ),
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--trials", type=positive, default=30, metavar="N", help="networks that each study trains"
    )
    parser.add_argument(
        "--seeds", type=positive, default=3, metavar="K", help="studies of each kind"
    )
    parser.add_argument(
        "--seed",
        type=natural,
        default=0,
        metavar="S",
        help="seed of the first study of each kind; the next ones follow",
    )
    parser.add_argument(
        "--storage",
        default="sqlite:///zerocost-demo.db",
        metavar="URL",
        help="database that keeps the studies",
    )
    parser.add_argument(
        "--jobs",
        type=natural,
        default=0,
        metavar="J",
        help="studies that run at a time, each in a process of its own; 0: one a core",
    )
    parser.set_defaults(command=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    import joblib

    from optuna_zerocost import demo

    url = arguments.storage
    try:
        settings = demo.Settings(
            trials=arguments.trials,
            seeds=tuple(range(arguments.seed, arguments.seed + arguments.seeds)),
            jobs=arguments.jobs or joblib.cpu_count(),
        )
        demo.load_digits()  # before there is a file
        with demo.open_storage(url) as storage:
            print(demo.describe_settings(settings), end="\n\n", flush=True)
            started = time.perf_counter()
            arms = demo.run(
                settings, storage, report=lambda arm: print(demo.describe_arm(arm), flush=True)
            )
            seconds = time.perf_counter() - started
            print(f"\n{demo.render(demo.compare(settings, arms))}\n", flush=True)
            try:
                demo.publish(arms, storage)
            except ImportError as error:
                print(f"{_PROGRAM}: no figures for the dashboard: {error}", file=sys.stderr)
    except demo.DemoError as error:
        print(f"{_PROGRAM}: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{_PROGRAM}: interrupted; what was trained is in {url}", file=sys.stderr)
        return INTERRUPTED
    print(f"Done in {seconds:.0f} s. To look at the studies:\n\n  optuna-dashboard {url}")
    return 0


def _add_proxies(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "proxies",
        help="list the zero-cost proxies",
        description=(
            "List the proxies: which direction is better, which pass over the network they share, "
            "what they cost alone relative to one training pass, what they need, what they "
            "compute, where they fail, and the paper."
        ),
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--format", choices=["text", "markdown", "csv"], default="text", help="form of the table"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="measure the costs on this machine (a minute or two)",
    )
    parser.set_defaults(command=guarded(_proxies))


def _proxies(arguments: argparse.Namespace) -> None:
    from optuna_zerocost import proxies, proxy_table

    costs = proxy_table.MEASURED_COSTS
    if arguments.measure:
        costs = proxy_table.measure_costs(proxies.names())
    render = {
        "text": proxy_table.as_text,
        "markdown": proxy_table.as_markdown,
        "csv": proxy_table.as_csv,
    }[arguments.format]
    print(render(proxy_table.rows(costs)))
