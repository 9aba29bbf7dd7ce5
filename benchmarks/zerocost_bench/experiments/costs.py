"""The cost of each proxy on this machine, relative to a forward and backward pass of training.

Takes a minute or two, on three networks of NAS-Bench-201. The costs that 'optuna-zerocost proxies'
tells were measured this way.
"""

from __future__ import annotations

import argparse

from optuna_zerocost import proxies, proxy_table
from zerocost_bench.arguments import names, positive
from zerocost_bench.costs import measure_costs

__all__ = ["add_arguments", "run"]

_FORMATS = {
    "text": proxy_table.as_text,
    "markdown": proxy_table.as_markdown,
    "csv": proxy_table.as_csv,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--proxies", type=names, metavar="A,B", help="(default: all)")
    parser.add_argument(
        "--repeats", type=positive, default=2, metavar="N", help="the shortest time counts"
    )
    parser.add_argument("--format", choices=list(_FORMATS), default="text", help="of the table")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    chosen = arguments.proxies or proxies.names()
    costs = measure_costs(chosen, repeats=arguments.repeats)
    rows = [row for row in proxy_table.rows(costs) if row.name in costs]
    print(_FORMATS[arguments.format](rows))
