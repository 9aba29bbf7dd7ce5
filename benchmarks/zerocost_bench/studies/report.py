"""What the lines of the suite say: errors, and ratios to the better of Optuna's two samplers."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import scipy.stats

from zerocost_bench.studies.arms import ARMS, RIVALS
from zerocost_bench.studies.lines import Line

__all__ = ["Ratio", "as_markdown", "as_text", "better_rival", "ratio_to_rival", "suite_ratio"]

AFTER = (10, 20, 40)
_LEVEL = 0.95
_WIDTH = 99

KEY = """\
Errors after so many trials: what the best accuracy lacks of 1, or the best value of the best that
is known, or the hypervolume of 1; at least half a validation sample. ratio: geometric mean over
the seeds of error over the error of the better of tpe and gp (the one with the lower geometric
mean) with the same seed, below 1 is better; with a paired 95 % interval (t, logarithms). s: of the
sampler for a trial, by the clock, trainings apart."""
"""Meaning of the columns."""


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of ratios.

    Attributes:
        log: Its logarithm.
        error: The standard error of that; NaN for less than two seeds.
        half: Half of the logarithm's 95 % interval.
    """

    log: float
    error: float
    half: float

    def __str__(self) -> str:
        low, high = _factor(self.log - self.half), _factor(self.log + self.half)
        within = f" [{low}, {high}]" if math.isfinite(self.half) else ""
        return f"{_factor(self.log)}{within}"


def _factor(log: float) -> str:
    return f"{math.exp(log):.2f}" if log < math.log(99.99) else ">99"


def _of(lines: Iterable[Line], arm: str) -> dict[int, Line]:
    """Return the lines of one arm by seed."""
    return {line.seed: line for line in lines if line.arm == arm}


def _geometric_mean(errors: Iterable[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, errors)))


def better_rival(lines: Sequence[Line], after: int) -> str | None:
    """Return which of tpe and gp has the lower geometric mean over the seeds of both.

    Args:
        lines: Of one study.
        after: Trials.

    Returns:
        Its name; ``None`` if neither is there, or they have no seed in common.
    """
    found = {arm: of for arm in RIVALS if (of := _of(lines, arm))}
    seeds = set.intersection(*map(set, found.values())) if found else set()
    if not seeds:
        return None
    return min(
        found, key=lambda arm: _geometric_mean(found[arm][seed].error(after) for seed in seeds)
    )


def ratio_to_rival(lines: Sequence[Line], arm: str, after: int) -> Ratio | None:
    """Return the errors of an arm over those of the better rival, seed by seed.

    Args:
        lines: Of one study.
        arm: The arm.
        after: Trials.
    """
    rival = better_rival(lines, after)
    if rival is None:
        return None
    ours, theirs = _of(lines, arm), _of(lines, rival)
    logs = [
        math.log(line.error(after) / theirs[seed].error(after))
        for seed, line in ours.items()
        if seed in theirs
    ]
    if not logs:
        return None
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    factor = float(scipy.stats.t.ppf((1 + _LEVEL) / 2, len(logs) - 1)) if len(logs) > 1 else 0.0
    return Ratio(statistics.fmean(logs), error, factor * error)


def suite_ratio(ratios: Sequence[Ratio]) -> Ratio:
    """Return the geometric mean over studies; its interval is over seeds, for these studies."""
    error = math.sqrt(math.fsum(ratio.error**2 for ratio in ratios)) / len(ratios)
    log = statistics.fmean(ratio.log for ratio in ratios)
    return Ratio(log, error, float(scipy.stats.norm.ppf((1 + _LEVEL) / 2)) * error)


@dataclass(frozen=True)
class _Table:
    """Cells under a title, the first column at the left, and remarks."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()

    def text(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [self.title]
        for row in (self.header, *self.rows):
            cells = [f"{row[0]:{widths[0]}}"]
            cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        for remark in self.remarks:
            lines += textwrap.wrap(remark, _WIDTH)
        return "\n".join(lines)

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", _row(self.header)]
        lines.append(f"| --- |{' ---: |' * (len(self.header) - 1)}")
        lines += map(_row, self.rows)
        for remark in self.remarks:
            lines += ["", remark]
        return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _by_study(lines: Iterable[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.study, []).append(line)
    return found


def _arms_of(lines: Iterable[Line]) -> list[str]:
    """Return the names of the arms that are there, in the order of :data:`ARMS`."""
    there = {line.arm for line in lines}
    return [*(arm for arm in ARMS if arm in there), *sorted(there - set(ARMS))]


def _marks(lines: Iterable[Line]) -> list[int]:
    """Return after how many trials something is told."""
    length = min(len(line.errors) for line in lines)
    return [*(after for after in AFTER if after < length), length]


def _study_table(name: str, lines: Sequence[Line]) -> _Table:
    marks = _marks(lines)
    rival = better_rival(lines, marks[-1])
    rows = []
    for arm in _arms_of(lines):
        of = _of(lines, arm).values()
        medians = [statistics.median(line.error(after) for line in of) for after in marks]
        means = [_geometric_mean(line.error(after) for line in of) for after in marks]
        ratio = ratio_to_rival(lines, arm, marks[-1])
        seconds = [s for line in of for s in line.seconds]
        rows.append(
            [
                arm,
                *(f"{value:.3g}" for value in medians + means),
                "-" if ratio is None else "1" if arm == rival else str(ratio),
                f"{statistics.fmean(seconds):.2g}" if seconds else "-",
            ]
        )
    header = ["", *(f"med {after}" for after in marks)]
    header += [*(f"gm {after}" for after in marks), "ratio", "s"]
    compared = "" if rival is None else f", compared with {rival}"
    counts = sorted({len(_of(lines, arm)) for arm in _arms_of(lines)})
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
    title = f"{name}: {marks[-1]} trials, {seeds} seed{'s' * (counts[-1] > 1)}{compared}"
    return _Table(title, header, rows, _remarks(lines))


def _remarks(lines: Sequence[Line]) -> list[str]:
    """Return what became of the trials, where something became of them."""
    counts = {
        "complete": {line.key: line.states.count("COMPLETE") for line in lines},
        "feasible": {line.key: sum(line.feasible) for line in lines},
    }
    trials = {line.key: len(line.states) for line in lines}
    found = []
    # Where there are no constraints, whatever is complete is feasible.
    if counts["feasible"] == counts["complete"]:
        del counts["feasible"]
    for word, count in counts.items():
        if count == trials:
            continue
        shares = []
        for arm in _arms_of(lines):
            keys = [line.key for line in lines if line.arm == arm]
            whole = sum(trials[key] for key in keys)
            shares.append(f"{arm} {100 * sum(count[key] for key in keys) / max(1, whole):.0f}")
        found.append(f"trials that are {word}, %: {', '.join(shares)}")
    for arm in _arms_of(lines):
        if broken := [line for line in lines if line.arm == arm and line.failure]:
            found.append(f"{arm}: {len(broken)} broke off, the first by {broken[0].failure}")
    return found


def _suite_table(studies: dict[str, list[Line]]) -> _Table:
    marks = _marks(line for lines in studies.values() for line in lines)
    rows = []
    for arm in _arms_of(line for lines in studies.values() for line in lines):
        cells, counts = [], []
        for after in marks:
            found = [ratio_to_rival(lines, arm, after) for lines in studies.values()]
            ratios = [ratio for ratio in found if ratio is not None]
            counts.append(len(ratios))
            cells.append(str(suite_ratio(ratios)) if ratios else "-")
        rows.append([arm, str(max(counts)), *cells])
    header = ["", "studies", *(f"ratio after {after}" for after in marks)]
    return _Table("The suite: geometric mean over the studies", header, rows)


def _tables(lines: Sequence[Line]) -> list[_Table]:
    studies = _by_study(lines)
    tables = [_study_table(name, of) for name, of in studies.items()]
    return [*tables, _suite_table(studies)]


def as_text(lines: Sequence[Line]) -> str:
    """Return the report as text of at most 100 columns."""
    return "\n\n".join([*(table.text() for table in _tables(lines)), KEY])


def as_markdown(lines: Sequence[Line], command: str) -> str:
    """Return the report as a page.

    Args:
        lines: At least one.
        command: With which they were obtained.
    """
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("optuna", "torch")]
    *tables, suite = _tables(lines)
    parts = [
        "# The sampler in studies as users have them",
        f"Obtained with `{command}`: {', '.join(versions)}, Python {platform.python_version()}, "
        f"one thread a process, CPU ({platform.machine()}). What the studies and the arms are: "
        "`zerocost_bench/studies/`.",
        KEY,
        suite.markdown(),
        *(table.markdown() for table in tables),
    ]
    return "\n\n".join(parts) + "\n"
