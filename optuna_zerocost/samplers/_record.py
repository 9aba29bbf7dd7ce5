"""Entries of the sampler in a trial: its choice at the beginning, lacking scores at the end."""

from __future__ import annotations

import functools
import time
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.records import (
    CONSTRAINT,
    NETWORK,
    PREFIX,
    Candidate,
    KnownArchitectures,
    chosen_key,
    comparable,
    mark,
    set_user_attributes,
    store_considered,
    stored_scores,
)
from optuna_zerocost.samplers._judge import verdict_on
from optuna_zerocost.samplers._notices import Notices
from optuna_zerocost.samplers._proposals import Choice, Fate, Proposal
from optuna_zerocost.samplers._setup import Setup
from optuna_zerocost.scoring import TrialToScore

__all__ = ["record_choice", "score_afterwards"]


def record_choice(
    setup: Setup, study: Study, trial: FrozenTrial, choice: Choice, started: float
) -> None:
    """Store what the base sampler wrote, what was considered, and what users look at.

    ``started`` is what ``time.perf_counter`` said when the choosing began.
    """
    set_attribute = _compat.storage_of(study).set_trial_system_attr
    set_system_attr = functools.partial(set_attribute, _compat.trial_id_of(trial))
    for key, value in choice.answer.written.items():
        set_system_attr(key, value)
    taken, tally, considered = choice.taken, choice.tally, choice.considered
    if considered and choice.source != "warmup":
        store_considered(set_system_attr, considered, setup.ranking.names)
    notes: dict[str, Any] = {}
    if taken.origin == "random" or (choice.history and setup.ranking.sources):
        notes["origin"] = taken.origin
    if choice.history is not None:
        chosen = next(i for i, c in enumerate(choice.options) if c is taken.candidate)
        notes |= setup.ranking.notes(choice.options, choice.history, chosen)
    if setup.limits is not None:
        if tally.feasible is not None:
            notes["feasible"] = tally.feasible
        _constrain(study, trial, taken.violation)
    attributes = {
        **(taken.candidate.scores if taken.candidate else {}),
        "source": choice.source,
        "candidates": len(considered),
        "rejected": tally.rejected + tally.outside,
        "seconds": time.perf_counter() - started,
    }
    mark(study, trial, setup.scorer.scored_by.key)
    set_user_attributes(study, trial, {**attributes, **notes})


def score_afterwards(setup: Setup, study: Study, trial: FrozenTrial, notices: Notices) -> None:
    """Score a trial that came without scores, so that all trials can be compared."""
    stored = _compat.storage_of(study).get_trial(_compat.trial_id_of(trial))
    if not stored.params:
        return
    attributes: dict[str, Any] = {}
    started = time.perf_counter()
    # A pruner may have scored the trial already, and what was proposed need not have any score.
    # What was trained before need not have been scored, or by another scorer.
    was_scored = stored.user_attrs.get(f"{PREFIX}source") in ("warmup", "move", "random")
    was_scored &= stored.user_attrs.get(f"{PREFIX}origin") != "trained"
    if not was_scored and not stored_scores(stored.user_attrs):
        proposal = _judged(setup, study, stored)
        if proposal.candidate is None:
            notices.not_scored(trial, proposal.reason)
        else:
            attributes |= proposal.candidate.scores
            mark(study, trial, setup.scorer.scored_by.key)
            if proposal.candidate.network is not None:
                attributes["network"] = proposal.candidate.network
            if setup.limits is not None:
                _constrain(study, trial, proposal.violation)
    if f"{PREFIX}source" not in stored.user_attrs:
        attributes["source"] = "enqueued" if "fixed_params" in stored.system_attrs else "base"
        attributes["seconds"] = time.perf_counter() - started
    set_user_attributes(study, trial, attributes)


def _judged(setup: Setup, study: Study, trial: FrozenTrial) -> Proposal:
    """Score a trial, unless another one of the same architecture has all the scores.

    An architecture is repeated where nothing else was proposed.
    """
    key, names = chosen_key(trial), setup.scorer.score_names
    if key is not None and names is not None:
        measured = setup.limits.names if setup.limits is not None else ()
        needed = [*names, *(name for name in measured if name not in names)]
        trials = comparable(_compat.all_trials(study), setup.scorer.scored_by.key)
        scores = KnownArchitectures(trials).scores_of(key, needed)
        if scores and len(scores) == len(needed):
            own = trial.user_attrs.get(NETWORK)
            scored = Candidate(trial.params, trial.distributions, scores, own)
            return Proposal(Fate.REPEATED, scored)
    try:
        return verdict_on(TrialToScore(trial.params, trial.number, study), setup.scorer)
    except (TypeError, ValueError) as error:
        # The trial itself went well, and nothing depends on its scores.
        return Proposal(Fate.REJECTED, None, reason=str(error))


def _constrain(study: Study, trial: FrozenTrial, violation: float) -> None:
    """Record with Optuna whether a trial meets the limits, and by how much it does not.

    Samplers that know of constraints then avoid the like of one that does not, and it is no best
    trial of the study. optuna-dashboard does not show constraints, but it shows the user attribute
    of the same name.
    """
    storage, trial_id = _compat.storage_of(study), _compat.trial_id_of(trial)
    for key, value in _compat.constraint_attributes(CONSTRAINT, violation).items():
        storage.set_trial_system_attr(trial_id, key, value)
    if violation > 0:
        set_user_attributes(study, trial, {CONSTRAINT.removeprefix(PREFIX): violation})
