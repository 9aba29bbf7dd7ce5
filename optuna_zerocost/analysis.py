"""Numbers that a study holds about its scores and its search.

Figures, the dashboard and reports show these numbers; none of them computes its own. In all
functions,

- ``study`` is any study, and a trained network is a complete trial with a finite value;
- ``target`` goes from a complete trial to the value that is looked at. Default: the objective. A
  study with several objectives needs a target, else there is a ``ValueError``;
- ``direction`` is ``"maximize"`` or ``"minimize"``. Default: the study's own; with a ``target``,
  ``"maximize"``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.rankings import Estimate, kendall, spearman
from optuna_zerocost.records import PREFIX, stored_scores

__all__ = [
    "Activity",
    "Contribution",
    "Correlation",
    "Estimate",
    "ScoredTrial",
    "SearchCurves",
    "Target",
    "activity",
    "best_first",
    "best_trial",
    "contributions",
    "correlations",
    "has_one_value",
    "is_minimized",
    "kendall",
    "objectives",
    "score_names",
    "scores_of",
    "scores_of_trial",
    "search_curve",
    "search_curves",
    "spearman",
    "trained",
]

Target = Callable[[FrozenTrial], float]

_QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class ScoredTrial:
    """A trial with its scores.

    Attributes:
        number: The trial's number.
        state: The trial's state.
        source: ``"warmup"``, ``"move"``, ``"random"``, ``"base"`` or ``"enqueued"`` (see
            :class:`~optuna_zerocost.ZeroCostSampler`); ``None`` if no sampler of ours has had to
            do with the trial.
        scores: Name → score; empty if the trial has none.
        value: The objective's value, or the target's; ``None`` unless the trial is complete and
            the value is finite.
        origin: Where the architecture came from, as in ``zerocost:origin``; ``None`` if the trial
            does not tell.
    """

    number: int
    state: TrialState
    source: str | None
    scores: Mapping[str, float]
    value: float | None
    origin: str | None = None


@dataclass(frozen=True)
class Correlation:
    """Agreement of one score with the objective.

    Attributes:
        score: The score's name.
        count: Number of trials that have the score and a value.
        spearman: Spearman ρ.
        kendall: Kendall τ-b.
    """

    score: str
    count: int
    spearman: Estimate
    kendall: Estimate


@dataclass(frozen=True)
class SearchCurves:
    """Best value so far of several studies; entry k stands for k + 1 trained networks.

    Attributes:
        studies: Number of studies that have trained any network.
        lower: Lower quartile over the studies.
        median: Median over the studies.
        upper: Upper quartile over the studies.
    """

    studies: int
    lower: tuple[float, ...]
    median: tuple[float, ...]
    upper: tuple[float, ...]


@dataclass(frozen=True)
class Activity:
    """The samplers' work for a study.

    Attributes:
        trials: Source → number of trials; trials without a source are not counted.
        origins: Where the architectures of the moves came from → number of moves: ``"base"`` for
            draws of the base sampler, the others as in ``zerocost:origin``.
        candidates: Architectures that were scored for the warmup's pool and the moves.
        rejected: Draws that the scorer rejected.
        seconds: Time for drawing and scoring, summed over workers.
    """

    trials: Mapping[str, int]
    origins: Mapping[str, int]
    candidates: int
    rejected: int
    seconds: float


@dataclass(frozen=True)
class Contribution:
    """Results of the trials of one source.

    Attributes:
        source: As in :class:`ScoredTrial`.
        networks: Number of trained networks.
        median: The median of their values.
        best: The best of their values.
        improvements: How many of them were better than every network before.
    """

    source: str | None
    networks: int
    median: float
    best: float
    improvements: int


def has_one_value(study: Study, target: Target | None) -> bool:
    """Return whether each trial has one value to compare: one objective, or a ``target``."""
    return target is not None or len(study.directions) == 1


def is_minimized(study: Study, target: Target | None, direction: str | None) -> bool:
    """Return whether lower values are better.

    Raises:
        ValueError: Also if ``direction`` is no direction.
    """
    _require_one_value(study, target)
    if direction not in (None, "maximize", "minimize"):
        raise ValueError(
            f"direction is {direction!r}, but it must be 'maximize', 'minimize' or None."
        )
    if direction is None:
        return target is None and study.direction == StudyDirection.MINIMIZE
    return direction == "minimize"


def objectives(study: Study) -> list[tuple[str, Target | None, str | None]]:
    """Return label, ``target`` and ``direction`` of each objective, as functions here take them.

    With one objective, the last two are ``None``, which stands for it.
    """
    names = study.metric_names
    if len(study.directions) == 1:
        return [(names[0] if names else "Objective Value", None, None)]

    def target_of(index: int) -> Target:
        return lambda trial: float(trial.values[index])

    return [
        (
            names[index] if names else f"Objective {index}",
            target_of(index),
            "minimize" if direction == StudyDirection.MINIMIZE else "maximize",
        )
        for index, direction in enumerate(study.directions)
    ]


def scores_of(study: Study, *, target: Target | None = None) -> list[ScoredTrial]:
    """Return every trial of ``study``, with the scores that are stored with it."""
    _require_one_value(study, target)
    return [
        ScoredTrial(
            trial.number,
            trial.state,
            _text(trial, "source"),
            scores_of_trial(trial),
            _value(trial, target),
            _text(trial, "origin"),
        )
        for trial in study.get_trials(deepcopy=False)
    ]


def scores_of_trial(trial: FrozenTrial) -> dict[str, float]:
    """Return name → score, for the finite scores that are stored with ``trial``."""
    return stored_scores(trial.user_attrs)


def names_in(found: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the names of all mappings, each once, in the order in which they come up."""
    return list(dict.fromkeys(name for names in found for name in names))


def score_names(trials: Iterable[ScoredTrial]) -> list[str]:
    """Return the names of all scores, in the order in which the trials bring them up."""
    return names_in(trial.scores for trial in trials)


def trained(trials: Iterable[ScoredTrial]) -> list[tuple[ScoredTrial, float]]:
    """Return the trained networks, each with its value."""
    return [(trial, trial.value) for trial in trials if trial.value is not None]


def correlations(
    study: Study,
    *,
    target: Target | None = None,
    direction: str | None = None,
    sources: Collection[str | None] | None = None,
    confidence: float = 0.95,
) -> list[Correlation]:
    """Return how each score goes with the objective, over the complete trials that have both.

    Values are turned so that higher is better: a positive correlation means that networks with a
    higher score were better, whether the study minimizes or maximizes. The scores have chosen
    these networks themselves. That narrows their range, and over random architectures a
    correlation is usually stronger.

    There is one entry a score, in the order in which the trials bring them up. With ``sources``,
    only trials with one of these count (see :class:`ScoredTrial`). ``confidence`` is the level of
    the intervals; see :func:`spearman` and :func:`kendall`.
    """
    sign = _sign(study, target, direction)
    trials = scores_of(study, target=target)
    if sources is not None:
        trials = [trial for trial in trials if trial.source in sources]
    found = []
    for name in score_names(trials):
        of_name = [(trial, value) for trial, value in trained(trials) if name in trial.scores]
        scores = [trial.scores[name] for trial, _ in of_name]
        values = [sign * value for _, value in of_name]
        rho, tau = (f(scores, values, confidence=confidence) for f in (spearman, kendall))
        found.append(Correlation(name, len(of_name), rho, tau))
    return found


def best_first(found: Iterable[Correlation]) -> list[Correlation]:
    """Return those of any network: the highest Spearman ρ first, undefined ones last."""
    return sorted(
        (one for one in found if one.count),
        key=lambda one: math.inf if math.isnan(one.spearman.value) else -one.spearman.value,
    )


def best_trial(
    study: Study, *, target: Target | None = None, direction: str | None = None
) -> ScoredTrial | None:
    """Return the best trained network, the first of equals; ``None`` if there is none yet."""
    sign = _sign(study, target, direction)
    found = trained(scores_of(study, target=target))
    return max(found, key=lambda pair: sign * pair[1])[0] if found else None


def search_curve(
    study: Study, *, target: Target | None = None, direction: str | None = None
) -> list[float]:
    """Return the best value so far after each trained network, in the order of the trials."""
    best = np.minimum if is_minimized(study, target, direction) else np.maximum
    values = [value for _, value in trained(scores_of(study, target=target))]
    return [float(value) for value in best.accumulate(np.array(values))] if values else []


def search_curves(
    studies: Iterable[Study], *, target: Target | None = None, direction: str | None = None
) -> SearchCurves:
    """Return median and quartiles of :func:`search_curve` over ``studies`` of one kind.

    The curves end with the shortest: beyond it the others alone would be another sample. Studies
    without any trained network are left out.
    """
    curves = [search_curve(study, target=target, direction=direction) for study in studies]
    curves = [curve for curve in curves if curve]
    if not curves:
        return SearchCurves(0, (), (), ())
    shortest = min(map(len, curves))
    quartiles = np.quantile([curve[:shortest] for curve in curves], _QUARTILES, axis=0)
    lower, median, upper = (tuple(float(value) for value in row) for row in quartiles)
    return SearchCurves(len(curves), lower, median, upper)


def contributions(
    study: Study, *, target: Target | None = None, direction: str | None = None
) -> list[Contribution]:
    """Return what the trials of each source brought, in the order in which the sources appear."""
    sign = _sign(study, target, direction)
    values: dict[str | None, list[float]] = {}
    improvements: Counter[str | None] = Counter()
    best = -math.inf
    for trial, value in trained(scores_of(study, target=target)):
        values.setdefault(trial.source, []).append(value)
        improvements[trial.source] += sign * value > best
        best = max(best, sign * value)
    return [
        Contribution(
            source,
            len(of_source),
            median=float(np.median(of_source)),
            best=sign * max(sign * value for value in of_source),
            improvements=improvements[source],
        )
        for source, of_source in values.items()
    ]


def activity(study: Study) -> Activity:
    """Return what the samplers did for ``study``."""
    trials = [
        (source, trial)
        for trial in study.get_trials(deepcopy=False)
        if (source := _text(trial, "source")) is not None
    ]

    warmup = [trial for source, trial in trials if source == "warmup"]
    others = [trial for source, trial in trials if source != "warmup"]

    def total(name: str) -> int:
        # Every trial of the warmup names the same pool.
        pool = max((_number(trial, name) for trial in warmup), default=0)
        return int(pool + sum(_number(trial, name) for trial in others))

    return Activity(
        dict(Counter(source for source, _ in trials)),
        dict(
            Counter(
                _text(trial, "origin") or "base" for source, trial in trials if source == "move"
            )
        ),
        candidates=total("candidates"),
        rejected=total("rejected"),
        seconds=float(sum(_number(trial, "seconds") for _, trial in trials)),
    )


def _require_one_value(study: Study, target: Target | None) -> None:
    if not has_one_value(study, target):
        raise ValueError(
            f"The study has {len(study.directions)} objectives, and a score is compared with one "
            "value. Say which, for example by target=lambda trial: trial.values[0]."
        )


def _sign(study: Study, target: Target | None, direction: str | None) -> float:
    """Return what values are multiplied with, so that higher is better."""
    return -1.0 if is_minimized(study, target, direction) else 1.0


def _text(trial: FrozenTrial, name: str) -> str | None:
    text = trial.user_attrs.get(f"{PREFIX}{name}")
    return text if isinstance(text, str) else None


def _number(trial: FrozenTrial, name: str) -> float:
    value = trial.user_attrs.get(f"{PREFIX}{name}", 0)
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_real and math.isfinite(value) else 0.0


def _value(trial: FrozenTrial, target: Target | None) -> float | None:
    if trial.state != TrialState.COMPLETE:
        return None
    value = float(trial.values[0] if target is None else target(trial))
    return value if math.isfinite(value) else None
