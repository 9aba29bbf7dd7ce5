"""Results of the experiments, as CSV and as text of 80 columns."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zerocost_bench.curves import GAPS, Curve
from zerocost_bench.files import write_whole
from zerocost_bench.score_agreement import WITHIN, Agreement

__all__ = [
    "CORRELATION_KEY",
    "SEARCH_KEY",
    "correlation_text",
    "TRUST_KEY",
    "search_text",
    "trust_text",
    "write_correlation",
    "write_curves",
    "write_summary",
]


CORRELATION_KEY = f"""\
ρ, τ: Spearman's and Kendall's correlation with accuracy; top: among the tenth
of the networks with the highest accuracy; pairs: share that is ordered right;
first: networks to train, best score first, until one is within {WITHIN} points
of the best; cost: of a network, in training passes over 64 images."""
"""Meaning of the columns of :func:`correlation_text`."""

SEARCH_KEY = """\
Medians of the searches. best: accuracy of the best network, %; test: its test
accuracy; to g: networks trained until one is within g points of the best there
is; ×: how many times as many the algorithm alone needs; ms: time of the
processor for a trial, besides training."""
"""Meaning of the columns of :func:`search_text`."""


TRUST_KEY = """\
to g: networks trained until one is within g points of the best there is: lower
quartile, median and upper quartile of the searches; ×: median relative to the
same sampler without a score; ms: time of the processor for a trial, besides
training."""
"""Meaning of the columns of :func:`trust_text`."""


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    def write(file: Any) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

    write_whole(path, write)


def write_correlation(
    path: Path, agreements: Sequence[tuple[str, Agreement]], *, metric: str
) -> None:
    """Write a row for each data set and score.

    Args:
        path: The CSV file.
        agreements: Data set and comparison.
        metric: What was compared with.
    """
    fields = [field.name for field in dataclasses.fields(Agreement)]
    _write(
        path,
        ["dataset", "metric", *fields],
        ([dataset, metric, *dataclasses.astuple(row)] for dataset, row in agreements),
    )


def correlation_text(agreements: Sequence[Agreement]) -> str:
    """Return the comparisons of one data set as text."""
    lines: list[str] = []
    networks = None
    for row in agreements:
        if row.networks != networks:
            networks = row.networks
            lines += [
                *[""] * bool(lines),
                f"{networks} networks",
                f"{'':34}{'ρ':>6}{'τ':>6}{'top ρ':>7}{'top τ':>7}{'pairs':>7}{'first':>6}"
                f"{'cost':>7}",
            ]
        lines.append(
            f"{_cut(row.score, 33):34}{row.spearman:6.2f}{row.kendall:6.2f}"
            f"{row.top_spearman:7.2f}{row.top_kendall:7.2f}{row.concordant:7.3f}"
            f"{row.first_rank:6.0f}{_short(row.passes):>7}"
        )
    return "\n".join(lines)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def write_curves(path: Path, curves: Sequence[Curve]) -> None:
    """Write a row for each data set, arm and number of trained networks."""
    _write(
        path,
        ["dataset", "arm", "trained", "median", "lower", "upper", "test_median"],
        (
            [
                curve.dataset,
                curve.label,
                trained + 1,
                curve.best.median[trained],
                curve.best.lower[trained],
                curve.best.upper[trained],
                "" if curve.test is None else curve.test.median[trained],
            ]
            for curve in curves
            for trained in range(len(curve.best.median))
        ),
    )


def write_summary(path: Path, curves: Sequence[Curve]) -> None:
    """Write a row for each data set and arm; ``inf`` where the networks did not suffice."""
    header = ["dataset", "arm", "seeds", "trained", "median", "lower", "upper", "test_median"]
    for gap in GAPS:
        header += [f"needed_{gap}_{name}" for name in ("lower", "median", "upper")]
        header.append(f"speedup_{gap}")
    rows = []
    for curve in curves:
        row = [
            curve.dataset,
            curve.label,
            curve.seeds,
            len(curve.best.median),
            curve.best.median[-1],
            curve.best.lower[-1],
            curve.best.upper[-1],
            "" if curve.test is None else curve.test.median[-1],
        ]
        base = _base_of(curve, curves)
        for gap in GAPS:
            row += [*curve.needed[gap], "" if base is None else curve.speedup(base, gap)]
        rows.append([*row, curve.milliseconds])
    _write(path, [*header, "milliseconds"], rows)


def _base_of(curve: Curve, curves: Sequence[Curve]) -> Curve | None:
    """Return the curve of the same algorithm alone, if it is there."""
    label = curve.label.partition(" + ")[0]
    found = (c for c in curves if c.label == label and c.dataset == curve.dataset)
    return next(found, None)


def search_text(curves: Sequence[Curve]) -> str:
    """Return the curves of one data set as text."""
    trials = len(curves[0].best.median)
    header = f"{'':28}{'best':>7}{'test':>7}"
    for gap in GAPS:
        header += f"{f'to {gap}':>8}{'×':>6}"
    lines = [f"{header}{'ms':>8}"]
    for curve in curves:
        base = _base_of(curve, curves)
        test = "-" if curve.test is None else f"{curve.test.median[-1]:.2f}"
        line = f"{curve.label:28}{curve.best.median[-1]:7.2f}{test:>7}"
        for gap in GAPS:
            line += f"{_needed(curve.needed[gap][1], trials):>8}{_speedup(curve, base, gap):>6}"
        lines.append(f"{line}{curve.milliseconds:8.1f}")
    return "\n".join(lines)


def trust_text(curves: Sequence[Curve], *, trials: int, reference: str) -> str:
    """Return the curves of one data set as text.

    Args:
        curves: Of one data set.
        trials: Networks that a search trained at most.
        reference: Label of the curve that others are compared with.
    """
    (unaided,) = (curve for curve in curves if curve.label == reference)
    header = f"{'':27}"
    for gap in GAPS:
        header += f"{f'to {gap}':>12}{'':6}{'×':>4} "
    lines = [f"{header}{'ms':>6}"]
    for curve in curves:
        line = f"{_cut(curve.label, 27):27}"
        for gap in GAPS:
            lower, median, upper = (f"{_needed(value, trials)}" for value in curve.needed[gap])
            ratio = unaided.speedup(curve, gap)
            line += f"{lower:>6}{median:>6}{upper:>6}{_factor(ratio):>5}"
        lines.append(f"{line}{curve.milliseconds:6.0f}")
    return "\n".join(lines)


def _factor(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _needed(value: float, trials: int) -> str:
    return f">{trials}" if math.isinf(value) else f"{value:.0f}"


def _speedup(curve: Curve, base: Curve | None, gap: float) -> str:
    if base is None or base is curve:
        return "-"
    factor = curve.speedup(base, gap)
    if math.isinf(factor):
        return f">{len(curve.best.median) / curve.needed[gap][1]:.1f}"
    return "-" if math.isnan(factor) else f"{factor:.1f}"
