"""The mutations of one trial: one edit each, new ones first, none twice while there are others."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.algorithms._neighbours import other_values
from optuna_zerocost.records import architecture_key, chosen_key

__all__ = ["Mutations"]

_Edits = dict[str, list[Any]]


class Mutations:
    """Draws mutations of ``parent``.

    A parameter is picked uniformly among those with edits left, then one of its edits. Where
    ``ZeroCostSampler`` chose the parent's architecture, there is one edit to the architecture and
    one to the other parameters: otherwise a learning rate would hardly ever change, since a
    candidate that differs in nothing else is no new architecture. What one of the ``others``, the
    study's other trials, has evaluated is not new; ``fixed`` values are given and not edited,
    whatever the parent's are.
    """

    def __init__(
        self,
        parent: FrozenTrial,
        others: Iterable[FrozenTrial],
        rng: random.Random,
        *,
        fixed: Mapping[str, Any],
    ) -> None:
        self.parent = parent
        self._rng = rng
        architecture = {name for name, _ in chosen_key(parent) or ()}
        names = [name for name in parent.params if name not in fixed]
        self._names = [name for name in names if name in architecture or not architecture]
        self._other_names = [name for name in names if name not in self._names]
        self._evaluated = self._evaluated_edits(others, fixed)
        self._left = self._edits(self._names, self._evaluated)
        self._other_left: _Edits = {}

    def has_new(self) -> bool:
        """Return whether there is a mutation left that no trial has evaluated."""
        return bool(self._left)

    def neighbours(self) -> list[dict[str, Any]]:
        """Return the parent's architecture with each of its new edits, in random order.

        Where the architecture is not known, all parameters count to it.
        """
        params = self.parent.params
        architecture = {name: params[name] for name in params if name not in self._other_names}
        left = self._left.items()
        edited = [{**architecture, name: value} for name, values in left for value in values]
        return self._rng.sample(edited, len(edited))

    def draw(self, names: Collection[str]) -> dict[str, Any]:
        """Return the parent's parameters with one edit among ``names``.

        Once all edits were drawn, they come again; numbers are perturbed anew.
        """
        mutated = dict(self.parent.params)
        if not any(name in names for name in self._left):
            new = self._edits(self._names, self._evaluated)
            self._left = new or self._edits(self._names)
        if not any(name in names for name in self._other_left):
            self._other_left = self._edits(self._other_names)
        for edits in (self._left, self._other_left):
            if editable := [name for name in edits if name in names]:
                name = self._rng.choice(editable)
                mutated[name] = edits[name].pop()
                if not edits[name]:
                    del edits[name]
        return mutated

    def _edits(self, names: Iterable[str], evaluated: Collection[tuple[str, str]] = ()) -> _Edits:
        """Return for each name the values that it can be edited to, in random order."""
        distributions, edits = self.parent.distributions, {}
        for name in names:
            values = other_values(self.parent.params[name], distributions[name], self._rng)
            values = self._rng.sample(values, len(values))
            keys = [architecture_key({name: value}, distributions)[0] for value in values]
            if left := [v for v, key in zip(values, keys, strict=True) if key not in evaluated]:
                edits[name] = left
        return edits

    def _evaluated_edits(
        self, others: Iterable[FrozenTrial], fixed: Mapping[str, Any]
    ) -> set[tuple[str, str]]:
        """Return the edits that lead to one of ``others``.

        A define-by-run objective that is given all parameters of a trial, and more, asks for those
        of the trial and no others. So an edit leads to a trial if the edited parameters include
        all of the trial's. The parameters besides the architecture make no difference.
        """
        values = {**self.parent.params, **fixed}
        evaluated: set[tuple[str, str]] = set()
        for trial in others:
            params = dict(trial.params)  # of a running trial another thread may add to them
            names = [name for name in params if name not in self._other_names]
            if all(name in values for name in names):
                edits = {name: params[name] for name in names if params[name] != values[name]}
                if len(edits) == 1 and self._is_whole(trial):
                    evaluated.update(architecture_key(edits, trial.distributions))
        return evaluated

    def _is_whole(self, trial: FrozenTrial) -> bool:
        """Return whether ``trial`` went well, or is running and will ask for nothing else."""
        if trial.state == TrialState.RUNNING:
            return trial.params.keys() >= self.parent.params.keys()
        return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
