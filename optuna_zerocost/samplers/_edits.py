"""Architectures that are one edit away from good trials."""

from __future__ import annotations

import random

from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from optuna_zerocost import _compat
from optuna_zerocost.algorithms import AgingEvolutionSampler, Mutations
from optuna_zerocost.records import (
    tournament_winner,
)
from optuna_zerocost.samplers._study_view import Snapshot, StudyView

__all__ = ["mutations_of_parent"]


def mutations_of_parent(
    base_sampler: BaseSampler, snapshot: Snapshot, rng: random.Random
) -> Mutations | None:
    """Return the mutations of the trial that the base sampler mutates, or of the best trial.

    Some of them are new; ``None`` if there is no such parent.
    """
    fixed = {**snapshot.fixed, **snapshot.enqueued}
    sampler = _compat.innermost(base_sampler)
    if isinstance(sampler, AgingEvolutionSampler):
        view = StudyView(snapshot)
        parent = sampler.parent_of(view, view.trial())  # type: ignore[arg-type]
        parents = [] if parent is None else [parent]
    else:
        parents = [
            trial
            for trial in snapshot.visible_trials
            if trial.params and trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        ]
        rng.shuffle(parents)
    while parents:
        best = tournament_winner(parents, snapshot.study.directions)
        mutations = Mutations(best, snapshot.other_trials, rng, fixed=fixed)
        if mutations.has_new():
            return mutations
        parents = [trial for trial in parents if trial is not best]
    return None
