"""The architectures that a study has met, and what it knows of each."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.records._attributes import NETWORK, PREFIX, stored_scores
from optuna_zerocost.records._candidate import ArchitectureKey, Candidate, architecture_key
from optuna_zerocost.records._exhausted import is_exhausted
from optuna_zerocost.records._long_values import read_json

__all__ = ["HYPERPARAMETERS", "KnownArchitectures", "chosen_values"]

# A failure may be a bug that was mended, or a worker that was killed; a second one is believed.
_FAILURES = 2


HYPERPARAMETERS = f"{PREFIX}hyperparameters"
"""Attribute of the parameters that were chosen with the architecture, if any were."""


def chosen_values(trial: FrozenTrial, attribute: str = f"{PREFIX}chosen") -> dict[str, str] | None:
    """Return the architecture that a sampler of ours has chosen for ``trial``, name → value.

    It is stored at once: the trial's parameters appear one by one, and only when the objective
    asks for them. ``None`` if there was no such choice. Values are as in an ``ArchitectureKey``.
    """
    chosen: dict[str, str] | None = read_json(trial.system_attrs, attribute)
    return chosen


class KnownArchitectures:
    """The architectures of ``trials``: evaluated, running or waiting, or failed twice.

    A trial has more parameters than its architecture, so it is one of an architecture if all of
    the architecture's parameters have the same values in it. If they are known ``by_network``,
    another architecture with the same network counts as known too.
    """

    def __init__(self, trials: Iterable[FrozenTrial] = (), *, by_network: bool = False) -> None:
        self.by_network = by_network
        self._trials = list(trials)
        self._assigned = [_assigned_values(trial) for trial in self._trials]
        self._index: dict[tuple[str, ...], dict[tuple[str, ...], list[FrozenTrial]]] = {}

    def __contains__(self, key: ArchitectureKey) -> bool:
        return _is_known(self._trials_of(key))

    def is_under_way(self, key: ArchitectureKey) -> bool:
        """Return whether a trial that is not finished is of this architecture."""
        return any(not trial.state.is_finished() for trial in self._trials_of(key))

    def has_network(self, network: str | None) -> bool:
        """Return whether a trial has this network, by the rule for architectures."""
        return network is not None and _is_known(self._of_network.get(network, []))

    @functools.cached_property
    def _of_network(self) -> dict[str, list[FrozenTrial]]:
        found: dict[str, list[FrozenTrial]] = {}
        for trial in self._trials:
            if (network := trial.user_attrs.get(NETWORK)) is not None:
                found.setdefault(network, []).append(trial)
        return found

    def is_exhausted(self, given: Mapping[str, Any], rejects: Iterable[Candidate] = ()) -> bool:
        """Return whether there is no other architecture with the values that are ``given``.

        Those of finished trials count, and what the scorer asked for of the ``rejects``.
        """
        chosen = [chosen_values(trial) for trial in self._trials]
        names = {name for values in chosen for name in values or ()}
        architectures: list[tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]] = []
        for trial, values in zip(self._trials, chosen, strict=True):
            if not trial.state.is_finished() or not trial.params:
                continue
            # Of a trial that nothing was chosen for, what was an architecture's in the others.
            own = names if values is None and names else values or trial.params
            params = {name: value for name, value in trial.params.items() if name in own}
            if trial.state != TrialState.COMPLETE and len(params) != len(values or ()):
                continue  # it may have ended before it asked for all
            has_failed = trial.state == TrialState.FAIL
            if not has_failed or architecture_key(params, trial.distributions) in self:
                architectures.append((params, trial.distributions))
        architectures += [(one.params, one.distributions) for one in rejects]
        return is_exhausted(architectures, given)

    def scores_of(self, key: ArchitectureKey, names: Sequence[str]) -> dict[str, float]:
        """Return those of ``names`` that are stored with a trial of this architecture.

        Of the trials that went well, or are under way, the one with the most of them counts.
        """
        best: dict[str, float] = {}
        for trial in self._trials_of(key):
            if trial.state == TrialState.FAIL:
                continue
            scores = stored_scores(trial.user_attrs)
            found = {name: scores[name] for name in names if name in scores}
            best = max(best, found, key=len)
        return best

    def _trials_of(self, key: ArchitectureKey) -> list[FrozenTrial]:
        names = tuple(name for name, _ in key)
        if names not in self._index:
            index: dict[tuple[str, ...], list[FrozenTrial]] = {}
            for trial, assigned in zip(self._trials, self._assigned, strict=True):
                if all(name in assigned for name in names):
                    index.setdefault(tuple(assigned[name] for name in names), []).append(trial)
            self._index[names] = index
        return self._index[names].get(tuple(value for _, value in key), [])


def _is_known(trials: Sequence[FrozenTrial]) -> bool:
    failures = sum(trial.state == TrialState.FAIL for trial in trials)
    return failures < len(trials) or failures >= _FAILURES


def _assigned_values(trial: FrozenTrial) -> dict[str, str]:
    # What was chosen counts, whether or not the objective asked for it. The storage in memory
    # hands out live trials: take what is there now.
    assigned = dict(architecture_key(dict(trial.params), dict(trial.distributions)))
    enqueued = trial.system_attrs.get("fixed_params", {})
    chosen = chosen_values(trial) or {}
    others = chosen_values(trial, HYPERPARAMETERS) or {}
    return {**{name: repr(v) for name, v in enqueued.items()}, **chosen, **others, **assigned}
