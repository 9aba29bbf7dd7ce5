"""Choices: the architecture that a trial is to be, stored before it is trained."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.records._attributes import NETWORK, PREFIX, set_user_attributes, stored_scores
from optuna_zerocost.records._candidate import ArchitectureKey, Candidate, agree, architecture_key
from optuna_zerocost.records._known import HYPERPARAMETERS, KnownArchitectures, chosen_values
from optuna_zerocost.records._long_values import write_json

__all__ = ["architecture_of", "choose", "chosen_key", "claim_best"]

# Seconds for which an earlier trial waits for a later one with the same choice to move on.
_PATIENCE = 2.0

# After so many choices that others had made as well, the last one is kept all the same.
_MOST_ROUNDS = 100


def chosen_key(trial: FrozenTrial) -> ArchitectureKey | None:
    """Return the architecture that a sampler of ours has chosen for ``trial``, if it has."""
    chosen = chosen_values(trial)
    return None if chosen is None else tuple(sorted(chosen.items()))


def architecture_of(trial: FrozenTrial) -> Candidate:
    """Return the architecture of ``trial`` with the scores that are stored with it.

    Where it was not stored which parameters make up the architecture, it is all of them.
    """
    # The storage in memory hands out live trials: take what is there now.
    distributions, params = dict(trial.distributions), dict(trial.params)
    chosen = chosen_values(trial)
    names = [name for name in params if chosen is None or name in chosen]
    return Candidate(
        {name: params[name] for name in names},
        {name: distributions[name] for name in names},
        stored_scores(trial.user_attrs),
        trial.user_attrs.get(NETWORK),
    )


def choose(study: Study, trial: FrozenTrial, candidate: Candidate) -> None:
    """Store that ``trial`` is to be ``candidate``, and its network and hyperparameters."""
    if candidate.network != trial.user_attrs.get(NETWORK):
        set_user_attributes(study, trial, {NETWORK.removeprefix(PREFIX): candidate.network})
    set_attribute = _compat.storage_of(study).set_trial_system_attr
    write = functools.partial(set_attribute, _compat.trial_id_of(trial))
    hyperparameters = dict(
        architecture_key(candidate.hyperparameters, candidate.hyperparameter_distributions)
    )
    if hyperparameters:
        write_json(write, HYPERPARAMETERS, hyperparameters)
    write_json(write, f"{PREFIX}chosen", dict(candidate.key))


def claim_best(
    study: Study, trial: FrozenTrial, candidates: Sequence[Candidate]
) -> Candidate | None:
    """Choose for ``trial`` the first candidate that no other trial has; store the choice.

    No storage has a lock. So a choice is stored first and compared with those of the other trials
    afterwards, and a trial keeps only what no other has chosen: of two workers that choose the
    same at the same moment, one at least sees the other. The later in number moves on; the earlier
    gives it time to do so, and moves on itself only if the other had been there before.

    ``candidates`` are best first, each once: architectures, or configurations, of which another
    with other hyperparameters is another one. ``None`` if there is none left. One that
    goes ``by_network`` is not chosen if another trial has its network.
    """
    position, candidate = 0, None
    for _ in range(_MOST_ROUNDS):
        known = KnownArchitectures(_other_trials(study, trial))
        left = (
            candidate
            for candidate in candidates
            if candidate.configuration_key not in known
            and not (candidate.by_network and known.has_network(candidate.network))
        )
        candidate = next(itertools.islice(left, position, None), None)
        if candidate is None:
            return None
        choose(study, trial, candidate)
        rivals = _rivals(study, trial, candidate)
        patience = _PATIENCE
        while rivals and min(rivals) > trial.number and patience > 0:
            time.sleep(_PATIENCE / 20)
            patience -= _PATIENCE / 20
            rivals = _rivals(study, trial, candidate)
        if not rivals:
            return candidate
        # One of the rivals keeps what all of them have chosen; the others share what comes next.
        position = max(0, sum(number < trial.number for number in rivals) - 1)
    return candidate


def _rivals(study: Study, trial: FrozenTrial, candidate: Candidate) -> list[int]:
    """Return the numbers of the other trials that are to be ``candidate``, or its network."""
    configuration = dict(candidate.configuration_key)
    network = candidate.network if candidate.by_network else None
    return [
        other.number
        for other in _other_trials(study, trial)
        if other.state != TrialState.FAIL
        and (chosen := chosen_key(other)) is not None
        and (
            (
                chosen == candidate.key
                and agree(configuration, chosen_values(other, HYPERPARAMETERS) or {})
            )
            or (network is not None and other.user_attrs.get(NETWORK) == network)
        )
    ]


def _other_trials(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    return [other for other in _compat.all_trials(study) if other.number != trial.number]
