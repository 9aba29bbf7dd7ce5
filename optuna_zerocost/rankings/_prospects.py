"""Prospects: how likely a training succeeds, and what comes of it is feasible."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from optuna_zerocost import _compat
from optuna_zerocost.rankings._gaussian_process import GaussianProcess
from optuna_zerocost.rankings._observations import Observations, Table, is_lost
from optuna_zerocost.rankings._threads import in_one_thread
from optuna_zerocost.records import Candidate, History

__all__ = ["LIKELY", "Prospects", "known_quantity", "prospects_in_words", "prospects_of"]

_Array = npt.NDArray[np.float64]

LIKELY = 0.5
"""What is less likely to succeed and be feasible comes last."""

_FEWEST_LOST = 3  # fewer may be a bug that was mended, or a worker that was killed
_MOST_SUCCEEDED = 100  # the latest are enough to tell
_LEAST_DEVIATION = 0.1
_NOTICEABLE = 0.2  # difference between probabilities of failing
_FEWEST_CONSTRAINED = 2
_FEWEST_EQUAL = 3  # different values that a line meets are no chance
_EXACT = 1e-6  # relative to the values' range

_LOG_IMPOSSIBLE = math.log(1e-12)


def known_quantity(
    seen: Observations, table: Table, values: _Array, asked: Table
) -> _Array | None:
    """Return the values of ``asked`` if they are a score, in other units; else ``None``.

    FLOPs, parameters and a latency may be scored before the training and measured after it. It is
    such a quantity if the values of ``table`` are a linear function of a score or its logarithm.
    """
    if len(set(values)) < _FEWEST_EQUAL:
        return None
    exponent = _exponent(values)  # lest sums and squares overflow
    targets = np.ldexp(values, -exponent)
    for column in range(len(seen.names)):
        raw, wanted = table.scores[:, column], asked.scores[:, column]
        if np.isnan(raw).any() or np.isnan(wanted).any() or len(set(raw)) < _FEWEST_EQUAL:
            continue
        size = max(_exponent(raw), _exponent(wanted))
        raw, wanted = np.ldexp(raw, -size), np.ldexp(wanted, -size)
        scales = [(raw, wanted)]
        if min(raw) > 0 and min(wanted, default=1.0) > 0:
            scales.append((np.log(raw), np.log(wanted)))
        for known, other in scales:
            centre, unit = known.mean(), known.std()
            if not unit > 0:
                continue
            line = np.polynomial.Polynomial.fit((known - centre) / unit, targets, 1)
            missed = np.abs(line((known - centre) / unit) - targets).max()
            if missed <= _EXACT * np.ptp(targets):
                with np.errstate(over="ignore"):
                    found: _Array = np.ldexp(line((other - centre) / unit), exponent)
                return found
    return None


def _exponent(values: _Array) -> int:
    return math.frexp(float(np.abs(values).max(initial=0.0)))[1]


class Prospects:
    """What the trials that failed, and those that violate constraints, teach.

    Whether a trial failed, 0 or 1, is learned like a value; before any did, none is expected to.
    What counts is how likely it is that most trainings of a configuration succeed: a region where
    they fail is left alone, however much is expected of it, and failures now and then, whatever
    the parameters and scores, change nothing. For a constraint its value is learned on a scale of
    which 0 stays 0, log(1 + |c|) with a sign.
    """

    def __init__(self, seen: Observations) -> None:
        self._seen = seen
        self._failing: GaussianProcess | None = None
        succeeded = seen.own[np.arange(len(seen.own))[-_MOST_SUCCEEDED:]]
        if len(seen.lost) >= _FEWEST_LOST:
            outcomes = np.repeat([1.0, 0.0], [len(seen.lost), len(succeeded)])
            features = seen.features(Table.joined([seen.lost, succeeded]))
            self._failing = GaussianProcess(features, outcomes)
        self._models: dict[str, tuple[GaussianProcess, float, float]] = {}

    @property
    def learns_failing(self) -> bool:
        """Whether trials failed, often enough to learn from it."""
        return self._failing is not None

    def __bool__(self) -> bool:
        return self.learns_failing or bool(self._constraints)

    @property
    def _constraints(self) -> dict[str, tuple[Table, _Array]]:
        return {
            name: of
            for name, of in self._seen.constraints.items()
            if len(of[1]) >= _FEWEST_CONSTRAINED and of[1].max() > 0
        }

    def log_probability(self, table: Table) -> _Array:
        """Return the logarithm of the probability of success and feasibility, shape (m,)."""
        return self.log_success(table) + self.log_feasibility(table)

    def told(self, one: Table) -> dict[str, float]:
        """Return the probabilities for the one row of a table, as far as there is something."""
        found = {}
        if self._failing is not None:
            found["success"] = float(np.exp(self.log_success(one)[0]))
        if self._constraints:
            found["feasibility"] = float(np.exp(self.log_feasibility(one)[0]))
        return found

    def log_success(self, table: Table) -> _Array:
        """Return the logarithm of the probability that more than half succeed, shape (m,)."""
        if self._failing is None:
            return np.zeros(len(table))
        mean, deviation = self._failing.predict(self._seen.features(table))
        unsure = np.hypot(deviation, _LEAST_DEVIATION)
        return np.asarray(np.maximum(log_ndtr((LIKELY - mean) / unsure), _LOG_IMPOSSIBLE))

    def log_feasibility(self, table: Table) -> _Array:
        """Return the logarithm of the probability that all constraints are met, shape (m,)."""
        total = np.zeros(len(table))
        for name, (constrained, values) in self._constraints.items():
            known = known_quantity(self._seen, constrained, values, table)
            if known is not None:
                slack = _EXACT * max(abs(values).max(), 1e-300)
                total += np.where(known <= slack, 0.0, _LOG_IMPOSSIBLE)
                continue
            if name not in self._models:
                self._models[name] = self._model(constrained, values)
            process, mean, unit = self._models[name]
            predicted, deviation = process.predict(self._seen.features(table))
            # The value that is the constraint's 0, on the standardised scale.
            total += np.maximum(log_ndtr((-mean / unit - predicted) / deviation), _LOG_IMPOSSIBLE)
        return total

    def _model(self, table: Table, values: _Array) -> tuple[GaussianProcess, float, float]:
        size = float(np.median(np.abs(values[values != 0])))
        scaled = np.copysign(np.log1p(np.abs(values) / size), values)
        # While all violate it, nothing says that what is far from them does so as well.
        mean = float(scaled.mean()) if (values <= 0).any() else 0.0
        unit = float(np.sqrt(((scaled - mean) ** 2).mean())) or 1.0
        return GaussianProcess(self._seen.features(table), (scaled - mean) / unit), mean, unit


@in_one_thread
def prospects_of(candidates: Sequence[Candidate], history: History) -> _Array | None:
    """Return the probability that each candidate succeeds and is feasible, shape (m,).

    ``None`` where nothing speaks against any.
    """
    # Most studies have neither, and a pool is large.
    if not any(is_lost(trial) or _compat.violation_of(trial) > 0 for trial in history.trials):
        return None
    if not candidates:
        return None
    seen = _seen(candidates, history)
    prospects = Prospects(seen)
    return np.exp(prospects.log_probability(seen.references)) if prospects else None


@in_one_thread
def prospects_in_words(history: History) -> list[str]:
    """Return a sentence on failures and on each constraint, as far as a study has some."""
    seen = _seen((), history)
    prospects = Prospects(seen)
    lines = []
    if len(seen.lost):
        lost = f"{len(seen.lost)} trials failed or were pruned without a report"
        if prospects.learns_failing:
            there, elsewhere = (
                1.0 - float(np.exp(prospects.log_success(table)).mean()) if len(table) else 0.0
                for table in (seen.lost, seen.own)
            )
            lost += (
                f": where they did, the next is expected to with {there:.0%}, where trials "
                f"succeeded with {elsewhere:.0%}"
            )
            if there - elsewhere < _NOTICEABLE:
                lost += ", so that it hardly depends on parameters or scores"
        lines.append(f"{lost}.")
    for name, (table, values) in seen.constraints.items():
        met = int((values <= 0).sum())
        line = f"The constraint {name!r} was met by {met} of {len(values)} trials"
        if known_quantity(seen, table, values, table) is not None:
            line += "; it is one of the scores, known before the training"
        lines.append(f"{line}.")
    return lines


def _seen(references: Sequence[Candidate], history: History) -> Observations:
    """Return the trials beside ``references``, with all scores and objectives."""
    return Observations(
        history,
        references,
        names=None,
        sign_of_score=history.score_sign,
        objectives=len(history.directions),
    )
