"""The order of trials: feasible before infeasible, complete before pruned before failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat

__all__ = [
    "Outcome",
    "Relation",
    "finished_in_order",
    "outcome_of",
    "relation_of",
    "sign_of",
    "tournament_winner",
]

Outcome = tuple[float, ...]
"""Place of a trial in the order by one objective; a larger one is better."""

Relation = npt.NDArray[np.int8]
"""Shape (m, m): 1 where the row is better than the column, −1 where worse, 0 where neither."""

_RANKS = {TrialState.COMPLETE: 0, TrialState.PRUNED: -1}


def sign_of(direction: StudyDirection) -> float:
    """Return what turns values so that higher is better: 1 or -1."""
    return -1.0 if direction == StudyDirection.MINIMIZE else 1.0


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
    """Return what orders trials by the objective, of several the first.

    Of two trials the better violates its constraints less, or else is the complete one, then the
    pruned one; of two pruned ones the one that came further, as intermediate values compare at
    equal steps only; then the one with the better value.
    """
    return (*_standing(trial), *_merits(trial, [direction]))


def tournament_winner(
    entrants: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> FrozenTrial:
    """Return the first entrant, of one or more in random order, that no other is better than."""
    if len(directions) == 1:
        return max(entrants, key=lambda entrant: outcome_of(entrant, directions[0]))
    is_beaten = (relation_of(entrants, directions) < 0).any(axis=1)
    # Being better is a strict order, so of finitely many one is not beaten.
    return entrants[int(np.argmin(is_beaten))]


def relation_of(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> Relation:
    """Compare each two of m trials.

    As :func:`outcome_of` orders them; with several objectives a trial is better than another one
    of the same standing if it dominates it.
    """
    standings = [_standing(trial) for trial in trials]
    ranks = {standing: rank for rank, standing in enumerate(sorted(set(standings)))}
    rank = np.array([ranks[standing] for standing in standings], dtype=np.int64)
    merits = np.array([_merits(trial, directions) for trial in trials], dtype=np.float64)
    merits = merits.reshape(len(trials), len(directions))
    is_alike = rank[:, None] == rank[None]
    at_least = is_alike & (merits[:, None] >= merits[None]).all(axis=-1)
    at_least |= rank[:, None] > rank[None]
    relation: Relation = at_least.astype(np.int8) - at_least.T.astype(np.int8)
    return relation


def _standing(trial: FrozenTrial) -> tuple[float, int, int]:
    """Return what is compared before values: violation, state, how far a pruned one came."""
    is_pruned = trial.state == TrialState.PRUNED
    steps = trial.intermediate_values if is_pruned else ()
    return -_compat.violation_of(trial), _RANKS.get(trial.state, -2), max(steps, default=-1)


def _merits(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> list[float]:
    """Return the values, turned so that higher is better; what is not a number is worst."""
    values = trial.values
    if not values and trial.intermediate_values:
        values = [trial.intermediate_values[max(trial.intermediate_values)]]
    if not values or len(values) < len(directions):
        values = [math.nan] * len(directions)
    return [
        -math.inf if math.isnan(value) else sign_of(direction) * value
        for value, direction in zip(values, directions, strict=False)
    ]
