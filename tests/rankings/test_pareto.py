"""Non-dominated sorting: equal to its definition, pair by pair; steered by what was trained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import BruteForceSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_zerocost import Candidate, History, Pareto, Warmup, ZeroCostSampler
from optuna_zerocost.rankings._pareto import crowding_distances, non_domination_ranks
from tests.spaces import BASES, SPACES

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

Point = tuple[float, ...]
# Few distinct values, so that ties and domination are common.
VALUES = st.integers(min_value=0, max_value=5).map(float)
POINTS = st.integers(2, 3).flatmap(
    lambda scores: st.lists(st.tuples(*[VALUES] * scores), min_size=1, max_size=14)
)
NAMES = ("a", "b", "c")


def candidates(points: list[Point]) -> list[Candidate]:
    return [Candidate({}, {}, dict(zip(NAMES, point, strict=False))) for point in points]


def trained(points: list[Point], state: TrialState = TrialState.COMPLETE) -> list[FrozenTrial]:
    return [
        create_trial(
            state=state,
            value=0.0 if state == TrialState.COMPLETE else None,
            user_attrs={f"zerocost:{n}": v for n, v in zip(NAMES, point, strict=False)},
        )
        for point in points
    ]


def dominates(one: Point, other: Point) -> bool:
    return one != other and all(x >= y for x, y in zip(one, other, strict=True))


def naive_fronts(points: list[Point]) -> list[int]:
    fronts = [-1] * len(points)
    while -1 in fronts:
        left = [i for i, front in enumerate(fronts) if front < 0]
        free = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        for i in free:
            fronts[i] = max(fronts) + 1 if i == free[0] else fronts[free[0]]
    return fronts


def naive_distance(point: int, points: list[Point]) -> float:
    """The gap between the nearest value on either side, summed over the scores."""
    total = 0.0
    for column in zip(*points, strict=True):
        own, others = column[point], [x for j, x in enumerate(column) if j != point]
        below, above = [x for x in others if x <= own], [x for x in others if x >= own]
        gap = min(above, default=math.inf) - max(below, default=-math.inf)
        total += gap
    return total


@given(POINTS)
def test_fronts_are_what_is_left_undominated(points: list[Point]) -> None:
    assert non_domination_ranks(np.array(points)).tolist() == naive_fronts(points)


@given(POINTS)
def test_distances_are_gaps_between_neighbours(points: list[Point]) -> None:
    expected = [naive_distance(i, points) for i in range(len(points))]
    assert crowding_distances(np.array(points)).tolist() == expected


def naive_order(points: list[Point], trials: list[Point]) -> list[int]:
    together = [*points, *trials]

    def rank(column: Any, value: float) -> float:
        return float(sum(x < value for x in column) + sum(x <= value for x in column))

    columns = list(zip(*together, strict=True))
    ranks = [tuple(rank(c, v) for c, v in zip(columns, p, strict=True)) for p in together]
    fronts = naive_fronts(together)

    def key(i: int) -> tuple[int, float]:
        members = [j for j, front in enumerate(fronts) if front == fronts[i]]
        return fronts[i], -naive_distance(members.index(i), [ranks[j] for j in members])

    return sorted(range(len(points)), key=key)


@given(st.data())
def test_the_order_is_front_then_distance_then_draw(data: st.DataObject) -> None:
    points = data.draw(POINTS)
    alike = st.lists(st.tuples(*[VALUES] * len(points[0])), max_size=8)
    trials = data.draw(alike)
    ranking = Pareto(*NAMES[: len(points[0])])
    split = data.draw(st.integers(0, len(trials)))
    history = History(
        trials=trained(trials[:split]), running=trained(trials[split:], TrialState.RUNNING)
    )
    assert ranking(candidates(points), history) == naive_order(points, trials)


def test_the_outermost_come_first_only_until_they_are_trained() -> None:
    proposed = candidates([(1.0, 8.0), (4.0, 5.0), (8.0, 1.0)])
    assert Pareto("a", "b")(proposed, History()) == [0, 2, 1]
    beside = [(0.0, 9.0), (1.5, 7.5), (7.5, 1.5), (9.0, 0.0)]
    # Dominated by the second, but of its size: what lies between the second's neighbours.
    between = [(3.0, 3.0), (3.5, 3.5)]
    history = History(trials=trained([*beside, *between]))
    assert Pareto("a", "b")(proposed, history) == [1, 0, 2]


def test_what_a_trial_dominates_comes_after_what_none_does() -> None:
    proposed = candidates([(5.0, 5.0), (0.0, 9.0)])
    better = trained([(6.0, 6.0)])
    assert Pareto("a", "b")(proposed, History(trials=better)) == [1, 0]


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_only_what_was_trained_to_the_end_with_all_scores_counts(state: TrialState) -> None:
    points = [(1.0, 8.0), (4.0, 5.0), (8.0, 1.0)]
    alone = Pareto("a", "b")(candidates(points), History())
    others = [*trained([(9.0, 9.0)], state), *trained([(9.0,)])]
    assert Pareto("a", "b")(candidates(points), History(trials=others)) == alone


def score(trial: Any) -> dict[str, float]:
    size = SPACES["static"](trial)
    return {"quality": math.sqrt(size), "cost": size % 9}


def points_of(study: optuna.Study) -> list[Point]:
    return [
        (trial.user_attrs["zerocost:quality"], -trial.user_attrs["zerocost:cost"])
        for trial in study.trials
    ]


def space() -> list[Point]:
    """All 27 architectures."""
    study = optuna.create_study(sampler=BruteForceSampler(seed=0))
    scores: list[dict[str, float]] = []
    study.optimize(lambda trial: scores.append(score(trial)) or 0.0, n_trials=27)
    return [(s["quality"], -s["cost"]) for s in scores]


@pytest.mark.parametrize("way", ["warmup", "moves"])
def test_the_first_trials_are_the_whole_first_front(way: str) -> None:
    points = space()
    front = {p for p, front in zip(points, naive_fronts(points), strict=True) if front == 0}
    # Three hundred draws leave out one of 27 architectures once in three thousand times.
    warmup = Warmup(candidates=300, trials=len(front)) if way == "warmup" else None
    sampler = ZeroCostSampler(
        score,
        base_sampler=BASES["random"](),
        ranking=Pareto("quality", "-cost"),
        warmup=warmup,
        moves=300,
        seed=0,
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(lambda trial: tuple(score(trial).values()), n_trials=len(front))
    assert set(points_of(study)) == front


@pytest.mark.parametrize("base", ["tpe", "nsga2"])
def test_two_objectives_steer_bases_that_learn(base: str) -> None:
    """What is proposed dominates more of the space than what the base sampler would take."""

    def beaten(sampler: optuna.samplers.BaseSampler) -> int:
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        study.optimize(lambda trial: tuple(score(trial).values()), n_trials=12)
        values = [(t.values[0], -t.values[1]) for t in study.trials]
        return sum(any(dominates(value, point) for value in values) for point in space())

    ranking = Pareto("quality", "-cost")
    ours = ZeroCostSampler(
        score, base_sampler=BASES[base](), ranking=ranking, warmup=None, moves=12
    )
    assert beaten(ours) >= beaten(BASES[base]())
