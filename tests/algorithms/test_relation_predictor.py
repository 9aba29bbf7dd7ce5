"""The sampler that learns which of two is better: stateless, and better than chance."""

from __future__ import annotations

import functools
import math
import pathlib
import pickle
import random
import subprocess
import sys
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from optuna_zerocost import RelationPredictorSampler, Warmup, ZeroCostSampler
from optuna_zerocost.records import relation_of
from tests.spaces import SPACES, size_scorer

MAXIMIZE, MINIMIZE = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def make(**arguments: Any) -> RelationPredictorSampler:
    """Return a sampler that is small, so that it is fast, and predicts soon."""
    defaults: dict[str, Any] = {
        "n_startup_trials": 4,
        "refit_every": 2,
        "candidates": 40,
        "layers": 2,
        "hidden": 8,
        "steps": 15,
        "seed": 0,
    }
    return RelationPredictorSampler(**{**defaults, **arguments})


# So that a sampler learns something, and does what it learned.
LEARNING: dict[str, Any] = {"steps": 40, "hidden": 16, "exploration": 0.0}


def run(
    objective: Any, trials: int, sampler: Any = None, direction: str = "maximize"
) -> optuna.Study:
    study = optuna.create_study(direction=direction, sampler=sampler or make())
    study.optimize(objective, n_trials=trials)
    return study


@functools.cache
def by_chance(space: str) -> Any:
    """Return what 300 random trials give."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(300)]
    return np.array([SPACES[space](trial) for trial in trials])


def is_better_than_chance(values: Any, space: str, sign: int = 1) -> bool:
    """Return whether the mean is what random values would have in less than 3 of 100 cases."""
    deviation = by_chance(space).std() / math.sqrt(len(values))
    return bool(sign * (np.mean(values) - by_chance(space).mean()) > 2 * deviation)


def summary(study: optuna.Study) -> list[Any]:
    return [(trial.params, trial.values, trial.state) for trial in study.trials]


# Which trial is better


def trial_with(value: float | None = None, reports: dict[int, float] | None = None) -> Any:
    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    return create_trial(state=state, value=value, intermediate_values=reports or {})


@given(st.lists(st.one_of(st.integers(-3, 3), st.just(math.inf)), max_size=8), st.booleans())
def test_the_relation_is_that_of_the_values(values: list[float], is_minimized: bool) -> None:
    direction = MINIMIZE if is_minimized else MAXIMIZE
    relation = relation_of([trial_with(value) for value in values], [direction])
    for i, one in enumerate(values):
        for j, other in enumerate(values):
            assert relation[i, j] == ((one > other) - (one < other)) * (-1 if is_minimized else 1)


@pytest.mark.parametrize("direction", [MAXIMIZE, MINIMIZE])
def test_pruned_trials_are_worse_and_ordered_by_how_far_they_came(
    direction: StudyDirection,
) -> None:
    sign = 1 if direction == MAXIMIZE else -1
    trials = [
        trial_with(sign * 2.0, {9: 0.0}),
        trial_with(sign * 1.0),
        trial_with(None, {1: sign * 100.0, 5: sign * 7.0}),
        trial_with(None, {5: sign * 6.0}),
        trial_with(None, {5: math.nan}),
        trial_with(None, {4: sign * 99.0}),
        trial_with(None),
    ]
    expected = np.sign(np.subtract.outer(np.arange(7)[::-1], np.arange(7)[::-1]))
    assert (relation_of(trials, [direction]) == expected).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=7),
    st.tuples(st.sampled_from([MAXIMIZE, MINIMIZE]), st.sampled_from([MAXIMIZE, MINIMIZE])),
)
def test_with_several_objectives_it_is_dominance(values: Any, directions: Any) -> None:
    relation = relation_of([create_trial(values=pair) for pair in values], directions)

    def dominates(one: Any, other: Any) -> bool:
        pairs = [
            (a, b) if direction == MAXIMIZE else (b, a)
            for a, b, direction in zip(one, other, directions, strict=True)
        ]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    for i, one in enumerate(values):
        for j, other in enumerate(values):
            assert relation[i, j] == dominates(one, other) - dominates(other, one)


# The search


@pytest.mark.parametrize("space", ["conditional", "numeric"])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_what_it_chooses_is_better_than_chance(space: str, direction: str) -> None:
    """By the choices of three seeds together; one may begin with too little variety."""
    chosen = []
    for seed in range(3):
        sampler = make(n_startup_trials=10, seed=seed, **LEARNING)
        study = run(SPACES[space], 18, sampler, direction)
        chosen += [trial.value for trial in study.trials[10:]]
    assert is_better_than_chance(chosen, space, 1 if direction == "maximize" else -1)


@pytest.mark.parametrize("space", ["static", "conditional", "numeric"])
def test_only_the_order_of_the_values_counts(space: str) -> None:
    plain = run(SPACES[space], 12)
    stretched = run(lambda trial: math.exp(SPACES[space](trial) / 50) - 7, 12)
    negative = run(lambda trial: -SPACES[space](trial), 12, direction="minimize")
    params = [trial.params for trial in plain.trials]
    assert [trial.params for trial in stretched.trials] == params
    assert [trial.params for trial in negative.trials] == params


def test_two_runs_are_equal_and_another_seed_is_not() -> None:
    studies = [run(SPACES["conditional"], 12, make(seed=seed)) for seed in (0, 0, 1, None)]
    assert summary(studies[0]) == summary(studies[1])
    assert summary(studies[0]) != summary(studies[2]) != summary(studies[3])


def test_the_global_random_states_are_left_alone() -> None:
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    with torch.no_grad():  # as a user may have it around the study
        inside = run(SPACES["conditional"], 8)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.get_rng_state(), before[2])
    torch.manual_seed(1)
    assert summary(run(SPACES["conditional"], 8)) == summary(inside)


@pytest.mark.parametrize("stop", [3, 9])
def test_a_resumed_study_is_that_which_was_not_interrupted(
    stop: int, tmp_path: pathlib.Path
) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(
        study_name="s", storage=storage, sampler=make(), direction="maximize"
    )
    study.optimize(SPACES["conditional"], n_trials=stop)
    resumed = optuna.load_study(study_name="s", storage=storage, sampler=make())
    resumed.optimize(SPACES["conditional"], n_trials=14 - stop)
    assert summary(resumed) == summary(run(SPACES["conditional"], 14))


def test_a_pickled_sampler_goes_on_as_the_original() -> None:
    study = run(SPACES["conditional"], 9)
    twin = optuna.create_study(
        sampler=pickle.loads(pickle.dumps(study.sampler)), direction="maximize"
    )
    twin.add_trials(study.trials)
    for each in (study, twin):
        each.optimize(SPACES["conditional"], n_trials=4)
    assert summary(twin) == summary(study)


WORKER = """
import sys
import optuna
from tests.algorithms.test_relation_predictor import make
from tests.spaces import SPACES

study = optuna.load_study(study_name="s", storage=sys.argv[1], sampler=make())
study.optimize(SPACES["conditional"], n_trials=10)
"""


def test_two_processes_on_one_study(tmp_path: pathlib.Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
    root = pathlib.Path(__file__).parents[2]
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, storage], cwd=root) for _ in range(2)
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 20
    # What the workers found, others go on from, all in the same way.
    copies = []
    for _ in range(2):
        copy = optuna.create_study(sampler=make(), direction="maximize")
        copy.add_trials(study.trials)
        copy.optimize(SPACES["conditional"], n_trials=2)
        copies.append(summary(copy))
    assert copies[0] == copies[1]


# When it is trained


def weights(study: optuna.Study) -> list[Any]:
    """Return the weights that the next trial is chosen with; none if it is random."""
    study.sampler._trained._kept = None  # type: ignore[attr-defined]
    trial = study.ask()
    trial.suggest_float("unknown", 0, 1)
    study.tell(trial, state=TrialState.FAIL)
    kept = study.sampler._trained._kept  # type: ignore[attr-defined]
    return [] if kept is None else [p.detach().clone() for p in kept[1].parameters()]


def are_equal(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def with_history(trials: list[Any], **arguments: Any) -> optuna.Study:
    study = optuna.create_study(sampler=make(**arguments), direction="maximize")
    study.add_trials(trials)
    return study


def test_it_is_trained_on_the_first_trials_up_to_a_multiple() -> None:
    history = run(SPACES["static"], 12, optuna.samplers.RandomSampler(seed=0)).trials
    fits = [weights(with_history(history[:n], refit_every=5)) for n in range(13)]
    assert [bool(fit) for fit in fits] == [False] * 5 + [True] * 8
    assert all(are_equal(fits[5], fits[n]) for n in (6, 7, 8, 9))
    assert all(are_equal(fits[10], fits[n]) for n in (11, 12))
    assert not are_equal(fits[5], fits[10])


def test_it_is_trained_in_the_order_in_which_trials_finished() -> None:
    """A late trial with a low number does not change which are the first ones."""
    history = run(SPACES["static"], 9, optuna.samplers.RandomSampler(seed=0)).trials
    expected = weights(with_history(history[1:6], refit_every=5))
    late = history[0]
    late.datetime_complete = history[6].datetime_complete
    assert are_equal(weights(with_history([late, *history[1:7]], refit_every=5)), expected)


def test_failed_trials_teach_nothing() -> None:
    history = run(SPACES["static"], 6, optuna.samplers.RandomSampler(seed=0)).trials
    failed = create_trial(
        state=TrialState.FAIL, params=history[0].params, distributions=history[0].distributions
    )
    mixed = [failed, *history[:3], failed, *history[3:], failed]
    assert are_equal(weights(with_history(mixed)), weights(with_history(history)))


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_without_an_order_trials_are_random(value: float) -> None:
    def objective(trial: optuna.Trial) -> float:
        SPACES["conditional"](trial)
        return value

    study = run(objective, 12)
    assert not weights(study)
    assert len({repr(trial.params) for trial in study.trials}) > 6


def test_infinite_values_are_compared() -> None:
    history = run(SPACES["static"], 6, optuna.samplers.RandomSampler(seed=0)).trials
    best = max(history, key=lambda trial: trial.value)
    large = weights(with_history(history))
    best.value = math.inf
    assert large and are_equal(weights(with_history(history)), large)


# What becomes a trial


def test_known_ones_are_not_chosen_again() -> None:
    study = run(SPACES["static"], 20)
    params = [repr(trial.params) for trial in study.trials]
    assert all(params[n] not in params[:n] for n in range(4, 20))


def test_a_space_with_nothing_left_goes_on() -> None:
    study = run(SPACES["static"], 40)
    assert len({repr(trial.params) for trial in study.trials}) > 24  # of 27
    assert len(study.trials) == 40


def test_enqueued_values_are_kept_and_the_rest_suits_them() -> None:
    study = run(SPACES["conditional"], 20)
    for depth in (1, 2, 3):
        study.enqueue_trial({"depth": depth, "norm": False})
    study.optimize(SPACES["conditional"], n_trials=3)
    for depth, trial in zip((1, 2, 3), study.trials[20:], strict=True):
        assert trial.params["depth"] == depth and not trial.params["norm"]
        assert len(trial.params) == depth + 2


def test_exploration_is_a_share_of_the_trials() -> None:
    """Without it the best candidate is taken, with it one of the better half."""
    history = run(SPACES["numeric"], 10, optuna.samplers.RandomSampler(seed=0)).trials
    positions = []
    for exploration in (0.0, 1.0):
        for seed in range(10):
            study = with_history(history, exploration=exploration, seed=seed, steps=1)
            trial = study.ask()
            SPACES["numeric"](trial)
            ranked = study.sampler._plans[trial._trial_id].ranked  # type: ignore[attr-defined]
            positions.append([dict(c.params) for c in ranked].index(trial.params))
            assert positions[-1] <= len(ranked) // 2
    assert positions[:10] == [0] * 10
    assert len(set(positions[10:])) > 3


# Graphs


def chain(params: Any) -> Any:
    """Encode the conditional space: a layer is a node, in a chain."""
    depth = params["depth"]
    groups = math.log2(params["groups"]) / 3 if params["norm"] else -1.0
    widths = [math.log2(params[f"width{i}"] / 16) for i in range(depth)]
    return np.eye(depth, k=1), [[width, groups] for width in widths]


def test_encode_is_asked_and_a_sum_over_nodes_is_learned() -> None:
    sampler = make(encode=chain, n_startup_trials=10, **LEARNING)
    study = run(SPACES["conditional"], 24, sampler)
    assert is_better_than_chance([trial.value for trial in study.trials[10:]], "conditional")


def test_values_that_bring_unknown_parameters_are_explored() -> None:
    """The history has networks of one layer; only a trial can tell what more layers need."""
    history = run(SPACES["conditional"], 40, optuna.samplers.RandomSampler(seed=0)).trials
    shallow = [trial for trial in history if trial.params["depth"] == 1]
    depths = {}
    for exploration in (0.0, 0.5):
        study = with_history(shallow, encode=chain, exploration=exploration)
        study.optimize(SPACES["conditional"], n_trials=10)
        depths[exploration] = {t.params["depth"] for t in study.trials}
    assert depths == {0.0: {1}, 0.5: {1, 2, 3}}


def test_what_encode_does_not_read_changes_no_weights() -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("rate", 0, 1)
        return SPACES["conditional"](trial)

    history = run(objective, 8, optuna.samplers.RandomSampler(seed=0)).trials
    fits = []
    for rate in (0.1, 0.9):
        for trial in history:
            trial.params["rate"] = rate
        fits.append(weights(with_history(history, encode=chain)))
    assert fits[0] and are_equal(*fits)


def test_a_trial_that_cannot_be_encoded_is_an_error_that_names_it() -> None:
    def encode(params: Any) -> Any:
        return np.zeros((1, 1)), [[params["missing"]]]

    study = optuna.create_study(sampler=make(encode=encode), direction="maximize")
    with pytest.raises(ValueError, match="(?s)trial 0.*missing.*adjacency"):
        study.optimize(SPACES["static"], n_trials=6)
    assert study.trials[-1].state == TrialState.FAIL


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda params: (np.zeros((2, 2)), np.zeros((3, 1))), r"shape \(2, 2\)"),
        (lambda params: (np.zeros((1, 1)), np.zeros(1)), r"the features \(1,\)"),
        (lambda params: (np.zeros((1, 1)), [[math.nan]]), "finite"),
        (lambda params: (np.zeros((1, 1)), np.zeros((1, 1 + params["n"]))), "features, those bef"),
        (lambda params: 3, "TypeError"),
    ],
)
def test_what_is_no_graph_is_refused(encode: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(SPACES["numeric"], 6, make(encode=encode))


def test_candidates_that_cannot_be_encoded_are_left_out() -> None:
    """Sets that the objective would never ask for do not stop the search."""

    def encode(params: Any) -> Any:
        if params["x"] > 0:
            raise RuntimeError("not possible")
        return np.zeros((1, 1)), [[params["x"], params["y"]]]

    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", -1, 1) + trial.suggest_float("y", 0, 1)

    history = run(objective, 30, optuna.samplers.RandomSampler(seed=0)).trials
    study = with_history([t for t in history if t.params["x"] <= 0], encode=encode)
    assert len(study.trials) >= 4
    study.optimize(objective, n_trials=4)
    assert all(trial.params["x"] <= 0 for trial in study.trials)


# With zero-cost scores


def with_warmup(pretrain: str | None, **arguments: Any) -> ZeroCostSampler:
    return ZeroCostSampler(
        size_scorer(SPACES["conditional"]),
        base_sampler=make(pretrain=pretrain, n_startup_trials=99, **LEARNING),
        ranking="size",
        **{"warmup": Warmup(candidates=60, trials=2), "moves": 1, "seed": 0, **arguments},
    )


@pytest.mark.parametrize(("pretrain", "sign"), [("size", 1), ("+size", 1), ("-size", -1)])
def test_scores_of_the_warmup_are_learned_before_values_are_there(
    pretrain: str, sign: int
) -> None:
    """The objective tells nothing; the scores tell which way to go."""

    def objective(trial: optuna.Trial) -> float:
        SPACES["conditional"](trial)
        return 0.0

    study = run(objective, 12, with_warmup(pretrain))
    sizes = [trial.user_attrs["zerocost:size"] for trial in study.trials[2:]]
    assert is_better_than_chance(sizes, "conditional", sign)


def test_without_scores_nothing_is_pretrained() -> None:
    plain = run(SPACES["conditional"], 10)
    asked = run(SPACES["conditional"], 10, make(pretrain="size"))
    other = run(SPACES["conditional"], 10, with_warmup("other"))
    assert summary(asked) == summary(plain)
    assert summary(other) == summary(run(SPACES["conditional"], 10, with_warmup(None)))


def test_moves_are_different_candidates_of_one_order() -> None:
    study = run(SPACES["conditional"], 12, with_warmup("size", moves=6))
    # There are fewer until the trials have shown what the objective may ask for.
    assert [t.user_attrs["zerocost:candidates"] for t in study.trials[7:]] == [6] * 5
    again = run(SPACES["conditional"], 12, with_warmup("size", moves=6))
    assert summary(again) == summary(study)


def test_with_moves_alone_random_trials_differ() -> None:
    sampler = ZeroCostSampler(
        size_scorer(SPACES["numeric"]),
        base_sampler=make(),
        warmup=None,
        ranking="size",
        moves=5,
        seed=0,
    )
    study = run(SPACES["numeric"], 10, sampler)
    assert [trial.user_attrs["zerocost:candidates"] for trial in study.trials] == [5] * 10


# In pipelines


def test_hyperband() -> None:
    def train(trial: optuna.Trial) -> float:
        value = SPACES["conditional"](trial)
        for step in range(1, 10):
            trial.report(value * step / 9, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    for sampler in (make(), with_warmup("size", moves=3)):
        study = optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")
        study.optimize(train, n_trials=20)
        states = {trial.state for trial in study.trials}
        assert states == {TrialState.COMPLETE, TrialState.PRUNED}


def test_several_objectives_get_nearer_to_the_front() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        x, y = (trial.suggest_float(name, 0, 1) for name in "xy")
        return x + y, x - y + 1  # a larger y is worse for the first, better for the second

    study = optuna.create_study(directions=["minimize", "minimize"], sampler=make(steps=40))
    study.optimize(objective, n_trials=30)
    # Whatever y, a smaller x is better for both.
    assert np.mean([trial.params["x"] for trial in study.trials[10:]]) < 0.35


def test_threads() -> None:
    study = optuna.create_study(sampler=make(), direction="maximize")
    study.optimize(SPACES["conditional"], n_trials=12, n_jobs=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 12
    assert not study.sampler._plans  # type: ignore[attr-defined]


def test_parameters_outside_of_the_history_are_drawn() -> None:
    study = run(SPACES["static"], 6)
    trial = study.ask({"new": optuna.distributions.FloatDistribution(0, 1)})
    assert 0 <= trial.params["new"] <= 1
    assert SPACES["static"](trial) >= 0


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("n_startup_trials", 0, "at least 1"),
        ("refit_every", 2.5, "integer"),
        ("candidates", True, "integer"),
        ("layers", 0, "at least 1"),
        ("hidden", -3, "at least 1"),
        ("steps", "many", "integer"),
        ("exploration", 1.5, "share"),
        ("pretrain", "", "names scores"),
    ],
)
def test_wrong_arguments_are_refused(argument: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelationPredictorSampler(**{argument: value})


def test_encode_must_be_a_function() -> None:
    with pytest.raises(TypeError, match="function from a trial's parameters"):
        RelationPredictorSampler(encode=np.zeros((2, 2)))  # type: ignore[arg-type]
