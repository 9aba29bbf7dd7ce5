"""Observations: trials with a value, as numbers that a surrogate learns from."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import rankdata

from optuna_zerocost.rankings._noise import are_unstructured
from optuna_zerocost.rankings._output_warp import OutputWarp
from optuna_zerocost.rankings._parameter_distance import ParameterDistance
from optuna_zerocost.records import Candidate, History, sign_of, stored_scores

__all__ = ["FEWEST_VALUES", "Observations", "Observed", "observed", "thinned"]

_Array = npt.NDArray[np.float64]

FEWEST_VALUES = 3  # below, there is nothing to learn from
_MOST_FOR_STRUCTURE = 120  # architectures that show whether a score has structure


@dataclass(frozen=True)
class Observed:
    """Trials with a value, oldest first."""

    trials: list[FrozenTrial]
    values: _Array  # finite, and turned so that higher is better


def observed(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], objective: int
) -> Observed:
    """Return the trials with a value for one of the objectives; see :class:`Learned`."""
    if objective >= len(directions):
        return Observed([], np.zeros(0))
    sign = sign_of(directions[objective])
    found: list[tuple[FrozenTrial, float]] = []
    for trial in trials:
        value = math.nan
        if trial.state == TrialState.COMPLETE:
            value = sign * trial.values[objective]
        elif trial.state == TrialState.PRUNED and trial.intermediate_values:
            value = sign * trial.intermediate_values[max(trial.intermediate_values)]
        if not math.isnan(value):
            found.append((trial, value))
    is_complete = np.array([trial.state == TrialState.COMPLETE for trial, _ in found], dtype=bool)
    values = np.array([value for _, value in found], dtype=np.float64)
    if is_complete.any():
        # Between infinities of both signs there is no median, and no ceiling.
        ceiling = _median(values[is_complete])
        values[~is_complete] = np.fmin(values[~is_complete], ceiling)
    finite = values[np.isfinite(values)]
    if len(finite) < len(values):
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        values = np.clip(values, low, high)
    return Observed([trial for trial, _ in found], values)


def _median(values: _Array) -> float:
    """Return the median of numbers of any size; NumPy's adds up two, which may overflow."""
    ordered = np.sort(values)
    low, high = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
    return low if low == high else low / 2 + high / 2


def thinned(known: Observed, most: int) -> Observed:
    """Return at most ``most`` of them, oldest first: half the best, the others the latest."""
    if len(known.trials) <= most:
        return known
    order = np.argsort(-known.values, kind="stable").tolist()
    best, others = order[: most // 2], sorted(order[most // 2 :])
    kept = sorted([*best, *others[len(best) - most :]])
    return Observed([known.trials[i] for i in kept], known.values[kept])


class Observations:
    """Trials and candidates in one table: parameters, standardised scores, warped values.

    The first rows are the trials of this study that have a value (``own``), those of earlier
    studies (``priors``), and those that other workers are at; the candidates follow. Scores are
    turned by ``sign_of_score``, so that higher is better; without ``names`` all are read.

    The rows of these are ``known``, ``running`` and ``candidates``. Their ``scores``, shape (rows,
    scores), are ranks with mean 0 and variance 1, 0 where a score is absent. The known rows have
    warped ``values``, this study's by ``warp``, and belong to ``studies``, 0 for this one.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        history: History,
        own: Observed,
        priors: Sequence[Observed],
        *,
        names: Sequence[str] | None,
        sign_of_score: Callable[[str], float],
    ) -> None:
        self.own = own
        studies = [own, *priors]
        architecture = dict.fromkeys(name for c in candidates for name in c.distributions)
        running = [t for t in history.running if any(name in t.params for name in architecture)]
        trials = [*(trial for study in studies for trial in study.trials), *running]
        scores = [
            *(stored_scores(trial.user_attrs) for trial in trials),
            *(candidate.scores for candidate in candidates),
        ]
        if names is None:
            told = scores[len(trials) :] if candidates else scores
            names = list(dict.fromkeys(name for known in told for name in known))
        self.names = names
        self.scores = _standardised(scores, names, sign_of_score)
        every: list[FrozenTrial | Candidate] = [*trials, *candidates]
        rows = [(one.params, one.distributions) for one in every]
        if not candidates:
            architecture = dict.fromkeys(name for _, ds in rows for name in ds)
        self.parameters = [params for params, _ in rows]
        self.distance = ParameterDistance(rows, list(architecture))
        self.warp = OutputWarp.of(own.values)
        self.values = np.concatenate(
            [OutputWarp.of(study.values).warp(study.values) for study in studies], dtype=np.float64
        )
        sizes = [len(study.trials) for study in studies]
        self.studies = np.repeat(np.arange(len(sizes), dtype=np.intp), sizes)
        indices = np.arange(len(rows), dtype=np.intp)
        self.known, self.running, self.candidates = np.split(indices, [sum(sizes), len(trials)])

    @property
    def doubted(self) -> list[str]:
        """Names of the scores that look like noise."""
        return list(itertools.compress(self.names, self.is_doubted))

    @functools.cached_property
    def is_doubted(self) -> npt.NDArray[np.bool_]:
        """True for each score that looks like noise, by those of trials and candidates."""
        if not self.names:
            return np.zeros(0, dtype=np.bool_)
        count = len(self.scores)
        rows = np.linspace(0, count - 1, min(count, _MOST_FOR_STRUCTURE)).astype(np.intp)
        return are_unstructured(self.distance.between(rows, rows), self.scores[rows])

    @functools.cached_property
    def is_telling(self) -> npt.NDArray[np.bool_]:
        """True for each score that is not alike for all."""
        return np.asarray(self.scores.any(axis=0))

    @functools.cached_property
    def telling(self) -> _Array:
        """The scores without those that are alike for all, which tell nothing."""
        return self.scores[:, self.is_telling]


def _standardised(
    scores: Sequence[Mapping[str, float]],
    names: Sequence[str],
    sign_of_score: Callable[[str], float],
) -> _Array:
    columns = []
    for name in names:
        sign = sign_of_score(name)
        column = np.array([sign * known.get(name, math.nan) for known in scores])
        present = np.isfinite(column)
        ranks = np.zeros(len(column))
        if present.any():
            ranks[present] = (rankdata(column[present]) - 0.5) / present.sum() - 0.5
        columns.append(ranks * math.sqrt(12))
    return np.stack(columns, axis=1) if columns else np.zeros((len(scores), 0))
