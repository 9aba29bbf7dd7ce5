"""A search space as trials and candidates show it: define-by-run, so nobody has told it."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution

from optuna_zerocost.rankings._axes import Axis, Numbers, axis_of

__all__ = ["ConfigurationSpace", "Features"]

_Array = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_Columns = Sequence[int]
_Row = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]

_MOST_VALUES = 64  # of a parameter that decides whether another one is there
_ABSENT = -1.0  # as a value of such a parameter
_CHANGES = 1.4  # parameters that a neighbour differs in, on average
_FRESH = 0.15  # share of the changes that are random values


@dataclass(frozen=True)
class Features:
    """Coordinates of n configurations, shape (n, columns); each column belongs to a group."""

    columns: _Array
    groups: npt.NDArray[np.intp]

    def of(self, is_kept: _Bools) -> Features:
        """Return those columns alone."""
        return Features(self.columns[:, is_kept], self.groups[is_kept])

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1 if len(self.groups) else 0


@dataclass(frozen=True)
class _Rule:
    """When a parameter is there: if another one has a value at which it was seen to be there.

    For a value that was not seen, the nearest one counts. With no other that decides, it is there
    in a share of the draws.
    """

    share: float
    decider: int = -1
    values: tuple[float, ...] = ()
    is_there: tuple[bool, ...] = ()

    def applied(self, values: _Array) -> _Bools:
        """Return whether the parameter is there, given the values of the one that decides."""
        nearest = np.abs(values[:, None] - np.array(self.values)).argmin(axis=1)
        return np.asarray(np.array(self.is_there)[nearest], dtype=np.bool_)


class ConfigurationSpace:
    """What trials and architectures, as parameters and distributions, have in common.

    The architectures tell nothing of parameters that none of them has. Points of the space have
    shape (n, parameters): places on the parameters' axes, NaN where a parameter is absent. Which
    parameters are there is learned; where that is wrong, the objective asks for what is lacking,
    and what it does not ask for is dropped. Only ``names`` count, if given, and only parameters
    that have an axis.
    """

    def __init__(
        self,
        trials: Sequence[_Row],
        architectures: Sequence[_Row] = (),
        names: Sequence[str] | None = None,
    ) -> None:
        rows = [*trials, *architectures]
        told = {name for params, _ in architectures for name in params}
        wanted = None if names is None else set(names)
        seen: dict[str, list[BaseDistribution]] = {}
        counts: Counter[str] = Counter()
        for params, distributions in rows:
            counts.update(list(params))
            for name in params:
                kinds, distribution = seen.setdefault(name, []), distributions[name]
                # Most are like the one before; comparing is quicker than hashing.
                if not kinds or (distribution is not kinds[-1] and distribution != kinds[-1]):
                    kinds.append(distribution)
        # How many of the rows tell of a parameter.
        tell = {name: len(rows) if name in told else len(trials) for name in seen}
        names = [name for name in seen if wanted is None or name in wanted]
        # The order depends on nothing but the rows, and what decides comes before what it decides.
        ordered = sorted(names, key=lambda name: (-counts[name] / tell[name], name))
        axes = {name: axis_of(_latest_last(seen[name])) for name in ordered}
        self._axes: dict[str, Axis] = {n: axis for n, axis in axes.items() if axis is not None}
        self._latest = {name: seen[name][-1] for name in self._axes}
        self.names = list(self._axes)
        self._points = self.at([params for params, _ in rows])
        self._told = [tell[name] for name in self.names]
        self._fixed: dict[int, float] = {}
        self._given: dict[str, Any] = {}
        self.architecture = self.index([name for name in self.names if name in told])

    def index(self, names: Sequence[str]) -> list[int]:
        """Return the columns of those of ``names`` that there are."""
        return [self.names.index(name) for name in names if name in self._axes]

    def at(self, params: Sequence[Mapping[str, Any]]) -> _Array:
        """Return the points of sets of parameters."""
        places = [
            [
                axis.place(each[name]) if name in each else np.nan
                for name, axis in self._axes.items()
            ]
            for each in params
        ]
        return np.array(places, dtype=np.float64).reshape(len(params), len(self._axes))

    def fixing(self, given: Mapping[str, Any]) -> ConfigurationSpace:
        """Return the same space, of which points are drawn with what is ``given``."""
        names = [name for name in self.names if name in given]
        places = self.at([given])[0]
        other = copy.copy(self)
        other._fixed = {i: float(places[i]) for i in self.index(names)}
        other._given = {name: given[name] for name in names}
        return other

    def params_at(
        self, point: _Array, columns: _Columns
    ) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return what the ``columns`` of a point stand for."""
        names = [self.names[column] for column in columns if not np.isnan(point[column])]
        params = {n: self._axes[n].value(float(point[self.names.index(n)])) for n in names}
        # A place may stand for a value with another last digit.
        params |= {n: value for n, value in self._given.items() if n in params}
        return params, {name: self._latest[name] for name in names}

    @functools.cached_property
    def _rules(self) -> list[_Rule | None]:
        """For each parameter when it is there; ``None`` for always."""
        axes = list(self._axes.values())
        is_there = ~np.isnan(self._points)
        steps = np.full(self._points.shape, _ABSENT)
        for column, axis in enumerate(axes):
            there = is_there[:, column]
            steps[there, column] = axis.step_of(self._points[there, column])
        deciders = [i for i, axis in enumerate(axes) if 0 < axis.levels <= _MOST_VALUES]
        return [
            None if there[:told].all() else _rule(column, there[:told], steps[:told], deciders)
            for column, (there, told) in enumerate(zip(is_there.T, self._told, strict=True))
        ]

    def sampled(self, rng: np.random.Generator, count: int) -> _Array:
        """Return random points, shape (count, parameters)."""
        points = np.full((count, len(self.names)), np.nan)
        for column, (axis, rule) in enumerate(zip(self._axes.values(), self._rules, strict=True)):
            drawn = axis.drawn(rng, count)
            if rule is not None and rule.decider < 0:
                drawn[rng.random(count) >= rule.share] = np.nan
            points[:, column] = drawn
        return self.settled(points, rng)

    def neighbours(
        self,
        points: _Array,
        rng: np.random.Generator,
        columns: _Columns,
        *,
        scale: float = 0.15,
    ) -> _Array:
        """Return a neighbour of each point, which differs in one or some of the ``columns``."""
        points = points.copy()
        if not len(columns) or not len(points):
            return points
        is_there = ~np.isnan(points[:, columns])
        count = np.maximum(is_there.sum(axis=1, keepdims=True), 1)
        urge = np.where(is_there, rng.random(is_there.shape), np.inf)
        # The one with the least number changes in any case, the others by chance.
        is_changed = (urge < _CHANGES / count - 1 / count) | (urge == urge.min(axis=1)[:, None])
        axes = list(self._axes.values())
        for place, column in enumerate(columns):
            rows = np.flatnonzero(is_changed[:, place] & is_there[:, place])
            if not len(rows):
                continue
            moved = axes[column].moved(points[rows, column], rng, scale)
            fresh = axes[column].drawn(rng, len(rows))
            is_fresh = rng.random(len(rows)) < _FRESH
            is_fresh &= isinstance(axes[column], Numbers)
            points[rows, column] = np.where(is_fresh, fresh, moved)
        return self.settled(points, rng)

    def settled(self, points: _Array, rng: np.random.Generator) -> _Array:
        """Let parameters appear and vanish as the others say, in place, and fix what is fixed."""
        axes = list(self._axes.values())
        for column, rule in enumerate(self._rules):
            if column in self._fixed:
                points[:, column] = self._fixed[column]
                continue
            is_absent = np.isnan(points[:, column])
            if rule is None or rule.decider >= 0:
                drawn = axes[column].drawn(rng, len(points))
                points[:, column] = np.where(is_absent, drawn, points[:, column])
            if rule is not None and rule.decider >= 0:
                deciding = points[:, rule.decider]
                steps = axes[rule.decider].step_of(deciding)
                steps = np.where(np.isnan(deciding), _ABSENT, steps)
                points[~rule.applied(steps), column] = np.nan
        return points

    def features(self, points: _Array) -> Features:
        """Return coordinates in which distances mean something.

        Two choices are 1 apart, as are the ends of a range. Being there is a coordinate of its
        own, and an absent number stands in the middle of its range: so any function of distances
        that is positive definite stays so.
        """
        columns: list[_Array] = []
        groups: list[int] = []
        for column, axis in enumerate(self._axes.values()):
            places = points[:, column]
            of_axis = axis.columns(places)
            if self._rules[column] is not None:
                of_axis = [*of_axis, np.where(np.isnan(places), 0.0, 1.0)]
            columns += of_axis
            groups += [column] * len(of_axis)
        matrix = np.stack(columns, axis=1) if columns else np.zeros((len(points), 0))
        return Features(matrix.astype(np.float64), np.array(groups, dtype=np.intp))


def _latest_last(distributions: Sequence[BaseDistribution]) -> list[BaseDistribution]:
    """Return each once, in the order in which they were seen last."""
    latest = dict.fromkeys(reversed(distributions))
    return list(reversed(latest))


def _rule(column: int, there: _Bools, steps: _Array, deciders: Sequence[int]) -> _Rule:
    """Return the simplest rule that holds in all rows, by a parameter that comes before."""
    best: tuple[tuple[int, int, int], _Rule] | None = None
    for decider in deciders:
        if decider >= column:
            break
        values, inverse = np.unique(steps[:, decider], return_inverse=True)
        shares = np.bincount(inverse, weights=there) / np.bincount(inverse)
        if ((shares > 0) & (shares < 1)).any():
            continue
        found = shares > 0
        cost = (int((found[1:] != found[:-1]).sum()), len(values), -decider)
        if best is None or cost < best[0]:
            rule = _Rule(float(there.mean()), decider, tuple(values), tuple(found.tolist()))
            best = cost, rule
    return _Rule(float(there.mean())) if best is None else best[1]
