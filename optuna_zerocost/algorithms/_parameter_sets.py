"""Whole parameter sets that a define-by-run objective may ask for, learned from past trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.records import Candidate, architecture_key

__all__ = ["ParameterSets"]

Draw = Callable[[str, BaseDistribution], Any]

# How often a value is drawn anew in the hope of another one.
_TRIES = 10


class ParameterSets:
    """Makes new parameter sets out of those of past trials.

    Which parameters an objective asks for may depend on the values of others. Nothing declares
    this, so it is inferred: two values of a parameter are interchangeable if they have been seen
    with the same parameter names, or if both are interchangeable with a third. A value that was
    never seen is taken to be interchangeable with all. A parameter is only given a value that is
    interchangeable with those seen beside the other names of the set. Such a set can still be
    wrong about what the objective will ask for.

    There must be at least one past trial, and each must have at least one parameter; ``fixed``
    values are given, by ``enqueue_trial``, say.
    """

    def __init__(self, trials: Sequence[FrozenTrial], fixed: Mapping[str, Any]) -> None:
        self._groups: dict[frozenset[str], list[FrozenTrial]] = {}
        self._classes: dict[str, _Classes] = {}
        self._with_value: dict[tuple[str, str], list[FrozenTrial]] = {}
        for trial in trials:
            names = frozenset(trial.params)
            for name, value in architecture_key(trial.params, trial.distributions):
                self._classes.setdefault(name, _Classes()).add(names, value)
                self._with_value.setdefault((name, value), []).append(trial)
            self._groups.setdefault(names, []).append(trial)
        self._fixed = {name: value for name, value in fixed.items() if name in self._classes}

    def random(self, generator: np.random.Generator, draw: Draw) -> Candidate:
        """Return random values for the names of a past trial; each set of names is as likely."""
        fitting = [group for group in self._groups.values() if self._admits_fixed(group[0])]
        template = _choose(_choose(fitting or list(self._groups.values()), generator), generator)
        drawn = {name: draw(name, d) for name, d in template.distributions.items()}
        return self._filled(template, drawn)

    def neighbour(
        self, parent: FrozenTrial, generator: np.random.Generator, draw: Draw
    ) -> Candidate:
        """Return the parameters of ``parent`` with one of them drawn anew.

        If the objective asks for other parameters then, those that are new have the values of a
        past trial.
        """
        distributions = parent.distributions
        free = [n for n, d in distributions.items() if n not in self._fixed and not d.single()]
        if not free:
            return self._filled(parent, parent.params)
        name = _choose(free, generator)
        for _ in range(_TRIES):
            value = draw(name, distributions[name])
            if value != parent.params[name]:
                break
        template = parent
        if not self._admits(parent, name, value):
            ((_, key),) = architecture_key({name: value}, distributions)
            template = self._nearest(self._with_value[name, key], parent, generator)
        return self._filled(template, {**parent.params, name: value})

    def _nearest(
        self, trials: Sequence[FrozenTrial], parent: FrozenTrial, generator: np.random.Generator
    ) -> FrozenTrial:
        """Return one of those ``trials`` that admit the most of the parent's values."""
        groups: dict[frozenset[str], list[FrozenTrial]] = {}
        for trial in trials:
            groups.setdefault(frozenset(trial.params), []).append(trial)
        admitted = [
            sum(self._admits(group[0], name, value) for name, value in parent.params.items())
            for group in groups.values()
        ]
        most = max(admitted)
        pairs = zip(groups.values(), admitted, strict=True)
        nearest = [group for group, count in pairs if count == most]
        chosen: FrozenTrial = _choose(_choose(nearest, generator), generator)
        return chosen

    def _filled(self, template: FrozenTrial, values: Mapping[str, Any]) -> Candidate:
        """Return a set with the names of ``template``, and of ``values`` what it admits."""
        values = {**values, **self._fixed}
        params = {
            name: values[name]
            if name in values and self._admits(template, name, values[name])
            else value
            for name, value in template.params.items()
        }
        return Candidate(params, dict(template.distributions), {})

    def _admits(self, template: FrozenTrial, name: str, value: Any) -> bool:
        """Return whether the objective would ask for the same parameters with this ``value``."""
        distributions = template.distributions
        try:
            if name not in distributions or not _compat.contains(distributions[name], value):
                return False
        except ValueError:  # e.g. enqueued, and none of the choices
            return False
        own, classes = template.params[name], self._classes[name]
        if own is value or classes.is_one():
            return True
        one, other = (architecture_key({name: v}, distributions)[0][1] for v in (value, own))
        return classes.are_interchangeable(one, other)

    def _admits_fixed(self, template: FrozenTrial) -> bool:
        return all(self._admits(template, name, value) for name, value in self._fixed.items())


class _Classes:
    """The interchangeable values of one parameter."""

    def __init__(self) -> None:
        self._class_of: dict[str, set[str]] = {}
        self._first_seen: dict[frozenset[str], str] = {}

    def add(self, names: frozenset[str], value: str) -> None:
        """Take note that ``value`` was seen in a trial with these parameter names."""
        own = self._class_of.setdefault(value, {value})
        other = self._class_of[self._first_seen.setdefault(names, value)]
        if own is not other:
            smaller, larger = sorted((own, other), key=len)
            larger |= smaller
            self._class_of.update(dict.fromkeys(smaller, larger))

    def is_one(self) -> bool:
        """Return whether all values that were seen are interchangeable."""
        return len(next(iter(self._class_of.values()))) == len(self._class_of)

    def are_interchangeable(self, one: str, other: str) -> bool:
        """Return whether they are; ``other`` must have been seen."""
        return one not in self._class_of or self._class_of[one] is self._class_of[other]


def _choose(items: Sequence[Any], generator: np.random.Generator) -> Any:
    return items[int(generator.integers(len(items)))]
