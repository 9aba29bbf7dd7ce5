"""The result of the demo, as text of 80 columns."""

from __future__ import annotations

import operator
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from itertools import accumulate
from math import isnan, nan
from statistics import fmean

from optuna_zerocost import ZeroCostSampler, analysis
from optuna_zerocost.demo._arms import ARMS, LEARNED, PROXIES, SCORES, TPE, Arm, Settings

__all__ = ["describe_arm", "describe_settings", "explain", "render"]

_CHECKPOINTS = (5, 10, 20, 30, 50, 100)


def describe_settings(settings: Settings) -> str:
    """Return what is about to be run."""
    studies = len(ARMS) * len(settings.seeds)
    return (
        "Real networks on scikit-learn's handwritten digits, chosen in three ways:\n"
        "  TPE alone  Optuna's TPESampler\n"
        f"  rank sum   ZeroCostSampler, ranks of {', '.join(SCORES)} added up\n"
        "  learned    ZeroCostSampler as it comes: trials show what each score is worth\n"
        f"{studies} studies of {_count(settings.trials, 'training')}, "
        f"{min(settings.jobs, studies)} at a time:"
    )


def describe_arm(arm: Arm) -> str:
    """Return one line about a study that is done."""
    return (
        f"  {arm.study.study_name:<29}best {100 * arm.study.best_value:4.1f} %   "
        f"choosing {sum(arm.choosing):4.1f} s   training {sum(arm.training):4.1f} s"
    )


def render(arms: Collection[Arm]) -> str:
    """Return the tables.

    Args:
        arms: One of each kind for each seed, with equally many trainings.
    """
    by_name = {
        name: sorted((arm for arm in arms if arm.name == name), key=lambda arm: arm.seed)
        for name in ARMS
    }
    parts = (_accuracy(by_name), _seconds(by_name), _agreement(by_name[TPE]))
    return "\n\n".join("\n".join(part) for part in parts)


def explain(arms: Iterable[Arm]) -> str:
    """Return what the sampler as it comes says of its scores in the first of its studies."""
    arm = min((arm for arm in arms if arm.name == LEARNED), key=lambda arm: arm.seed)
    assert isinstance(arm.study.sampler, ZeroCostSampler)
    lines = [f"What sampler.explain(study) says of {arm.study.study_name}", ""]
    for line in arm.study.sampler.explain(arm.study).splitlines():
        hang = "    " if line.startswith("- ") else "  "
        lines += textwrap.wrap(line, 79, initial_indent="  ", subsequent_indent=hang)
    return "\n".join(lines)


def _best_after(arm: Arm, trainings: int) -> float:
    """Return the accuracy in % of the best of the first networks; NaN of none."""
    return 100 * analysis.search_curve(arm.study)[trainings - 1] if trainings else nan


def _trainings_within(seconds: float, arm: Arm) -> int:
    """Return how many networks were chosen and trained in that time."""
    spent = accumulate(map(operator.add, arm.choosing, arm.training))
    return sum(moment <= seconds + 1e-6 for moment in spent)  # sums differ in the last digit


def _accuracy(by_name: Mapping[str, Sequence[Arm]]) -> Iterator[str]:
    trials, seeds = len(by_name[TPE][0].training), len(by_name[TPE])
    yield f"Best validation accuracy so far in %, mean over {_count(seeds, 'seed')}"
    yield ""
    yield f"{'ahead of TPE alone in':>71}"
    yield f"  trainings{_cells(ARMS)}   {_cells(ARMS[1:])}"
    for count in [*(n for n in _CHECKPOINTS if n < trials), trials]:
        best = {name: [_best_after(arm, count) for arm in by_name[name]] for name in ARMS}
        means = (f"{fmean(best[name]):.1f}" for name in ARMS)
        ahead = (sum(map(operator.gt, best[name], best[TPE])) for name in ARMS[1:])
        yield f"  {count:9d}{_cells(means)}   {_cells(f'{n} of {seeds}' for n in ahead)}"


def _seconds(by_name: Mapping[str, Sequence[Arm]]) -> Iterator[str]:
    budgets = [sum(arm.choosing) + sum(arm.training) for arm in by_name[TPE]]
    rows: list[list[str]] = [[], [], [], []]
    for studies in by_name.values():
        done = list(map(_trainings_within, budgets, studies))
        best = fmean(map(_best_after, studies, done))
        rows[0].append(f"{fmean(sum(arm.choosing) for arm in studies):.1f}")
        rows[1].append(f"{fmean(sum(arm.training) for arm in studies):.1f}")
        rows[2].append(f"{fmean(done):.1f}")
        rows[3].append(_number(best, 1))
    yield f"Seconds for {_count(len(by_name[TPE][0].training), 'training')}, mean"
    yield ""
    yield f"  {'':<36}{_cells(by_name)}"
    labels = (
        "sampling and scoring",
        "training",
        "trainings in the time of TPE alone",
        "best of these in %",
    )
    for label, row in zip(labels, rows, strict=True):
        yield f"  {label:<36}{_cells(row)}"


def _agreement(base: Sequence[Arm]) -> Iterator[str]:
    # No score has chosen the networks of TPE alone.
    networks = [trial for arm in base for trial in analysis.scores_of(arm.study) if trial.scores]
    values = [trial.value or 0.0 for trial in networks]
    found = {
        name: analysis.spearman([trial.scores[name] for trial in networks], values)
        for name in PROXIES
    }
    yield f"Spearman ρ with accuracy, over {len(networks)} networks of TPE alone, 95 % interval"
    yield ""
    for name in sorted(PROXIES, key=lambda n: 2 if isnan(found[n].value) else -found[n].value):
        value, low, high = (_number(n, 2) for n in astuple(found[name]))
        yield f"  {name:<9} {value:>6}   {low:>5} to {high:>5}"


def _cells(words: Iterable[str]) -> str:
    return "".join(f"{word:>12}" for word in words)


def _number(value: float, digits: int) -> str:
    return "–" if isnan(value) else f"{value:.{digits}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
