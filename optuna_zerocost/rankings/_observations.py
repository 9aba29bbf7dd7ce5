"""Observations: what became of a study's trials, as numbers that a surrogate learns from."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.rankings._configuration_space import ConfigurationSpace, Features
from optuna_zerocost.rankings._noise import are_unstructured
from optuna_zerocost.rankings._rank_correlation import spearman
from optuna_zerocost.records import CONSTRAINT, Candidate, History, sign_of, stored_scores

__all__ = [
    "FEWEST_VALUES",
    "Observations",
    "Observed",
    "Prior",
    "Table",
    "is_lost",
    "observed",
    "thinned",
]

_Array = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

Prior = tuple[Sequence[FrozenTrial], Sequence[StudyDirection]]
"""Trials of an earlier study, and its directions."""

FEWEST_VALUES = 3  # below, there is nothing to learn from
_MOST_FOR_STRUCTURE = 120  # configurations that show whether a score has structure
_MOST_LOST = 100  # trials without a value from which failing is learned, the latest
_FEWEST_FOR_DOUBT = 8  # values, before which no correlation clears a doubted score
_CHANCE = 0.05  # that noise is ever cleared


@dataclass(frozen=True)
class Observed:
    """Trials with a value, oldest first."""

    trials: list[FrozenTrial]
    values: _Array  # shape (n, objectives), finite, and turned so that higher is better


def observed(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], objectives: int
) -> Observed:
    """Return the trials with a value for the first ``objectives``; see :class:`Learned`."""
    signs = np.array([sign_of(direction) for direction in directions[:objectives]])
    found: list[tuple[FrozenTrial, _Array]] = []
    for trial in trials:
        values: Sequence[float] = ()
        if trial.state == TrialState.COMPLETE:
            values = trial.values[:objectives]
        elif trial.state == TrialState.PRUNED and trial.intermediate_values and objectives == 1:
            values = [trial.intermediate_values[max(trial.intermediate_values)]]
        if len(values) == len(signs) == objectives and not any(map(math.isnan, values)):
            found.append((trial, signs * np.array(values, dtype=np.float64)))
    table = np.array([values for _, values in found], dtype=np.float64)
    table = table.reshape(len(found), objectives)
    is_complete = np.array([trial.state == TrialState.COMPLETE for trial, _ in found], dtype=bool)
    for column in table.T:
        if is_complete.any():
            # Between infinities of both signs there is no median, and no ceiling.
            ceiling = _median(column[is_complete])
            column[~is_complete] = np.fmin(column[~is_complete], ceiling)
        finite = column[np.isfinite(column)]
        if len(finite) < len(column):
            low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
            column[:] = np.clip(column, low, high)
    return Observed([trial for trial, _ in found], table)


def _median(values: _Array) -> float:
    """Return the median of numbers of any size; NumPy's adds up two, which may overflow."""
    ordered = np.sort(values)
    low, high = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
    return low if low == high else low / 2 + high / 2


def thinned(known: Observed, most: int) -> Observed:
    """Return at most ``most`` of them, oldest first: half the best, the others the latest.

    The best are those by the first objective, and by the others in turn.
    """
    count = len(known.trials)
    if count <= most:
        return known
    orders = [np.argsort(-column, kind="stable").tolist() for column in known.values.T]
    in_turns = dict.fromkeys(index for indices in zip(*orders, strict=True) for index in indices)
    best = list(in_turns)[: most // 2]
    others = sorted(set(range(count)) - set(best))
    kept = sorted([*best, *others[len(best) - most :]])
    return Observed([known.trials[i] for i in kept], known.values[kept])


@dataclass(frozen=True)
class Table:
    """Configurations as numbers: points of the space, raw scores, and the study of each.

    Points have shape (n, parameters), scores (n, names), NaN where one is missing; the study is 0
    for the one that predictions are made for.
    """

    points: _Array
    scores: _Array
    studies: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: npt.NDArray[np.intp] | _Bools | slice) -> Table:
        return Table(self.points[rows], self.scores[rows], self.studies[rows])

    @staticmethod
    def joined(tables: Sequence[Table]) -> Table:
        """Return the rows of all, one after the other."""
        return Table(
            np.concatenate([table.points for table in tables]),
            np.concatenate([table.scores for table in tables]),
            np.concatenate([table.studies for table in tables]),
        )


class Observations:
    """Trials of a study, and what they are compared with, in tables.

    The tables are ``own`` for the trials of this study with ``values``, ``lost`` for those that
    failed or were pruned without a report, ``running`` for those that other workers are at, and
    one for each of the ``priors``. The ``references`` are candidates: together with the trials
    they say what there is to the space, and what rank a score has.

    Scores are turned by ``sign_of_score``, so that higher is better; without ``names`` all are
    read. With ``parameters`` only these count.
    """

    def __init__(
        self,
        history: History,
        references: Sequence[Candidate],
        *,
        names: Sequence[str] | None,
        sign_of_score: Callable[[str], float],
        objectives: int = 1,
        priors: Sequence[Prior] = (),
        most_trials: int = 400,
        parameters: Sequence[str] | None = None,
    ) -> None:
        own = observed(history.trials, history.directions, objectives)
        known = thinned(own, most_trials)
        self.trials, self.values = known.trials, known.values
        older = [observed(*prior, objectives) for prior in priors]
        older = [thinned(prior, most_trials // 2) for prior in older]
        self.prior_values = [prior.values for prior in older]
        lost = _lost(history.trials)[-_MOST_LOST:]
        configurations = [reference.configuration for reference in references]
        if parameters is None and references:
            parameters = list(dict.fromkeys(n for params, _ in configurations for n in params))
        shown = [
            (dict(t.params), t.distributions) for each in (known, *older) for t in each.trials
        ]
        if not shown and not references:
            shown = [(dict(t.params), t.distributions) for t in lost]
        self.space = ConfigurationSpace(shown, configurations, parameters)
        wanted = set(self.space.names)
        running = [trial for trial in history.running if wanted & set(trial.params)]
        if names is None:
            told = [reference.scores for reference in references]
            told = told or [stored_scores(trial.user_attrs) for trial in known.trials]
            names = list(dict.fromkeys(name for scores in told for name in scores))
        self.names = list(names)
        self._signs = np.array([sign_of_score(name) for name in self.names])
        self.own = self._table(known.trials)
        self.lost, self.running = self._filled(lost), self._filled(running)
        self.priors = [self._table(prior.trials, study + 1) for study, prior in enumerate(older)]
        self.references = self.table(
            self.space.at([params for params, _ in configurations]),
            [reference.scores for reference in references],
        )
        self.lost_trials = lost
        everything = Table.joined([self.own, *self.priors, self.running, self.references])
        self._everything = everything
        self._scale = [np.sort(column[~np.isnan(column)]) for column in everything.scores.T]
        self._lacks: _Bools = np.asarray(np.isnan(everything.scores).any(axis=0))

    def _table(self, trials: Sequence[FrozenTrial], study: int = 0) -> Table:
        points = self.space.at([dict(trial.params) for trial in trials])
        return self.table(points, [stored_scores(trial.user_attrs) for trial in trials], study)

    def _filled(self, trials: Sequence[FrozenTrial]) -> Table:
        """Return trials, with random values for what the objective has not asked for.

        One that fails while its network is built has no learning rate. That it is absent must not
        look like the reason.
        """
        table = self._table(trials)
        points = self.space.settled(table.points, np.random.default_rng(0))
        return dataclasses.replace(table, points=points)

    @property
    def architecture(self) -> list[int]:
        """Columns of the parameters that the references have."""
        return self.space.architecture

    def table(
        self, points: _Array, scores: Sequence[Mapping[str, float]] = (), study: int = 0
    ) -> Table:
        """Return points of the space together with named scores; none where none are given."""
        scores = scores or [{}] * len(points)
        raw = np.array([[known.get(name, math.nan) for name in self.names] for known in scores])
        raw = raw.reshape(len(points), len(self.names))
        return Table(points, raw, np.full(len(points), study, dtype=np.intp))

    def features(self, table: Table, *, with_scores: bool = True) -> Features:
        """Return coordinates of configurations; scores as their ranks, from -½ to ½.

        A missing score stands in the middle, and where some are missing, being there is a
        coordinate as well. With earlier studies, the study is one too.
        """
        of_parameters = self.space.features(table.points)
        columns, groups = [of_parameters.columns], [of_parameters.groups]
        group = len(self.space.names)
        if with_scores:
            ranks = self.ranks(table)
            for index in np.flatnonzero(self.is_read):
                found = [ranks[:, index]]
                if self._lacks[index]:
                    found.append(np.isnan(table.scores[:, index]) * 1.0)
                columns.append(np.stack(found, axis=1))
                groups.append(np.full(len(found), group, dtype=np.intp))
                group += 1
        if self.priors:
            kinds = np.arange(1, len(self.priors) + 1)
            columns.append(math.sqrt(0.5) * (table.studies[:, None] == kinds))
            groups.append(np.arange(group, group + len(kinds), dtype=np.intp))
        return Features(np.concatenate(columns, axis=1), np.concatenate(groups))

    def ranks(self, table: Table) -> _Array:
        """Return the scores' ranks among all that are known, from -½ to ½, higher is better."""
        found = np.zeros(table.scores.shape)
        for index, (scale, sign) in enumerate(zip(self._scale, self._signs, strict=True)):
            raw = table.scores[:, index]
            if len(scale):
                below = np.searchsorted(scale, raw, "left") + np.searchsorted(scale, raw, "right")
                found[:, index] = np.where(
                    np.isnan(raw), 0.0, sign * (below / (2 * len(scale)) - 0.5)
                )
        return found

    @functools.cached_property
    def is_telling(self) -> _Bools:
        """True for each score that is not alike for all, or missing for some alone."""
        differs = np.array([len(s) > 0 and s[0] < s[-1] for s in self._scale], dtype=np.bool_)
        some = np.array([len(scale) > 0 for scale in self._scale], dtype=np.bool_)
        return np.asarray(differs | (self._lacks & some))

    @functools.cached_property
    def is_doubted(self) -> _Bools:
        """True for each score that looks like noise, by those of trials and candidates."""
        if not self.names:
            return np.zeros(0, dtype=np.bool_)
        places = self._everything.points[:, self.space.architecture]
        # Each architecture once, in the order in which they were met.
        _, first = np.unique(np.nan_to_num(places, nan=-1.0), axis=0, return_index=True)
        first = np.sort(first)
        rows = np.linspace(0, len(first) - 1, min(len(first), _MOST_FOR_STRUCTURE))
        some = self._everything[first[rows.astype(np.intp)]]
        features = self.space.features(some.points)
        is_its = np.isin(features.groups, self.space.architecture)
        return are_unstructured(features.of(is_its), self.ranks(some))

    @functools.cached_property
    def is_read(self) -> _Bools:
        """True for each score that counts: what is doubted once the trials speak for it."""
        is_cleared = np.zeros(len(self.names), dtype=np.bool_)
        if len(self.values) >= _FEWEST_FOR_DOUBT and self.is_doubted.any():
            # Of many scores, each looked at after each trial, one is far from 0 by chance.
            looks = len(self.values) * int(self.is_doubted.sum())
            confidence = 1.0 - _CHANCE / looks
            for index in np.flatnonzero(self.is_doubted):
                raw = self.own.scores[:, index]
                there = ~np.isnan(raw)
                known = raw[there].tolist(), self.values[there, 0].tolist()
                rho = spearman(*known, confidence=confidence)
                is_cleared[index] = rho.low > 0 or rho.high < 0
        return np.asarray(self.is_telling & (~self.is_doubted | is_cleared))

    @property
    def doubted(self) -> list[str]:
        """Names of the scores that look like noise."""
        return list(itertools.compress(self.names, self.is_doubted))

    @functools.cached_property
    def constraints(self) -> dict[str, tuple[Table, _Array]]:
        """For each constraint of the study the trials that have it, and its values.

        That a trial is outside of limits is no such constraint: limits are known before.
        """
        every = Table.joined([self.own, self.lost])
        found: dict[str, dict[int, float]] = {}
        for row, trial in enumerate([*self.trials, *self.lost_trials]):
            for name, value in _compat.constraints_of(trial).items():
                if name != CONSTRAINT and math.isfinite(value):
                    found.setdefault(name, {})[row] = value
        return {
            name: (every[np.array(list(of))], np.array(list(of.values())))
            for name, of in found.items()
        }

    @functools.cached_property
    def is_feasible(self) -> _Bools:
        """True for each trial with a value that violates no constraint."""
        return np.array([_compat.violation_of(t) <= 0 for t in self.trials], dtype=np.bool_)


def _lost(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that are lost, but for those whose configuration went well another time.

    Their workers were killed, or a bug was mended.
    """
    lost = [trial for trial in trials if is_lost(trial)]
    if not lost:
        return []
    complete = {_configuration(t) for t in trials if t.state == TrialState.COMPLETE}
    return [trial for trial in lost if _configuration(trial) not in complete]


def _configuration(trial: FrozenTrial) -> str:
    return str(sorted(trial.params.items()))


def is_lost(trial: FrozenTrial) -> bool:
    """Return whether a trial failed, or was pruned without a report."""
    if trial.state == TrialState.PRUNED:
        return not trial.intermediate_values
    return trial.state == TrialState.FAIL and bool(trial.params)
