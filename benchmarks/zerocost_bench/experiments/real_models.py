"""Every proxy on real architectures: what comes out is a value or a typed error.

Builds untrained models of pytorchcv and transformers and asks for every registered proxy. Each
model runs in a process of its own, which is ended when one of its passes exceeds the limit.
Without --output nothing is written.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from optuna_zerocost import proxies
from zerocost_bench.model_zoo import CLASSES, QUICK, TRANSFORMERS, Settings, load, model_names
from zerocost_bench.outcomes import Job, Outcome, Table, measure, passes


def short(outcome: Outcome | None) -> str:
    """Return an outcome as a cell: three significant digits, or the short name of the error."""
    if outcome is None:
        return ""
    return f"{float(outcome.value):.3g}" if outcome.value else outcome.error.removesuffix("Error")


def grid(table: Table, models: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the table model × proxy as Markdown."""
    lines = [f"| model | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for model in models:
        cells = (short(table.outcomes.get((model, name))) for name in names)
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return lines


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return how many values and which errors there are, and why, as Markdown."""
    values = sum(bool(outcome.value) for outcome in outcomes)
    errors = [outcome for outcome in outcomes if outcome.error]
    models = {outcome.model for outcome in outcomes}
    counted = Counter(outcome.error for outcome in errors)
    lines = [
        f"{len(models)} models, {len(outcomes)} scores asked for: {values} values"
        + "".join(f", {count} {kind}" for kind, count in sorted(counted.items()))
        + ".",
        "",
        "| error | proxies | models | what it says, of the first |",
        "| --- | --- | --- | --- |",
    ]
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in errors:
        groups.setdefault((outcome.error, kind_of(outcome.message)), []).append(outcome)
    for (error, _), group in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]))):
        names = ", ".join(sorted({outcome.proxy for outcome in group}))
        where = list(dict.fromkeys(outcome.model for outcome in group))
        shown = ", ".join(where[:5]) + (f" and {len(where) - 5} more" if len(where) > 5 else "")
        message = group[0].message.replace("|", "\\|")
        message = message if len(message) < 300 else f"{message[:300]} […]"
        lines.append(f"| {error} | {names} | {len(where)}: {shown} | {message} |")
    return lines


def kind_of(message: str) -> str:
    """Return the message without the names, shapes and numbers that differ from case to case."""
    message = re.sub("|".join(proxies.names()), "_", message)
    message = re.sub(r"_(, _)+", "_", message)
    message = re.sub(r"'[^']*'|\([\d, ]+\)|\[[\d, ]+\]|\d+", "_", message)
    return re.sub(r"\b(?!\w+Error\b)\w*[A-Z]\w*", "_", message)


_LIBRARIES = ("torch", "pytorchcv", "transformers")


def obtained(command: str, settings: str, libraries: Sequence[str] = _LIBRARIES) -> str:
    """Return how the figures came about: the command, what they were measured on, versions."""
    versions = [f"{name} {installed(name)}" for name in libraries]
    return (
        f"Obtained with `{command}`: {settings}, {', '.join(versions)}, Python "
        f"{platform.python_version()}, one thread a process, CPU ({platform.machine()})."
    )


def installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def report(
    command: str, table: Table, models: Sequence[str], settings: Settings, limit: float
) -> str:
    """Return the whole result as Markdown."""
    on = (
        f"random inputs and labels of {CLASSES} classes, batch {settings.batch}; "
        f"{settings.cifar_size} × {settings.cifar_size} pixels for models made for CIFAR, "
        f"{settings.imagenet_size} × {settings.imagenet_size} and batch {settings.imagenet_batch} "
        "for those made for ImageNet, whose last pooling is made to fit; "
        f"seed {settings.seed}, at most {limit:g} s a pass"
    )
    of_pytorchcv = [model for model in models if model not in TRANSFORMERS]
    of_transformers = [model for model in models if model in TRANSFORMERS]
    lines = ["# Every proxy on real architectures", "", obtained(command, on), ""]
    lines += [
        "Every network is untrained. After each pass it is compared with what it was before: "
        "parameters, buffers, flags, modes, hooks, and the global random state. A change, an "
        "untyped exception or a score that is not finite would be listed as BUG. The batches are "
        "small: linear_regions, at most the number of samples, and swap, at most 2 to that power, "
        "are saturated.",
        "",
    ]
    for library, chosen in (("pytorchcv", of_pytorchcv), ("transformers", of_transformers)):
        if not chosen:
            continue
        outcomes = [outcome for outcome in table.sorted() if outcome.model in chosen]
        lines += [f"## {library}", "", *summary(outcomes), ""]
        lines += [*grid(table, chosen, proxies.names()), ""]
    return "\n".join(lines).rstrip() + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--imagenet-batch", type=int, default=Settings.imagenet_batch)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--limit", type=float, default=60, help="seconds that a pass may take")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="by default all")
    parser.add_argument("--quick", action="store_true", help="five models, batch 4")
    parser.add_argument("--output", type=Path, help="write OUTPUT.csv and OUTPUT.md")
    parser.add_argument("--resume", action="store_true", help="keep what OUTPUT.csv holds")
    parser.add_argument(
        "--only", nargs="+", metavar="PROXY", help="measure these anew, keep the rest of the file"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    settings = Settings(
        batch=4 if arguments.quick else arguments.batch,
        imagenet_batch=arguments.imagenet_batch,
        seed=arguments.seed,
    )
    models = arguments.models or (QUICK if arguments.quick else model_names())
    path = arguments.output.with_suffix(".csv") if arguments.output else None
    table = Table(path, models)
    if arguments.resume or arguments.only:
        table.read()
    jobs = []
    for model in models:
        names = arguments.only or table.missing(model, proxies.names())
        if names:
            jobs.append(Job(model, load, settings, tuple(passes(names))))
    measure(jobs, limit=arguments.limit, processes=arguments.jobs, keep=table.add)
    text = report(arguments.command_line, table, models, settings, arguments.limit)
    print(text)
    if arguments.output:
        arguments.output.with_suffix(".md").write_text(text)
