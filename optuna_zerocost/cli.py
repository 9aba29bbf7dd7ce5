"""The command ``optuna-zerocost``.

Subcommands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import time
from collections.abc import Callable, Sequence

from optuna_zerocost.commands import (
    FAILED,
    INTERRUPTED,
    HelpFormatter,
    Subparsers,
    add_rank,
    add_report,
    add_score,
    add_warmup,
    guarded,
    natural,
    positive,
)

__all__ = ["main"]

_PROGRAM = "optuna-zerocost"
_BENCH = "bench"


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
    subparsers.add_parser(_BENCH, help="experiments, if zerocost-bench is installed")
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == [_BENCH]:
            code = _bench(words[1:])
        else:
            arguments = parser.parse_args(words)
            command: Callable[[argparse.Namespace], int] = arguments.command
            code = command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, `head` say, has seen enough. Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _bench(words: Sequence[str]) -> int:
    """Hand over to the package of the experiments, which is not part of this one."""
    for entry in importlib.metadata.entry_points(group="optuna_zerocost.commands", name=_BENCH):
        command: Callable[..., int] = entry.load()
        return command(words, program=f"{_PROGRAM} {_BENCH}")
    print(
        f"{_PROGRAM}: error: the experiments are a package of their own, zerocost-bench, which is "
        "not installed; from a clone of the repository: pip install ./benchmarks",
        file=sys.stderr,
    )
    return FAILED


def _add_demo(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="search with and without zero-cost proxies on real images, and compare",
        description=(
            "Train small convolutional networks on scikit-learn's handwritten digits, chosen by "
            "TPE alone, by a fixed rule on zero-cost proxies and by the default ZeroCostSampler, "
            "the same number with each, and compare. "
            "The studies stay in the storage; a second run adds its own beside them "
            "(…-run2) rather than resume them."
        ),
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--trials", type=positive, default=30, metavar="N", help="networks that each study trains"
    )
    parser.add_argument(
        "--seeds", type=positive, default=2, metavar="K", help="studies of each kind"
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
            arms = []
            for arm in demo.run(settings, storage):
                print(demo.describe_arm(arm), flush=True)
                arms.append(arm)
            seconds = time.perf_counter() - started
            print(f"\n{demo.render(arms)}", flush=True)
            print(f"\n{demo.explain(arms)}\n", flush=True)
            try:
                demo.publish(arms)
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
    parser.set_defaults(command=guarded(_proxies))


def _proxies(arguments: argparse.Namespace) -> None:
    from optuna_zerocost import proxy_table

    render = {
        "text": proxy_table.as_text,
        "markdown": proxy_table.as_markdown,
        "csv": proxy_table.as_csv,
    }[arguments.format]
    print(render(proxy_table.rows()))
