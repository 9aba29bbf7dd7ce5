"""What learns from finished trials: which these are, in which order, and which is better."""

from __future__ import annotations

import math

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.records._candidate import sign_of

__all__ = ["Outcome", "finished_in_order", "outcome_of"]

Outcome = tuple[int, int, float]
"""How a trial with one objective compares with others; a larger one is better."""


def finished_in_order(study: Study) -> list[FrozenTrial]:
    """Return the complete and the pruned trials in the order in which they finished.

    So the first ones stay the first ones when another worker's trial finishes late. No storage
    takes back a completion; clocks may differ between workers, but all of them read the same
    stored times. A trial that was added without a time comes last.
    """
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    trials = study.get_trials(deepcopy=False, states=states)
    return sorted(trials, key=lambda trial: (str(trial.datetime_complete), trial.number))


def outcome_of(trial: FrozenTrial, direction: StudyDirection) -> Outcome:
    """Return what orders complete and pruned trials.

    A pruned trial is worse than any complete one; of two pruned ones the better is the one that
    came further, then the one whose last report is better (as Optuna's TPE has it).
    """
    if trial.state == TrialState.COMPLETE:
        return 1, 0, sign_of(direction) * trial.values[0]
    if not trial.intermediate_values:
        return -1, 0, 0.0
    step, value = max(trial.intermediate_values.items())
    return 0, step, -math.inf if math.isnan(value) else sign_of(direction) * value
