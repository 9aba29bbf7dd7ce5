"""The order of trials, against what it says in words."""

from __future__ import annotations

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_zerocost.records import outcome_of, relation_of, tournament_winner

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
DIRECTIONS = st.sampled_from([MAXIMIZE, MINIMIZE])


def trial_of(
    state: TrialState, value: float, *, steps: int = 0, violation: float = 0.0
) -> FrozenTrial:
    is_pruned = state == TrialState.PRUNED
    return create_trial(
        state=state,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        values=[value] if state == TrialState.COMPLETE else None,
        intermediate_values=dict.fromkeys(range(steps), value) if is_pruned else None,
        system_attrs={"constraints": [violation], "constraints:c": violation},
    )


TRIALS = st.builds(
    trial_of,
    st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]),
    st.sampled_from([-1.0, 0.0, 2.0]),
    steps=st.integers(0, 2),
    violation=st.sampled_from([-1.0, 0.0, 0.5, 2.0]),
)


def is_better(one: FrozenTrial, other: FrozenTrial, sign: float) -> bool:
    """Say step by step what the order is."""
    ranks = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    violations = [max(trial.system_attrs["constraints"][0], 0.0) for trial in (one, other)]
    if violations[0] != violations[1]:
        return violations[0] < violations[1]
    if one.state != other.state:
        return ranks.index(one.state) < ranks.index(other.state)
    steps = [len(trial.intermediate_values) for trial in (one, other)]
    if steps[0] != steps[1]:
        return steps[0] > steps[1]
    if one.state == TrialState.FAIL or (one.state == TrialState.PRUNED and not steps[0]):
        return False
    values = [
        trial.values[0] if trial.values else trial.intermediate_values[steps[0] - 1]
        for trial in (one, other)
    ]
    return sign * values[0] > sign * values[1]


@given(st.lists(TRIALS, min_size=1, max_size=6), DIRECTIONS)
def test_the_order_is_what_is_said_of_it(
    trials: list[FrozenTrial], direction: StudyDirection
) -> None:
    sign = 1.0 if direction == MAXIMIZE else -1.0
    relation = relation_of(trials, [direction])
    for i, one in enumerate(trials):
        for j, other in enumerate(trials):
            expected = int(is_better(one, other, sign)) - int(is_better(other, one, sign))
            assert relation[i, j] == expected
            outcomes = outcome_of(one, direction), outcome_of(other, direction)
            assert (outcomes[0] > outcomes[1]) == is_better(one, other, sign)
    winner = tournament_winner(trials, [direction])
    beaten = [any(is_better(other, one, sign) for other in trials) for one in trials]
    assert winner is trials[beaten.index(False)]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6),
    st.tuples(DIRECTIONS, DIRECTIONS),
)
def test_with_several_objectives_no_entrant_dominates_the_winner(
    values: list[tuple[int, int]], directions: tuple[StudyDirection, StudyDirection]
) -> None:
    study = optuna.create_study(directions=directions)
    trials = [create_trial(values=[float(v) for v in pair]) for pair in values]
    study.add_trials(trials)
    best = {tuple(trial.values) for trial in study.best_trials}
    assert tuple(tournament_winner(trials, directions).values) in best


@pytest.mark.parametrize("direction", [MAXIMIZE, MINIMIZE])
def test_a_value_that_is_no_number_is_the_worst(direction: StudyDirection) -> None:
    known = trial_of(TrialState.PRUNED, 5.0, steps=2)
    unknown = trial_of(TrialState.PRUNED, math.nan, steps=2)
    assert outcome_of(known, direction) > outcome_of(unknown, direction)
