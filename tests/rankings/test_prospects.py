"""What failures and violated constraints teach; what is known before the training."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import spearmanr

from optuna_zerocost import ByScore, Candidate, History, Learned
from optuna_zerocost.rankings import Observations, Outlook, proposed_first
from optuna_zerocost.rankings._prospects import Prospects, known_quantity, prospects_of

MAXIMIZE = StudyDirection.MAXIMIZE
SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "y": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(["a", "b", "c"]),
}
Params = dict[str, Any]


def drawn(
    seed: int, count: int, scores: Callable[[Params], float] | None = None
) -> list[Candidate]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        params = {"x": rng.random(), "y": rng.random(), "kind": rng.choice("abc")}
        found.append(Candidate(params, SPACE, {"s": scores(params)} if scores else {}))
    return found


def value_of(params: Any) -> float:
    return float(math.sin(4 * params["x"]) + params["y"] ** 2 + 0.5 * (params["kind"] == "b"))


def trial_of(
    candidate: Candidate, *, fails: bool = False, constraints: Sequence[float] | None = None
) -> FrozenTrial:
    return create_trial(
        state=TrialState.FAIL if fails else TrialState.COMPLETE,
        value=None if fails else value_of(candidate.params),
        params=dict(candidate.params),
        distributions=dict(candidate.distributions),
        user_attrs={f"zerocost:{name}": score for name, score in candidate.scores.items()},
        system_attrs={} if constraints is None else {"constraints": tuple(constraints)},
    )


def seen_of(trials: Sequence[FrozenTrial], candidates: Sequence[Candidate]) -> Observations:
    return Observations(
        History(trials=trials, directions=(MAXIMIZE,)),
        candidates,
        names=None,
        sign_of_score=lambda name: 1.0,
    )


def share_of(picked: Sequence[Candidate], is_in: Callable[[Any], bool]) -> float:
    return float(np.mean([is_in(candidate.params) for candidate in picked]))


@pytest.mark.parametrize(
    "fails",
    [
        pytest.param(lambda p: p["x"] > 0.6, id="number"),
        pytest.param(lambda p: p["kind"] == "b", id="choice"),
        pytest.param(lambda p: p["kind"] == "b" and p["x"] < 0.5, id="both"),
    ],
)
def test_a_region_where_trainings_fail_is_left_alone(fails: Callable[[Any], bool]) -> None:
    known, candidates = drawn(0, 40), drawn(1, 200)
    trials = [trial_of(c, fails=fails(c.params)) for c in known]
    order = Learned()(candidates, History(trials=trials, directions=(MAXIMIZE,)))
    assert sorted(order) == list(range(200))
    assert share_of([candidates[i] for i in order[:20]], fails) <= 0.1
    seen = seen_of(trials, candidates)
    success = np.exp(Prospects(seen).log_success(seen.references))
    is_failing = np.array([fails(c.params) for c in candidates])
    assert success[is_failing].mean() < 0.35 < 0.75 < success[~is_failing].mean()


def test_failures_at_random_change_the_order_little() -> None:
    correlations = []
    for seed in range(6):
        known, candidates = drawn(seed, 40), drawn(seed + 100, 100)
        rng = random.Random(seed)
        good = [trial_of(c) for c in known]
        bad = [trial_of(c, fails=True) for c in drawn(seed + 200, 8)]
        rng.shuffle(bad)
        merits = []
        for trials in (good, [*good, *bad]):
            seen = seen_of(trials, candidates)
            merits.append(Outlook(seen).acquisition(seen.references))
        correlations.append(spearmanr(*merits).statistic)
    assert np.median(correlations) > 0.95
    assert min(correlations) > 0.7


def test_one_failure_or_two_teach_nothing() -> None:
    known, candidates = drawn(0, 20), drawn(1, 10)
    trials = [trial_of(c) for c in known]
    for failures in (0, 1, 2):
        failed = [trial_of(c, fails=True) for c in drawn(2, failures)]
        seen = seen_of([*trials, *failed], candidates)
        assert not Prospects(seen)
        assert (Prospects(seen).log_probability(seen.references) == 0).all()
        assert prospects_of(candidates, History(trials=[*trials, *failed])) is None


def two_constraints(params: Any) -> list[float]:
    return [params["x"] + params["y"] - 1.0, 1e3 * (0.3 - params["y"])]


def is_feasible(params: Any) -> bool:
    return max(two_constraints(params)) <= 0


def test_several_constraints_are_learned_at_once() -> None:
    known, candidates = drawn(0, 40), drawn(1, 200)
    trials = [trial_of(c, constraints=two_constraints(c.params)) for c in known]
    seen = seen_of(trials, candidates)
    assert len(seen.constraints) == 2
    assert seen.is_feasible.tolist() == [is_feasible(c.params) for c in known]
    feasibility = np.exp(Prospects(seen).log_feasibility(seen.references))
    is_met = np.array([is_feasible(c.params) for c in candidates])
    assert feasibility[is_met].mean() > 0.8
    assert feasibility[~is_met].mean() < 0.2
    order = Learned()(candidates, History(trials=trials, directions=(MAXIMIZE,)))
    assert share_of([candidates[i] for i in order[:20]], is_feasible) >= 0.9


def test_before_anything_is_feasible_what_most_probably_is_comes_first() -> None:
    known, candidates = drawn(0, 30), drawn(1, 200)
    infeasible = [c for c in known if not is_feasible(c.params)]
    trials = [trial_of(c, constraints=two_constraints(c.params)) for c in infeasible]
    order = Learned()(candidates, History(trials=trials, directions=(MAXIMIZE,)))
    assert share_of([candidates[i] for i in order[:10]], is_feasible) >= 0.7


def test_constraints_that_none_violates_count_for_nothing() -> None:
    known, candidates = drawn(0, 20), drawn(1, 10)
    seen = seen_of([trial_of(c, constraints=[-1.0, 0.0]) for c in known], candidates)
    assert not Prospects(seen)


SCALES: dict[str, Callable[[float], float]] = {
    "affine": lambda s: 3e6 * s - 1.5e6,
    "falling": lambda s: 0.5 - s,
    "logarithm": lambda s: math.log(s / 0.4),
}


@pytest.mark.parametrize("scale", SCALES)
def test_a_constraint_that_is_a_score_is_exact(scale: str) -> None:
    """However few the trials; no smooth function of the parameters would be."""

    def secret(params: Params) -> float:
        return random.Random(repr(params)).uniform(0.01, 1)

    known, candidates = drawn(0, 8, secret), drawn(1, 100, secret)
    limit = SCALES[scale]
    trials = [trial_of(c, constraints=[limit(c.scores["s"])]) for c in known]
    seen = seen_of(trials, candidates)
    found = Prospects(seen).log_feasibility(seen.references)
    expected = [limit(c.scores["s"]) <= 0 for c in candidates]
    assert (found == 0).tolist() == expected
    order = Learned()(candidates, History(trials=trials, directions=(MAXIMIZE,)))
    assert [expected[i] for i in order] == sorted(expected, reverse=True)


def table_of(raw: Sequence[float], others: Sequence[float], values: Sequence[float]) -> Any:
    """Return what is known of ``others`` after trials with these scores and values."""
    candidates = [Candidate({"x": 0.5}, SPACE, {"s": s}) for s in [*raw, *others]]
    seen = seen_of([], candidates)
    every = seen.references
    known, asked = every[np.arange(len(raw))], every[np.arange(len(raw), len(every))]
    return known_quantity(seen, known, np.array(values, dtype=np.float64), asked)


@pytest.mark.parametrize("unit", [1.0, 1e-150, 1e200])
@pytest.mark.parametrize("zero", [0.0, -7.0])
def test_a_quantity_in_other_units_is_known(unit: float, zero: float) -> None:
    raw, others = [1.0, 2.0, 5.0, 30.0], [3.0, 1e3]
    linear = table_of(raw, others, [unit * (s + zero) for s in raw])
    assert linear == pytest.approx([unit * (s + zero) for s in others], rel=1e-6)
    logarithmic = table_of(raw, others, [unit * (math.log(s) + zero) for s in raw])
    assert logarithmic == pytest.approx([unit * (math.log(s) + zero) for s in others], rel=1e-6)


@pytest.mark.parametrize(
    ("raw", "others", "values"),
    [
        pytest.param([1.0, 2.0, 3.0, 4.0], [5.0], [1.0, 4.0, 9.0, 16.0], id="not linear"),
        pytest.param([1.0, 2.0], [5.0], [1.0, 2.0], id="too few"),
        pytest.param([1.0, 1.0, 2.0, 2.0], [5.0], [1.0, 1.0, 2.0, 2.0], id="too few different"),
        pytest.param([1.0, 2.0, 3.0], [5.0], [0.0, 0.0, 0.0], id="constant values"),
        pytest.param([4.0, 4.0, 4.0], [5.0], [1.0, 2.0, 3.0], id="constant score"),
        pytest.param([1.0, math.nan, 3.0, 4.0], [5.0], [1.0, 2.0, 3.0, 4.0], id="one is missing"),
        pytest.param([1.0, 2.0, 3.0], [math.nan], [1.0, 2.0, 3.0], id="missing where asked"),
        pytest.param([1.0, 2.0, 3.0], [5.0], [1.0, 2.0, 3.0 + 1e-4], id="nearly"),
        pytest.param([1e308, -1e308, 0.0], [1.0], [1.0, 5.0, -1e308], id="huge"),
    ],
)
def test_what_is_no_such_quantity_is_not_taken_for_one(
    raw: list[float], others: list[float], values: list[float]
) -> None:
    assert table_of(raw, others, values) is None


def test_an_objective_that_is_a_score_is_predicted_as_it_is() -> None:
    """Of two objectives: what is measured after the training and scored before it."""
    rng = random.Random(0)

    def size(params: Params) -> float:
        return random.Random(repr(params)).uniform(1, 1000)

    known, candidates = drawn(0, 15, size), drawn(1, 50, size)
    trials = [
        create_trial(
            values=[value_of(c.params) + 0.1 * rng.random(), 2e-3 * c.scores["s"] + 1],
            params=dict(c.params),
            distributions=dict(c.distributions),
            user_attrs={"zerocost:s": c.scores["s"]},
        )
        for c in known
    ]
    history = History(trials=trials, directions=(MAXIMIZE, StudyDirection.MINIMIZE))
    ranking = Learned()
    for index in range(5):
        notes = ranking.notes(candidates, history, index)
        truth = 2e-3 * candidates[index].scores["s"] + 1
        assert notes["deviation:1"] < 1e-3
        # What is worse than nearly all is known to be that bad, but not how bad.
        worst = max(trial.values[1] for trial in trials)
        if truth < worst:
            assert notes["predicted:1"] == pytest.approx(truth, rel=1e-3)


def test_a_fixed_ranking_steps_back_from_what_fails() -> None:
    """The largest come first; the largest do not fit into the memory."""
    candidates = [
        Candidate({"x": i / 60, "y": 0.5, "kind": "a"}, SPACE, {"s": i / 60}) for i in range(60)
    ]
    trials: list[FrozenTrial] = []
    left = list(candidates)
    for _ in range(20):
        order = proposed_first(ByScore("s"), left, History(trials=trials, directions=(MAXIMIZE,)))
        chosen = left.pop(order[0])
        trials.append(trial_of(chosen, fails=chosen.scores["s"] > 0.5))
    states = [trial.state for trial in trials]
    assert states[:3] == [TrialState.FAIL] * 3
    assert states.count(TrialState.FAIL) <= 8
    assert states[-6:] == [TrialState.COMPLETE] * 6
    # It does not flee to the smallest: what succeeds is near what would not.
    assert min(trial.params["x"] for trial in trials[-6:]) > 0.3


def test_a_fixed_ranking_obeys_a_constraint_after_a_few_trials() -> None:
    depths: dict[str, BaseDistribution] = {"depth": FloatDistribution(1.0, 6.0, step=1.0)}
    candidates = [
        Candidate({"depth": float(d)}, depths, {"params": 100.0 * d + i})
        for d in range(1, 7)
        for i in range(6)
    ]
    trials: list[FrozenTrial] = []
    left = list(candidates)
    for _ in range(12):
        history = History(trials=trials, directions=(MAXIMIZE,))
        chosen = left.pop(proposed_first(ByScore("params"), left, history)[0])
        trials.append(
            create_trial(
                value=0.0,
                params=dict(chosen.params),
                distributions=depths,
                user_attrs={"zerocost:params": chosen.scores["params"]},
                system_attrs={"constraints": (chosen.params["depth"] - 2.5,)},
            )
        )
    # How far it may go is tried once at most.
    assert sum(trial.params["depth"] > 2 for trial in trials[2:]) <= 1
    # Of those that meet it the best by the ranking come first.
    kept = [t.user_attrs["zerocost:params"] for t in trials if t.params["depth"] == 2]
    assert kept == sorted(kept, reverse=True)


def test_without_failures_and_constraints_a_fixed_ranking_is_as_it_was() -> None:
    candidates = drawn(0, 20, value_of)
    trials = [trial_of(c) for c in drawn(1, 10, value_of)]
    history = History(trials=trials, directions=(MAXIMIZE,))
    assert proposed_first(ByScore("s"), candidates, history) == ByScore("s")(candidates, history)


def test_probabilities_are_told() -> None:
    known, candidates = drawn(0, 40), drawn(1, 20)
    trials = [
        trial_of(c, fails=c.params["x"] > 0.7, constraints=two_constraints(c.params))
        for c in known
    ]
    ranking, history = Learned(), History(trials=trials, directions=(MAXIMIZE,))
    order = ranking(candidates, history)
    first, last = (ranking.notes(candidates, history, order[i]) for i in (0, -1))
    for notes in (first, last):
        assert 0 <= notes["success"] <= 1 and 0 <= notes["feasibility"] <= 1
    assert first["success"] * first["feasibility"] > last["success"] * last["feasibility"]


def test_values_of_constraints_may_be_of_any_size() -> None:
    known, candidates = drawn(0, 20), drawn(1, 20)
    for size in (1e-300, 1.0, 1e300):
        trials = [trial_of(c, constraints=[size * (c.params["x"] - 0.5)]) for c in known]
        seen = seen_of(trials, candidates)
        found: npt.NDArray[np.float64] = Prospects(seen).log_feasibility(seen.references)
        is_met = np.array([c.params["x"] <= 0.5 for c in candidates])
        assert np.isfinite(found).all()
        assert found[is_met].mean() > found[~is_met].mean()
