"""The ranking that learns: what it does first, what it learns from, what it does not depend on."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import rankdata

from optuna_zerocost import ByScore, Candidate, History, Learned
from optuna_zerocost.rankings import Observations, Outlook, Sources, _observations
from optuna_zerocost.records import stored_scores

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
SPACE: dict[str, BaseDistribution] = {
    "operation": CategoricalDistribution(("none", "skip", "conv")),
    "depth": IntDistribution(1, 9),
}


def draw(rng: random.Random) -> dict[str, Any]:
    return {"operation": rng.choice(["none", "skip", "conv"]), "depth": rng.randint(1, 9)}


def truth(params: dict[str, Any]) -> float:
    return float(params["depth"] + 3.0 * (params["operation"] == "conv"))


def candidates_of(rng: random.Random, count: int, noise: float = 0.0) -> list[Candidate]:
    """Return distinct candidates with a telling score and one of noise."""
    found: dict[Any, Candidate] = {}
    while len(found) < count:
        params = draw(rng)
        scores = {"telling": truth(params) + noise * rng.gauss(0, 1), "noise": rng.random()}
        candidate = Candidate(params, SPACE, scores)
        found.setdefault(candidate.key, candidate)
    return list(found.values())


def trial_of(
    candidate: Candidate, value: float | None, state: TrialState = TrialState.COMPLETE
) -> FrozenTrial:
    steps = {0: value} if state == TrialState.PRUNED and value is not None else {}
    return create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params=dict(candidate.params),
        distributions=dict(candidate.distributions),
        intermediate_values=steps,
        user_attrs={f"zerocost:{name}": score for name, score in candidate.scores.items()},
    )


def history_of(trials: Sequence[FrozenTrial], direction: StudyDirection = MAXIMIZE) -> History:
    return History(trials=trials, directions=(direction,))


def example(seed: int, trials: int = 12) -> tuple[list[Candidate], list[FrozenTrial]]:
    rng = random.Random(seed)
    # The score tells much, but not all: what it told exactly would be known without learning.
    all_of_them = candidates_of(rng, trials + 8, noise=0.3)
    known = [trial_of(c, truth(dict(c.params))) for c in all_of_them[:trials]]
    return all_of_them[trials:], known


def with_scores(candidate: Candidate, change: Any) -> Candidate:
    scores = {name: change(value) for name, value in candidate.scores.items()}
    return Candidate(candidate.params, candidate.distributions, scores)


def change_scores(trial: FrozenTrial, change: Any) -> FrozenTrial:
    changed = trial_of(Candidate(trial.params, trial.distributions, {}), trial.value)
    changed.user_attrs = {name: change(value) for name, value in trial.user_attrs.items()}
    return changed


def test_the_first_trials_trust_scores_and_the_next_ones_do_not() -> None:
    candidates = [
        Candidate(c.params, SPACE, {**c.scores, "other": float(c.params["depth"])})
        for c in candidates_of(random.Random(0), 20, noise=0.1)
    ]
    ranking = Learned(trusting=2, honest=2)
    assert ranking.opening == 4
    trials: list[FrozenTrial] = []
    orders = []
    for _ in range(4):
        orders.append(ranking(candidates, history_of(trials)))
        trials.append(trial_of(candidates[orders[-1][0]], 1.0))
    trusted = ByScore("telling")(candidates, History())
    assert orders[0] == trusted
    # The second one asks all scores but the one that differs at random between alike networks.
    compared = [
        (c.scores["telling"], c.scores["other"]) for c in [*candidates, candidates[orders[0][0]]]
    ]
    ranks = rankdata(compared, axis=0).mean(axis=1)[: len(candidates)]
    assert list(ranks[orders[1]]) == sorted(ranks, reverse=True)
    # Two random orders of twenty agree with each other, or with this one, once in 10^18 times.
    assert orders[2] != trusted and orders[3] != trusted and orders[2] != orders[3]


def test_what_workers_are_at_counts_as_begun() -> None:
    candidates = candidates_of(random.Random(0), 20)
    ranking = Learned(trusting=1, honest=1)
    running = trial_of(candidates[0], None, TrialState.RUNNING)
    ours = ranking(candidates, History(running=[running]))
    assert ours == ranking(candidates, history_of([trial_of(candidates[0], 1.0)]))


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_scores_count_by_their_order_alone_and_may_be_turned_round(seed: int) -> None:
    candidates, trials = example(seed)
    ranking = Learned()
    plain = ranking(candidates, history_of(trials))
    for change in (lambda v: math.exp(v / 3), lambda v: -v, lambda v: 1e6 * v - 5):
        changed = ranking(
            [with_scores(c, change) for c in candidates],
            history_of([change_scores(t, change) for t in trials]),
        )
        assert changed == plain


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_neither_the_unit_nor_the_direction_of_the_objective_matters(seed: int) -> None:
    candidates, trials = example(seed)
    ranking = Learned()
    plain = ranking(candidates, history_of(trials))
    for unit, direction in ((8.0, MAXIMIZE), (-1.0, MINIMIZE), (-0.25, MINIMIZE)):
        changed = []
        for trial in trials:
            assert trial.value is not None
            like = Candidate(trial.params, trial.distributions, {})
            changed.append(trial_of(like, unit * trial.value))
            changed[-1].user_attrs = trial.user_attrs
        assert ranking(candidates, history_of(changed, direction)) == plain


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.booleans())
def test_the_order_in_which_candidates_come_does_not_matter(seed: int, is_opening: bool) -> None:
    candidates, trials = example(seed, trials=5 if is_opening else 12)
    ranking, history = Learned(), history_of(trials)
    shuffled = random.Random(seed + 1).sample(candidates, len(candidates))
    one = [candidates[i].key for i in ranking(candidates, history)]
    other = [shuffled[i].key for i in ranking(shuffled, history)]
    assert one == other


def test_a_telling_score_is_used_whichever_way_it_points_and_noise_does_little_harm() -> None:
    """The mean place of the best candidate in the order, of 1 to 8; 4.5 is chance."""

    def place(names: Sequence[str], sign: float) -> float:
        places = []
        for seed in range(15):
            rng = random.Random(seed)
            drawn = candidates_of(rng, 20)
            # The truth depends on something that is no parameter.
            secret = {c.key: rng.gauss(0, 1) for c in drawn}
            scored = [
                Candidate(
                    c.params,
                    c.distributions,
                    {"telling": sign * secret[c.key], "noise": rng.random()},
                )
                for c in drawn
            ]
            trials = [trial_of(c, secret[c.key]) for c in scored[:12]]
            order = Learned(*names)(scored[12:], history_of(trials))
            best = max(range(8), key=lambda i: secret[scored[12 + i].key])
            places.append(order.index(best) + 1)
        return float(np.mean(places))

    assert place(["telling"], 1.0) < 2
    assert place(["telling"], -1.0) < 2
    assert place(["telling", "noise"], 1.0) < 2.5


def test_trials_without_scores_and_candidates_without_scores_are_ranked_as_well() -> None:
    candidates, trials = example(1)
    trials[3].user_attrs = {}
    candidates[2] = Candidate(candidates[2].params, SPACE, {"telling": 1.0})
    order = Learned()(candidates, history_of(trials))
    assert sorted(order) == list(range(len(candidates)))
    places = []
    for seed in range(8):
        candidates, trials = example(seed)
        bare = [Candidate(c.params, c.distributions, {}) for c in candidates]
        for trial in trials:
            trial.user_attrs = {}
        truths = [truth(dict(candidate.params)) for candidate in bare]
        places.append(Learned()(bare, history_of(trials)).index(truths.index(max(truths))))
    assert np.mean(places) < 1.5  # of 0 to 7


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1.0] * 12, id="all equal"),
        pytest.param([math.inf] + [1.0, 2.0] * 5 + [-math.inf], id="infinite"),
        pytest.param([math.inf] * 12, id="all infinite"),
        pytest.param([1e300, -1e300] * 6, id="huge"),
        pytest.param([1e-300 * i for i in range(12)], id="tiny"),
        pytest.param([0.0] * 11 + [1.0], id="one better"),
        pytest.param([1.0] * 11 + [-1e12], id="one much worse"),
    ],
)
@pytest.mark.parametrize("direction", [MAXIMIZE, MINIMIZE])
def test_whatever_the_objective_returns_there_is_an_order(
    values: list[float], direction: StudyDirection
) -> None:
    candidates, trials = example(2)
    trials = [
        trial_of(Candidate(t.params, t.distributions, {}), value)
        for t, value in zip(trials, values, strict=True)
    ]
    ranking, history = Learned(), history_of(trials, direction)
    order = ranking(candidates, history)
    assert sorted(order) == list(range(len(candidates)))
    notes = ranking.notes(candidates, history, order[0])
    assert math.isfinite(notes["predicted"]) and math.isfinite(notes["deviation"])


def test_a_failure_here_and_there_changes_little() -> None:
    """One teaches nothing at all; some at random make failing as likely everywhere."""
    places = []
    for seed in range(8):
        candidates, trials = example(seed, trials=16)
        rng = random.Random(seed)
        failed = [trial_of(c, None, TrialState.FAIL) for c in candidates_of(rng, 3)]
        ranking = Learned()
        order = ranking(candidates, history_of(trials))
        assert ranking(candidates, history_of([*trials, failed[0]])) == order
        with_some = ranking(candidates, history_of([*trials, *failed]))
        places.append(with_some.index(order[0]))
    assert np.mean(places) < 1


def test_a_failure_counts_as_a_trial_of_the_opening() -> None:
    candidates = candidates_of(random.Random(0), 20)
    failed = trial_of(candidates[0], None, TrialState.FAIL)
    ranking = Learned(trusting=1, honest=1)
    assert ranking(candidates, history_of([failed])) == ranking(
        candidates, history_of([trial_of(candidates[0], 1.0)])
    )


def test_a_pruned_trial_counts_as_no_better_than_the_median() -> None:
    candidates, trials = example(4)
    other = candidates_of(random.Random(10), 1)[0]
    values = sorted(t.value for t in trials if t.value is not None)
    median = float(np.median(values))
    ranking = Learned()

    def observed(value: float, state: TrialState) -> list[float]:
        pruned = trial_of(other, value, state)
        return list(_observations.observed([*trials, pruned], [MAXIMIZE], 1).values[:, 0])

    assert observed(max(values) + 5, TrialState.PRUNED)[-1] == median
    assert observed(min(values) - 5, TrialState.PRUNED)[-1] == min(values) - 5
    assert observed(max(values) + 5, TrialState.COMPLETE)[-1] == max(values) + 5
    order = ranking(candidates, history_of([*trials, trial_of(other, 1.0, TrialState.PRUNED)]))
    assert sorted(order) == list(range(len(candidates)))


@pytest.mark.parametrize(
    ("complete", "expected"),
    [([math.inf, -math.inf], 0.5), ([1.7e308, 1.7e308], 0.5), ([-1e308, 1e308], 0.0)],
)
def test_a_pruned_trial_has_a_finite_value_whatever_the_complete_ones_have(
    complete: list[float], expected: float
) -> None:
    like = candidates_of(random.Random(10), 1)[0]
    trials = [trial_of(like, value) for value in complete]
    pruned = trial_of(like, 0.5, TrialState.PRUNED)
    values = _observations.observed([*trials, pruned], [MAXIMIZE], 1).values[:, 0]
    assert np.isfinite(values).all()
    assert values[-1] == expected


def test_what_another_worker_is_at_promises_less_to_this_one() -> None:
    """The best candidate's twin is no longer the next one, once the former is being trained."""
    space: dict[str, BaseDistribution] = {
        "x": FloatDistribution(0.0, 1.0),
        "y": FloatDistribution(0.0, 1.0),
    }
    twins_first, falls = 0, []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        points = rng.random((90, 2)).tolist()
        drawn = [Candidate(dict(zip("xy", point, strict=True)), space, {}) for point in points]
        trials = [trial_of(c, math.sin(6 * c.params["x"]) + c.params["y"]) for c in drawn[:12]]
        ranking, history = Learned(), history_of(trials)
        candidates = drawn[12:]
        best = candidates[ranking(candidates, history)[0]]
        twin = Candidate({**best.params, "x": best.params["x"] + 1e-4}, space, {})
        candidates.append(twin)
        busy = [trial_of(best, None, TrialState.RUNNING)]
        told = History(trials=trials, directions=(MAXIMIZE,), running=busy)
        twins_first += ranking(candidates, told)[0] in (
            len(candidates) - 1,
            candidates.index(best),
        )
        deviations = [
            ranking.notes(candidates, each, len(candidates) - 1)["deviation"]
            for each in (history, told)
        ]
        falls.append(deviations[1] / deviations[0])
    assert twins_first <= 4
    assert max(falls) < 0.8


def test_a_long_history_is_thinned_to_the_best_and_the_latest() -> None:
    rng = random.Random(0)
    values = [rng.random() for _ in range(50)]
    like = candidates_of(rng, 1)[0]
    observed = _observations.observed([trial_of(like, value) for value in values], [MAXIMIZE], 1)
    thinned = _observations.thinned(observed, 20)
    kept = thinned.values[:, 0].tolist()
    assert len(kept) == 20
    assert set(sorted(values)[-10:]) <= set(kept)
    assert kept == [value for value in values if value in kept]  # oldest first
    others = [value for value in values if value not in sorted(values)[-10:]]
    assert set(kept) - set(sorted(values)[-10:]) == set(others[-10:])
    assert _observations.thinned(observed, 50) is observed


def test_trust_has_the_sign_and_the_size_of_what_a_score_tells() -> None:
    rng = random.Random(0)
    trials = []
    for candidate in candidates_of(rng, 25):
        secret = rng.gauss(0, 1)
        scores = {"right": secret, "wrong": -secret, "noise": rng.random()}
        trials.append(trial_of(Candidate(candidate.params, SPACE, scores), secret))
    trust = Learned("right", "wrong", "noise").trust(history_of(trials))
    assert trust["right"] > 0.5
    assert trust["wrong"] == pytest.approx(-trust["right"])
    assert abs(trust["noise"]) < 0.2
    assert Learned("right").trust(history_of(trials[:2])) == {}


def with_noise_alone(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [Candidate(c.params, SPACE, {"noise": c.scores["noise"]}) for c in candidates]


def test_noise_is_trusted_at_first_only_on_request() -> None:
    candidates = with_noise_alone(candidates_of(random.Random(0), 20))
    by_noise = ByScore("noise")(candidates, History())
    assert Learned(trusting=4)(candidates, History()) == by_noise
    orders = [Learned()(candidates, History()), Learned(trusting=0)(candidates, History())]
    assert orders[0] == orders[1] != by_noise


def test_what_looks_like_noise_is_read_once_the_trials_speak_for_it() -> None:
    everything = with_noise_alone(candidates_of(random.Random(1), 24))
    known, others = everything[:16], everything[16:]
    best = max(range(len(others)), key=lambda i: others[i].scores["noise"])
    history = history_of([trial_of(c, c.scores["noise"]) for c in known])
    ranking = Learned()
    assert ranking(others, history).index(best) < 2
    assert ranking.notes(others, history, best)["doubted"] == "noise"
    # Where it says nothing about the values, the order is that of the parameters alone.
    useless = history_of([trial_of(c, truth(dict(c.params))) for c in known])
    bare = [Candidate(c.params, SPACE, {}) for c in others]
    assert ranking(others, useless) == ranking(bare, useless)


def test_the_notes_tell_the_prediction_on_the_objectives_own_scale() -> None:
    candidates, trials = example(5)
    for direction, sign in ((MAXIMIZE, 1.0), (MINIMIZE, -1.0)):
        observed = [
            trial_of(
                Candidate(t.params, t.distributions, stored_scores(t.user_attrs)),
                100 + sign * (t.value or 0.0),
            )
            for t in trials
        ]
        ranking, history = Learned(), history_of(observed, direction)
        order = ranking(candidates, history)
        first = ranking.notes(candidates, history, order[0])
        last = ranking.notes(candidates, history, order[-1])
        values = [t.value for t in observed if t.value is not None]
        assert sign * first["predicted"] > sign * last["predicted"]
        assert min(values) - 10 < first["predicted"] < max(values) + 10
        assert first["deviation"] > 0
        assert set(first) >= {"trust:telling", "trust:noise", "otherwise"}
    assert Learned().notes(candidates, history_of(trials[:2]), 0) == {}


def test_an_earlier_study_replaces_the_opening() -> None:
    candidates, trials = example(6, trials=15)
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    ranking = Learned(prior_studies=[study])
    assert ranking.opening == 0
    order = ranking(candidates, History())
    best = max(range(len(candidates)), key=lambda i: truth(dict(candidates[i].params)))
    assert order.index(best) < 3
    assert Learned(prior_studies=[optuna.create_study()]).opening == Learned().opening
    again: Learned = pickle.loads(pickle.dumps(ranking))
    assert again(candidates, History()) == order


def test_pickling_keeps_the_order() -> None:
    candidates, trials = example(7)
    ranking = Learned("telling", exploration=1.5)
    order = ranking(candidates, history_of(trials))
    again: Learned = pickle.loads(pickle.dumps(ranking))
    assert again(candidates, history_of(trials)) == order
    assert again.names == ("telling",)


def test_what_was_asked_before_changes_no_order() -> None:
    """What is kept from one question for the next is kept only where it is the same."""
    ranking = Learned()
    for seed in range(2):
        candidates, known = example(seed)
        turned = [trial_of(Candidate(t.params, SPACE, {}), -(t.value or 0.0)) for t in known]
        for trials in (known, known[:-1], turned, known):
            history = history_of(trials)
            for rows in (candidates, candidates[:5]):
                assert ranking(rows, history) == Learned()(rows, history)


def test_a_surrogate_is_fitted_once_a_trial_with_scores_and_once_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = []
    original = Learned._outlook

    def counted(self: Learned, seen: Observations, *, with_scores: bool = True) -> Outlook:
        fitted.append(with_scores)
        return original(self, seen, with_scores=with_scores)

    monkeypatch.setattr(Learned, "_outlook", counted)
    candidates, known = example(0)
    ranking, history = Learned(), history_of(known)
    ranking.wanted(history, candidates, {}, 0)
    options = ranking.completed(candidates, history, candidates, {}, 0)
    order = ranking(options, history)
    ranking.notes(options, history, order[0])
    assert fitted == [False, True, False]


def test_a_sign_turns_a_score_round_at_first() -> None:
    candidates = candidates_of(random.Random(0), 10, noise=0.1)
    plain = Learned("telling")(candidates, History())
    turned = Learned("-telling")(candidates, History())
    assert turned == plain[::-1]
    directed = History(score_directions={"telling": "minimize"})
    assert Learned("telling")(candidates, directed) == turned


def test_what_is_known_well_gives_way_to_what_is_not() -> None:
    """One more like the best trials promises little; the mean alone would go on with it."""
    space: dict[str, BaseDistribution] = {
        "family": CategoricalDistribution(("known", "new")),
        "rate": FloatDistribution(0.0, 1.0),
    }

    def candidate(family: str, rate: float) -> Candidate:
        return Candidate({"family": family, "rate": rate}, space, {})

    def value(rate: float) -> float:
        return 1.0 - (rate - 0.5) ** 2

    trials = [trial_of(candidate("known", i / 20), value(i / 20)) for i in range(21)]
    trials += [trial_of(candidate("new", rate), 0.85) for rate in (0.1, 0.2)]
    candidates = [candidate("known", 0.505), candidate("new", 0.9)]
    assert Learned()(candidates, history_of(trials)) == [1, 0]
    assert Learned(exploration=0.0)(candidates, history_of(trials)) == [0, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Learned("a", "-a"),
        lambda: Learned(trusting=-1),
        lambda: Learned(honest=-1),
        lambda: Learned(exploration=-0.1),
        lambda: Learned(exploration=math.nan),
        lambda: Learned(most_trials=2),
        lambda: Learned(objectives="second"),  # type: ignore[arg-type]
        lambda: Sources(random=-1),
    ],
)
def test_what_cannot_be_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="cannot be|twice"):
        make()


def test_with_several_objectives_each_is_learned_and_what_no_trial_beats_comes_first() -> None:
    """Depth is wanted high in the one objective, and low in the other."""
    rng = random.Random(0)
    drawn = candidates_of(rng, 26)
    directions = (MAXIMIZE, MINIMIZE)

    def objectives(params: Any) -> list[float]:
        is_conv = float(params["operation"] == "conv")
        return [params["depth"] + 3 * is_conv, params["depth"] - 3 * is_conv]

    trials = []
    for candidate in drawn[:18]:
        trial = create_trial(
            values=objectives(candidate.params),
            params=dict(candidate.params),
            distributions=dict(candidate.distributions),
            user_attrs={f"zerocost:{name}": score for name, score in candidate.scores.items()},
        )
        trials.append(trial)
    candidates = drawn[18:]
    history = History(trials=trials, directions=directions)
    order = Learned()(candidates, history)
    assert sorted(order) == list(range(8))
    # Whatever the depth, "conv" is better in both objectives.
    places = [order.index(i) for i, c in enumerate(candidates) if c.params["operation"] == "conv"]
    others = [i for i in range(8) if i not in places]
    assert places and np.mean(places) < np.mean(others)
    notes = Learned().notes(candidates, history, order[0])
    assert {"predicted", "deviation", "predicted:1", "deviation:1"} <= set(notes)
    first = Learned(objectives="first")(candidates, history)
    alone = [
        create_trial(
            value=objectives(t.params)[0],
            params=t.params,
            distributions=t.distributions,
            user_attrs=t.user_attrs,
        )
        for t in trials
    ]
    assert first == Learned()(candidates, history_of(alone))
