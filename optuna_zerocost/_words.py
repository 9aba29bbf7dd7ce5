"""Numbers about a study in words, for figures, notes and reports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from optuna_zerocost.analysis import Activity, Correlation, Estimate, ScoredTrial

__all__ = [
    "CORRELATION_HEADER",
    "OTHER",
    "compact",
    "correlation_row",
    "count",
    "duration",
    "estimate",
    "reading",
    "sources",
    "strength",
    "two_decimals",
]

CORRELATION_HEADER = ("score", "networks", "Spearman ρ (95 %)", "Kendall τ (95 %)")

# What stands for the source of a trial that has none.
OTHER = "other"

_WEAK, _STRONG = 0.3, 0.6

_SOURCES = {
    "warmup": "chosen from the warmup's pool",
    "move": "the best of many candidates",
    "random": "a random one of such candidates",
    "base": "the base sampler's own suggestion",
    "enqueued": "enqueued",
}

# What the candidates of a move were.
_ORIGINS = {
    "base": "drawn by the base sampler",
    "searched": "what the trials speak for",
    "random": "drawn at random",
    "pool": "from the warmup's pool",
    "trained": "trained before, with other hyperparameters",
}


def sources(activity: Activity) -> Iterator[tuple[str, int, str]]:
    """Yield each source with its number of trials and what it means, in a fixed order."""
    for source in _known_first(activity.trials, _SOURCES):
        meaning = _SOURCES.get(source, source)
        if source == "move":
            meaning += f": {_origins(activity.origins)}"
        yield source, activity.trials[source], meaning


def _origins(moves: Mapping[str, int]) -> str:
    told = [
        f"{moves[origin]} {_ORIGINS.get(origin, origin)}"
        for origin in _known_first(moves, _ORIGINS)
    ]
    return ", ".join(told) if len(told) > 1 else _ORIGINS.get(*moves, *moves)


def _known_first(found: Mapping[str, int], known: Mapping[str, str]) -> list[str]:
    return [*(name for name in known if name in found), *(n for n in found if n not in known)]


def reading(trials: Iterable[ScoredTrial]) -> str:
    """Return over which of ``trials`` there are correlations, and how these are to be read."""
    networks = [trial for trial in trials if trial.value is not None]
    scored = sum(bool(trial.scores) for trial in networks)
    few = f"{scored:,} of {count(len(networks), 'trained network')} have scores. "
    return few * (scored < len(networks)) + _reading(networks)


def _reading(trials: Iterable[ScoredTrial]) -> str:
    chosen = any(trial.source in ("warmup", "move") for trial in trials)
    return "A correlation is positive where better networks scored higher." + chosen * (
        " The scores have chosen these networks themselves, which narrows the range of both: over "
        "random architectures a correlation is usually stronger."
    )


def strength(rho: Estimate) -> str:
    """Return what a correlation of a score with the objective says."""
    if math.isnan(rho.value):
        return "undefined: fewer than two networks, or all equal"
    if rho.low <= 0 <= rho.high:
        return "not told from chance"
    size = abs(rho.value)
    degree = "weak" if size < _WEAK else "moderate" if size < _STRONG else "strong"
    return f"{degree}: better networks score {'higher' if rho.value > 0 else 'lower'}"


def estimate(found: Estimate) -> str:
    """Return a correlation with its interval."""
    if math.isnan(found.value):
        return "–"
    value, low, high = map(two_decimals, (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def two_decimals(value: float) -> str:
    """Return ``value`` with two decimals, without a sign where these are zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def compact(value: float) -> str:
    """Return ``value`` with four digits, for labels."""
    return f"{value:.4g}".replace("-", "−")


def correlation_row(found: Correlation) -> list[str]:
    """Return the cells of a correlation below :data:`CORRELATION_HEADER`."""
    return [found.score, str(found.count), estimate(found.spearman), estimate(found.kendall)]


def count(number: int, noun: str) -> str:
    """Return how many of ``noun`` there are."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} minutes"
    return f"{seconds / 3600:.1f} hours"
