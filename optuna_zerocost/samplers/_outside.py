"""Which architectures are outside of the limits, and what becomes of a trial that is."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.records import (
    CONSTRAINT,
    PREFIX,
    ArchitectureKey,
    Candidate,
    KnownArchitectures,
    set_user_attributes,
    stored_scores,
)
from optuna_zerocost.scoring import Limits, OutsideLimits

__all__ = ["MeasuredTrials", "constrain", "least_violating", "nothing_feasible"]


class MeasuredTrials:
    """What the measurements stored with ``trials`` say about the limits, so that none is repeated.

    Args:
        limits: What the measurements are compared with, whatever it was when they were made.
        trials: Trials of a study. One that was not measured, since it ran without limits, or
            others, is none of these.
    """

    def __init__(self, limits: Limits, trials: Iterable[FrozenTrial]) -> None:
        within: list[FrozenTrial] = []
        self._outside: list[tuple[KnownArchitectures, OutsideLimits]] = []
        for trial in trials:
            scores = stored_scores(trial.user_attrs)
            measured = {name: scores[name] for name in limits.names if name in scores}
            if limits.violation(measured) > 0:
                error = OutsideLimits(limits, measured)
                self._outside.append((KnownArchitectures([trial]), error))
            elif len(measured) == len(limits.names):
                within.append(trial)
        self._within = KnownArchitectures(within)

    def __contains__(self, key: ArchitectureKey) -> bool:
        return key in self._within or self.error_of(key) is not None

    def error_of(self, key: ArchitectureKey) -> OutsideLimits | None:
        """Return how an architecture was found to be outside, if it was."""
        return next((error for trial, error in self._outside if key in trial), None)


def least_violating(outside: Sequence[tuple[Candidate, float]], known: KnownArchitectures) -> int:
    """Return which one is least outside, of those that the study has not met if there are.

    Args:
        outside: Architectures, each with its violation.
        known: Architectures that the study has met.
    """
    return min(
        range(len(outside)), key=lambda index: (outside[index][0].key in known, outside[index][1])
    )


def constrain(study: Study, trial: FrozenTrial, violation: float) -> None:
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


def nothing_feasible(
    limits: Limits,
    taken: Candidate,
    violation: float,
    *,
    number: int,
    draws: int,
    trials: Sequence[FrozenTrial],
) -> str:
    """Return the warning that trial ``number`` is outside of the limits."""
    shares = [
        trial.user_attrs[f"{PREFIX}feasible"]
        for trial in trials
        if f"{PREFIX}feasible" in trial.user_attrs
    ]
    before = f", {statistics.mean(shares):.2%} on average in the trials before" if shares else ""
    measured = ", ".join(f"{name} {value:g}" for name, value in taken.scores.items())
    return (
        f"No draw of {draws} for trial {number} is within the limits "
        f"({', '.join(map(limits.describe, limits.names))}): the feasible share seen is 0 %"
        f"{before}. The least violating architecture is used ({measured}; {violation:.1%} "
        f"outside), and the trial's constraint and attribute '{CONSTRAINT}' say so, as for any "
        "further trials. Widen the limits or the search space, or allow more draws by "
        "Limits(draws=…)."
    )
