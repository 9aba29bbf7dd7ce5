"""Every proxy on one small network of each family: what comes out is a value or a typed error.

The networks are written in plain torch, each with its own inputs and loss. Each runs in a process
of its own, which is ended when one of its passes exceeds the limit. Without --output nothing is
written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from optuna_zerocost import proxies
from zerocost_bench.experiments.real_models import grid, obtained, summary
from zerocost_bench.families import FAMILIES, available, load
from zerocost_bench.model_zoo import Settings
from zerocost_bench.outcomes import Job, Table, measure, passes


def report(command: str, table: Table, chosen: list[str], settings: Settings) -> str:
    """Return the whole result as Markdown."""
    on = f"random inputs and labels, batch {settings.batch}, seed {settings.seed}"
    lines = ["# Every proxy on every family", "", obtained(command, on, ("torch",)), ""]
    lines += [
        "A number is the score of one small untrained network; a word is the error that says why "
        "there is none. After each pass the network is compared with what it was before; a "
        "change, an untyped exception or a score that is not finite would be listed as BUG.",
        "",
        *grid(table, chosen, proxies.names()),
        "",
        *summary(table.sorted()),
        "",
        "| family | what it is |",
        "| --- | --- |",
        *(f"| {name} | {FAMILIES[name].__doc__} |" for name in chosen),
    ]
    if absent := [name for name in FAMILIES if name not in available()]:
        lines += ["", f"Left out, since it was not installed: {', '.join(absent)}."]
    return "\n".join(lines) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--limit", type=float, default=60, help="seconds that a pass may take")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--families", nargs="+", metavar="FAMILY", choices=available())
    parser.add_argument("--output", type=Path, help="write OUTPUT.csv and OUTPUT.md")


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    settings = Settings(batch=arguments.batch, seed=arguments.seed)
    chosen = list(arguments.families or available())
    table = Table(arguments.output and arguments.output.with_suffix(".csv"), chosen)
    jobs = [Job(name, load, settings, tuple(passes())) for name in chosen]
    measure(jobs, limit=arguments.limit, processes=arguments.jobs, keep=table.add)
    text = report(arguments.command_line, table, chosen, settings)
    print(text)
    if arguments.output:
        arguments.output.with_suffix(".md").write_text(text)
