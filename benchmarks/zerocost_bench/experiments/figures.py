"""Check the key figures of the results: are they in their pages, and quoted as they are?

Also tells which results are older than the code that they measure. With --update a result counts
as valid for today's code, where a change cannot have reached it.
"""

from __future__ import annotations

import argparse

from zerocost_bench.failure import BenchmarkError
from zerocost_bench.key_figures import load, problems, save, valid_now

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument(
        "--check", action="store_true", help="check only, which is what happens without --update"
    )
    parser.add_argument(
        "--update",
        nargs="+",
        default=[],
        metavar="NAME",
        help="results that hold for today's code",
    )


def run(arguments: argparse.Namespace) -> None:
    """Check, or update and check."""
    results = load()
    unknown = set(arguments.update) - set(results)
    if unknown:
        raise BenchmarkError(
            f"no result is called {', '.join(sorted(unknown))}; there are {', '.join(results)}"
        )
    if arguments.update and not arguments.check:
        results |= {name: valid_now(results[name]) for name in arguments.update}
        save(results)
    found = problems(results)
    if found:
        raise BenchmarkError("\n".join(["the figures do not fit together", *found]))
    quotes = sum(len(result.quoted) for result in results.values())
    print(f"{len(results)} results, quoted in {quotes} places: all as measured")
