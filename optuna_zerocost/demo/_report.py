"""What the demo found, as numbers and as text of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from optuna_zerocost.demo._agreement import (
    PROXIES,
    RANK_SUM,
    RANKED,
    Agreement,
    Trained,
    agreements,
)
from optuna_zerocost.demo._run import BASE, ZEROCOST, Arm, Settings

__all__ = ["Comparison", "Row", "compare", "describe_arm", "describe_settings", "render"]

_CHECKPOINTS = (5, 10, 20, 30, 50, 100)
# A correlation that is weaker is called of no use; none of the published ones is.
_WEAK = 0.2
_EARLY = 10
_WIDTH = 79


@dataclass(frozen=True)
class Row:
    """The arms after a number of trainings; accuracies are means over the seeds, 0 to 1.

    Attributes:
        trainings: The number of trainings.
        best: Arm → accuracy of the best network so far.
        mean: Arm → mean accuracy of the networks so far.
        gains: For each seed, by how much the best of zero-cost exceeds the best of the base.
    """

    trainings: int
    best: dict[str, float]
    mean: dict[str, float]
    gains: tuple[float, ...]

    @property
    def ahead(self) -> int:
        """Number of seeds in which zero-cost has the better network."""
        return sum(gain > 0 for gain in self.gains)


@dataclass(frozen=True)
class Comparison:
    """The two arms side by side.

    Attributes:
        settings: What was run.
        rows: By number of trainings.
        choosing_seconds: Arm → time for sampling and scoring, mean over the seeds.
        training_seconds: Arm → time for training, mean over the seeds.
        spread: Accuracy of the networks that the base sampler alone trained, in all seeds: their
            10 %, 50 % and 90 % quantiles, 0 to 1.
        agreements: For the ranking and each proxy, the best first, over the networks that the
            base sampler alone trained: no score has chosen these.
        matched: For each seed, the trainings that zero-cost needed to do as well as the base
            sampler alone did with all of its trainings; ``None`` if it did not.
        in_same_time: For each seed, the trainings that zero-cost had done, choosing included, in
            the seconds that the base sampler alone took for all of its own.
        gains_in_same_time: For each seed, by how much the best of these exceeds the best of the
            base sampler alone; minus that best if there were none.
    """

    settings: Settings
    rows: tuple[Row, ...]
    choosing_seconds: dict[str, float]
    training_seconds: dict[str, float]
    spread: tuple[float, float, float]
    agreements: tuple[Agreement, ...]
    matched: tuple[int | None, ...]
    in_same_time: tuple[int, ...]
    gains_in_same_time: tuple[float, ...]


def compare(settings: Settings, arms: Sequence[Arm]) -> Comparison:
    """Put the arms side by side.

    Args:
        settings: What was run.
        arms: One of each kind for each seed, with equally many trainings.
    """
    by_name = {
        name: sorted((arm for arm in arms if arm.name == name), key=lambda arm: arm.seed)
        for name in (BASE, ZEROCOST)
    }
    accuracies = {
        name: np.array([arm.accuracies for arm in group]) for name, group in by_name.items()
    }
    best = {name: np.maximum.accumulate(values, axis=1) for name, values in accuracies.items()}
    low, median, high = np.quantile(accuracies[BASE], [0.1, 0.5, 0.9])
    trials = settings.trials
    pairs = list(zip(by_name[BASE], by_name[ZEROCOST], strict=True))
    in_same_time = tuple(
        sum(seconds <= sum(base.seconds) for seconds in accumulate(arm.seconds))
        for base, arm in pairs
    )
    return Comparison(
        settings=settings,
        rows=tuple(
            Row(
                trainings=count,
                best={name: float(values[:, count - 1].mean()) for name, values in best.items()},
                mean={
                    name: float(values[:, :count].mean()) for name, values in accuracies.items()
                },
                gains=tuple(float(gain) for gain in (best[ZEROCOST] - best[BASE])[:, count - 1]),
            )
            for count in [*(n for n in _CHECKPOINTS if n < trials), trials]
        ),
        choosing_seconds={
            name: float(np.mean([arm.choosing_seconds for arm in group]))
            for name, group in by_name.items()
        },
        training_seconds={
            name: float(np.mean([arm.training_seconds for arm in group]))
            for name, group in by_name.items()
        },
        spread=(float(low), float(median), float(high)),
        agreements=agreements([Trained(arm.accuracies, arm.scores) for arm in by_name[BASE]]),
        matched=tuple(
            _first_reaching(arm.accuracies, max(base.accuracies)) for base, arm in pairs
        ),
        in_same_time=in_same_time,
        gains_in_same_time=tuple(
            max(arm.accuracies[:count], default=0.0) - max(base.accuracies)
            for count, (base, arm) in zip(in_same_time, pairs, strict=True)
        ),
    )


def _first_reaching(accuracies: Iterable[float], target: float) -> int | None:
    for number, best in enumerate(accumulate(accuracies, max), start=1):
        if best >= target:
            return number
    return None


def describe_settings(settings: Settings) -> str:
    """Return what is about to be run, in lines of at most 80 columns."""
    studies = 2 * len(settings.seeds)
    zerocost = f"the best {settings.warmup.trials} of {settings.candidates} random architectures"
    if settings.trials > settings.warmup.trials:
        zerocost += f", then the best of {settings.moves} proposals of TPE for each training"
    return "\n".join(
        (
            "Real networks on scikit-learn's handwritten digits, chosen in two ways:",
            f"  TPE alone  {_count(settings.trials, 'training')}, Optuna's TPESampler",
            *textwrap.wrap(
                f"{_count(settings.trials, 'training')}: {zerocost}; best by the rank sum of "
                f"{_enumerate(RANKED)} of the untrained networks",
                _WIDTH,
                initial_indent="  zero-cost  ",
                subsequent_indent=" " * 13,
            ),
            f"{studies} studies ({_count(len(settings.seeds), 'seed')}), "
            f"{min(settings.jobs, studies)} at a time:",
        )
    )


def describe_arm(arm: Arm) -> str:
    """Return one line about a study that is done."""
    return (
        f"  {arm.study_name:<28} best {100 * max(arm.accuracies):4.1f} %   "
        f"choosing {arm.choosing_seconds:4.1f} s   training {arm.training_seconds:4.1f} s"
    )


def render(comparison: Comparison) -> str:
    """Return the tables and what they say, in lines of at most 80 columns."""
    parts = (_accuracy, _time, _agreement, _findings)
    return "\n\n".join("\n".join(part(comparison)) for part in parts)


def _accuracy(comparison: Comparison) -> list[str]:
    seeds = len(comparison.settings.seeds)
    return [
        f"Validation accuracy in %, mean over {_count(seeds, 'seed')}",
        "",
        "                best network so far      mean of networks so far",
        "  trainings   TPE alone   zero-cost      TPE alone   zero-cost    ahead in",
        *(
            f"  {row.trainings:9d}"
            f"   {100 * row.best[BASE]:9.1f}   {100 * row.best[ZEROCOST]:9.1f}"
            f"      {100 * row.mean[BASE]:9.1f}   {100 * row.mean[ZEROCOST]:9.1f}"
            f"     {row.ahead} of {seeds}"
            for row in comparison.rows
        ),
        "",
        "  Networks of TPE alone, quantiles: "
        + ", ".join(
            f"{level} % at {100 * accuracy:.1f}"
            for level, accuracy in zip((10, 50, 90), comparison.spread, strict=True)
        ),
    ]


def _time(comparison: Comparison) -> list[str]:
    return [
        f"Seconds for the {comparison.settings.trials} trainings of a seed, mean",
        "",
        "                          TPE alone   zero-cost",
        *(
            f"  {label:<22}  {seconds[BASE]:9.1f}   {seconds[ZEROCOST]:9.1f}"
            for label, seconds in (
                ("sampling and scoring", comparison.choosing_seconds),
                ("training", comparison.training_seconds),
            )
        ),
    ]


def _agreement(comparison: Comparison) -> list[str]:
    networks = comparison.settings.trials * len(comparison.settings.seeds)
    return [
        f"Spearman ρ with accuracy, over the {networks} networks that TPE alone trained",
        "",
        f"  {'score':<12}   pooled   single seeds     best half",
        *(
            f"  {_label(agreement.score):<12}   {_rho(agreement.pooled)}"
            f"   {_rho(min(agreement.by_group))} … {_rho(max(agreement.by_group))}"
            f"       {_rho(agreement.best_half)}"
            for agreement in comparison.agreements
        ),
        "",
        f"  * ranks the candidates: {_enumerate(RANKED)}",
    ]


def _findings(comparison: Comparison) -> list[str]:
    """Say what the tables show, whichever way it went."""
    return [
        line
        for finding in (_gain, _matched, _price, _same_time, _use)
        for line in textwrap.wrap(
            finding(comparison), _WIDTH, initial_indent="- ", subsequent_indent="  "
        )
    ]


def _gain(comparison: Comparison) -> str:
    rows = comparison.rows
    early = next((row for row in rows if row.trainings >= _EARLY), rows[-1])
    parts = [
        f"{_points(np.mean(row.gains))} TPE alone after {_count(row.trainings, 'training')} "
        f"(ahead in {row.ahead} of {_count(len(row.gains), 'seed')})"
        for row in ((early, rows[-1]) if early is not rows[-1] else (early,))
    ]
    return f"The best network of zero-cost was {', and '.join(parts)}."


def _matched(comparison: Comparison) -> str:
    trials = comparison.settings.trials
    needed = _enumerate(
        f"more than {trials}" if count is None else str(count) for count in comparison.matched
    )
    return (
        f"To match the best of all {_count(trials, 'training')} of TPE alone, zero-cost needed "
        f"{needed} ({_seeds(comparison)})."
    )


def _price(comparison: Comparison) -> str:
    choosing, training = comparison.choosing_seconds, comparison.training_seconds
    extra = choosing[ZEROCOST] - choosing[BASE]
    each = training[BASE] / comparison.settings.trials
    return (
        f"Scoring cost {extra:.1f} s a seed, as much as {extra / each:.0f} of these trainings of "
        f"{each:.2f} s; the longer a training takes, the less that weighs. Training the networks "
        f"that zero-cost chose took {training[ZEROCOST] / training[BASE]:.1f} times as long."
    )


def _same_time(comparison: Comparison) -> str:
    counts = comparison.in_same_time
    text = (
        f"In the seconds that TPE alone took for everything, zero-cost trained "
        f"{_enumerate(map(str, counts))} networks ({_seeds(comparison)})"
    )
    if min(counts) == 0:
        return f"{text}: it was still scoring where it trained none."
    return (
        f"{text}; its best was then {_points(np.mean(comparison.gains_in_same_time))} TPE alone."
    )


def _use(comparison: Comparison) -> str:
    by_name = {agreement.score: agreement.pooled for agreement in comparison.agreements}
    single = max(PROXIES, key=lambda name: np.nan_to_num(by_name[name], nan=-2.0))
    verdict = "better than" if by_name[RANK_SUM] > by_name[single] else "no better than"
    text = (
        f"The rank sum agrees with accuracy {verdict} the best single proxy, {single} "
        f"(ρ {by_name[RANK_SUM]:.2f} and {by_name[single]:.2f})."
    )
    useless = [name for name in PROXIES if not by_name[name] >= _WEAK]
    if useless:
        text += f" Of little use here, with ρ below {_WEAK:.1f}: {_enumerate(useless)}."
    return text


def _seeds(comparison: Comparison) -> str:
    seeds = comparison.settings.seeds
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {_enumerate(map(str, seeds))}"


def _label(score: str) -> str:
    return f"{score} *" if score == RANK_SUM else score


def _rho(value: float) -> str:
    return "    –" if np.isnan(value) else f"{value:5.2f}"


def _points(gain: float | np.floating[Any]) -> str:
    points = round(100 * float(gain), 1)
    if points == 0:
        return "level with"
    return f"{abs(points):.1f} points {'ahead of' if points > 0 else 'behind'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _enumerate(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
