"""Who wins a tournament among finished trials: constraints, then state, then values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.records._candidate import sign_of

__all__ = ["tournament_winner"]


def tournament_winner(
    entrants: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> FrozenTrial:
    """Return the first entrant that no other one beats.

    Args:
        entrants: Complete or pruned trials, in random order.
        directions: One for each objective.
    """
    handicaps = [_handicap(entrant) for entrant in entrants]
    least = min(handicaps)
    rivals = [e for e, handicap in zip(entrants, handicaps, strict=True) if handicap == least]
    losses = [_losses(rival, directions) for rival in rivals]
    for rival, own in zip(rivals, losses, strict=True):
        if not any(_dominates(other, own) for other in losses):
            return rival
    raise AssertionError("Domination is a strict order, so of finitely many one is not dominated.")


def _handicap(trial: FrozenTrial) -> tuple[float, bool, float]:
    """Return what is compared before the values: the lower, the better."""
    is_pruned = trial.state == TrialState.PRUNED
    # Intermediate values compare at equal steps only; that a trial came further says more.
    steps = trial.intermediate_values if is_pruned else ()
    return _compat.violation_of(trial), is_pruned, -max(steps, default=-1)


def _losses(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> tuple[float, ...]:
    """Return the values, turned so that lower is better; what is not a number is worst."""
    values = trial.values or [math.nan] * len(directions)
    return tuple(
        math.inf if math.isnan(v) else -sign_of(direction) * v
        for v, direction in zip(values, directions, strict=True)
    )


def _dominates(ours: tuple[float, ...], theirs: tuple[float, ...]) -> bool:
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))
