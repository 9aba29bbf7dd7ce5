"""Do zero-cost proxies rank the CIFAR-10 models of ``pytorchcv`` by their trained accuracy?

The package's metadata tell the error rate of each trained model; the proxies see the model
untrained. Prints Spearman's ρ of every proxy with the accuracy, signed, beside that of ``params``
and ``flops``.

The images are those of ``--images``, an ``.npz`` file with ``x`` (uint8, n×32×32×3) and ``y`` (n
labels), such as the first of CIFAR-10; else they are random. Without ``--output`` nothing is
written.
"""

from __future__ import annotations

import argparse
import csv
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from optuna_zerocost import proxies
from zerocost_bench.arguments import add_record
from zerocost_bench.experiments.real_models import obtained
from zerocost_bench.files import open_arrays
from zerocost_bench.key_figures import record_figures
from zerocost_bench.model_zoo import Settings, Subject, labels, last_output
from zerocost_bench.outcomes import Job, Table, measure
from zerocost_bench.outcomes import passes as passes_of

# What takes one pass over one sample at most, and so is measured on models of any size.
STATIC = ("params", "flops", "l2_norm", "synflow", "logsynflow")
STAGES = ("az_expressivity", "az_progressivity", "az_trainability")
KERNEL = ("ntk_condition",)  # a backward a sample, through the whole minibatch
KERNEL_BATCH = 16
REDRAWN = ("swap",)  # 32 forwards, half of the whole time; so these come last
RESAMPLES = 2000
# The channels' means and standard deviations with which these models were trained.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def accuracies() -> dict[str, float]:
    """Return the CIFAR-10 test accuracy, in per cent, of the models of which it is known."""
    found = {}
    with (_folder() / "common" / "model_metainfos.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["model_name"].endswith("_cifar10") and row["error_value"].isdigit():
                # Errors are in hundredths of a per cent.
                found[row["model_name"]] = 100 - int(row["error_value"]) / 100
    return found


def _folder() -> Path:
    return Path(next(iter(importlib.import_module("pytorchcv.models").__path__)))


@functools.cache
def builders() -> Mapping[str, Callable[[], nn.Module]]:
    """Return the functions that build the models for CIFAR, by name."""
    found: dict[str, Callable[[], nn.Module]] = {}
    for module in pkgutil.iter_modules([str(_folder())]):
        if "cifar" in module.name:
            found |= vars(importlib.import_module(f"pytorchcv.models.{module.name}"))
    return found


def minibatch(settings: Settings) -> tuple[Tensor, Tensor]:
    """Return the first images of CIFAR-10, normalised, with their labels; else random ones."""
    if settings.images is None:
        size = settings.cifar_size
        return torch.randn(settings.batch, 3, size, size), labels(settings.batch)
    with open_arrays(settings.images) as data:
        pixels, classes = data["x"][: settings.batch], data["y"][: settings.batch]
    mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
    images = (torch.from_numpy(pixels).float() / 255 - mean) / deviation
    return images.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(classes).long()


def load(name: str, settings: Settings) -> Subject:
    """Build a model with initial weights, and the minibatch."""
    torch.manual_seed(settings.seed)
    network = builders()[name]()
    return Subject(network, minibatch(settings), last_output)


def load_stages(name: str, settings: Settings) -> Subject:
    """Build the same as the sequence of its stages, which pytorchcv keeps in ``features``.

    A network that is no such sequence stays as it is.
    """
    subject = load(name, settings)
    network = subject.network.eval()
    stages = list(network.get_submodule("features").children())
    output = network.get_submodule("output")
    if isinstance(output, nn.Linear):
        staged = nn.Sequential(*stages, nn.Flatten(), output)
    else:  # a convolution and a pooling
        staged = nn.Sequential(*stages, *output.children(), nn.Flatten())
    try:
        with torch.no_grad():
            one = subject.batch[0][:1]
            same = torch.equal(staged(one), network(one))
    except (TypeError, RuntimeError):  # the stages pass on more than one tensor
        same = False
    return replace(subject, network=staged.train() if same else network.train())


def spearman(values: Sequence[float], others: Sequence[float]) -> float:
    return float(stats.spearmanr(values, others).statistic)


def interval(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of Spearman's ρ, over resampled models."""
    generator = np.random.default_rng(0)
    x, y = np.array(values), np.array(others)
    found = []
    for _ in range(RESAMPLES):
        chosen = generator.integers(len(x), size=len(x))
        if len(set(x[chosen])) > 1 and len(set(y[chosen])) > 1:
            found.append(spearman(x[chosen].tolist(), y[chosen].tolist()))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def partial(values: Sequence[float], others: Sequence[float], given: Sequence[float]) -> float:
    """Return Spearman's ρ of two with the ranks of a third held fixed; NaN if it decides one."""
    xy, xz, yz = spearman(values, others), spearman(values, given), spearman(others, given)
    rest = (1 - xz**2) * (1 - yz**2)
    return float("nan") if rest < 1e-12 else float((xy - xz * yz) / rest**0.5)


def correlations(
    scores: Mapping[str, Mapping[str, float]],
    accuracy: Mapping[str, float],
    names: Sequence[str],
    models: Sequence[str],
) -> list[str]:
    """Return a row for each proxy, the strongest first: ρ over the models that have a score."""
    rows = []
    for name in names:
        of = [model for model in models if name in scores[model]]
        values = [scores[model][name] for model in of]
        if len(of) < 4 or len(set(values)) == 1:
            why = "the scores are all equal" if len(of) >= 4 else "too few scores"
            rows.append((2.0, f"| {name} | {len(of)} | {why} | | | | | |"))
            continue
        truth = [accuracy[model] for model in of]
        flops = [scores[model]["flops"] for model in of]
        capacity = spearman([scores[model]["params"] for model in of], truth)
        rho, (low, high) = spearman(values, truth), interval(values, truth)
        pvalue = float(stats.spearmanr(values, truth).pvalue)
        beyond = partial(values, truth, flops)
        sign = "+" if proxies.describe(name).direction == "maximize" else "−"
        cells = f"{rho:+.2f} | {low:+.2f} … {high:+.2f} | {pvalue:.1g}"
        more = "" if beyond != beyond else f"{beyond:+.2f}"
        rows.append(
            (-abs(rho), f"| {name} | {len(of)} | {sign} | {cells} | {capacity:+.2f} | {more} |")
        )
    head = "| proxy | models | wanted sign | ρ | 95 % interval | p | params' ρ | ρ given flops |"
    rule = "| --- | ---: | :-: | ---: | --- | ---: | ---: | ---: |"
    return [head, rule, *(row for _, row in sorted(rows))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's arguments."""
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=120, help="seconds that a pass may take")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument(
        "--gflops", type=float, default=1.0, help="larger models get the static proxies only"
    )
    parser.add_argument("--quick", action="store_true", help="four small models, batch 8")
    parser.add_argument("--images", metavar="FILE", help="(default: random ones)")
    add_record(parser)
    parser.add_argument("--output", type=Path, help="write OUTPUT.csv and OUTPUT.md")
    parser.add_argument("--resume", action="store_true", help="keep what OUTPUT.csv holds")
    parser.add_argument(
        "--only", nargs="+", metavar="PROXY", help="measure these anew, keep the rest of the file"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run and print."""
    known = accuracies()
    models = tuple(name for name in known if name in builders())
    if arguments.quick:
        models = tuple(name for name in models if "net20_" in name)[:4]
    settings = Settings(
        batch=8 if arguments.quick else arguments.batch,
        seed=arguments.seed,
        images=arguments.images,
    )
    kernel_settings = replace(settings, batch=min(KERNEL_BATCH, settings.batch))
    table = Table(arguments.output.with_suffix(".csv") if arguments.output else None, models)
    if arguments.resume or arguments.only:
        table.read()

    def jobs_for(chosen: Sequence[str], names: Sequence[str], loaded: Settings) -> list[Job]:
        builder = load_stages if names == STAGES else load
        jobs = []
        for model in chosen:
            again = [name for name in names if name in (arguments.only or ())]
            wanted = again if arguments.only else table.missing(model, names)
            if wanted:
                jobs.append(Job(model, builder, loaded, tuple(passes_of(wanted))))
        return jobs

    run = functools.partial(
        measure, limit=arguments.limit, processes=arguments.jobs, keep=table.add
    )
    run(jobs_for(models, STATIC, settings))
    scores = scores_of(table, models)
    small = [
        model for model in models if scores[model].get("flops", np.inf) <= arguments.gflops * 1e9
    ]
    rest = tuple(n for n in proxies.names() if n not in (*STATIC, *STAGES, *KERNEL, *REDRAWN))
    run(
        jobs_for(small, rest, settings)
        + jobs_for(small, STAGES, settings)
        + jobs_for(small, KERNEL, kernel_settings)
        + jobs_for(small, REDRAWN, settings)
    )
    text = report(arguments.command_line, table, models, small, known, settings, arguments.gflops)
    print(text)
    if arguments.record:
        scores = scores_of(table, models)
        figures: dict[str, float] = {"small_models": len(small)}
        for name in proxies.names():
            of = [model for model in small if name in scores[model]]
            rho = spearman([scores[m][name] for m in of], [known[m] for m in of])
            figures |= {name: round(rho, 2), f"{name}_models": len(of)}
        record_figures("pytorchcv_correlation", arguments.command_line, figures)
    if arguments.output:
        arguments.output.with_suffix(".md").write_text(text)


def scores_of(table: Table, models: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {model: {} for model in models}
    for outcome in table.sorted():
        if outcome.value:
            found[outcome.model][outcome.proxy] = float(outcome.value)
    return found


def report(
    command: str,
    table: Table,
    models: Sequence[str],
    small: Sequence[str],
    known: Mapping[str, float],
    settings: Settings,
    gflops: float,
) -> str:
    """Return the whole result as Markdown."""
    scores = scores_of(table, models)
    images = "the first CIFAR-10 training images" if settings.images else "random images"
    on = (
        f"{images}, batch {settings.batch} (ntk_condition {min(KERNEL_BATCH, settings.batch)}, "
        f"swap 16 of them), 32 × 32, seed {settings.seed}, PyTorch's initial weights as "
        "pytorchcv sets them"
    )
    large = [model for model in models if model not in small]
    unbuilt = [model for model in known if model not in models]
    failed: dict[str, list[str]] = {}
    for outcome in table.sorted():
        if outcome.error:
            where = failed.setdefault(f"{outcome.proxy}: {outcome.error}", [])
            where.append(
                outcome.model if where else f"{outcome.model} ({outcome.message[:120]} …)"
            )
    range_of = [known[model] for model in small]
    lines = [
        "# Zero-cost proxies and the accuracy of pytorchcv's CIFAR-10 models",
        "",
        obtained(command, on),
        "",
        "ρ is Spearman's, of the score of the untrained network with the CIFAR-10 test accuracy "
        "of the trained one, which is 100 % less the error rate in pytorchcv's metadata. The "
        f"interval is a bootstrap over models ({RESAMPLES} resamples). *ρ given flops* is the "
        "partial rank correlation: what a proxy tells beyond the size of the computation. "
        "*params' ρ* is that of the number of parameters over the same models, those of which "
        "there is a score. The wanted sign is that of a proxy which works as its paper says.",
        "",
        "How much this shows: the models are a handful of families, mostly ResNets that differ in "
        "depth, with one initialisation each, and were trained by recipes that differ between "
        "families. So they are not independent, the intervals and p are too good, and whatever "
        "grows with depth ranks them well. Where many proxies are compared on few models, small "
        "differences in ρ mean nothing.",
        "",
        f"## All proxies: the {len(small)} models of at most {gflops:g} GFLOPs",
        "",
        f"Their accuracies span {min(range_of):.2f} to {max(range_of):.2f} %. FLOPs are twice the "
        "multiply-adds of one image.",
        "",
        *correlations(scores, known, proxies.names(), small),
        "",
        f"## Static proxies: all {len(models)} models",
        "",
        *correlations(scores, known, STATIC, models),
        "",
        "## What was left out",
        "",
        f"- pytorchcv tells the CIFAR-10 error of {len(known)} models; not built: "
        f"{', '.join(unbuilt) or 'none'}.",
        f"- {len(large)} models above {gflops:g} GFLOPs got the static proxies only: "
        f"{', '.join(large) or 'none'}.",
        *(f"- {what} for {len(where)}: {', '.join(where)}" for what, where in failed.items()),
        "- The AZ proxies are given each network as the sequence of its stages, which pytorchcv "
        "keeps inside a part of their own.",
        "",
    ]
    return "\n".join(lines)
