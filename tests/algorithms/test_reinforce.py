"""``ReinforceSampler``: equal to a naive twin, and a function of the study's history."""

from __future__ import annotations

import datetime
import json
import math
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

import optuna_zerocost
from optuna_zerocost import ReinforceSampler, Warmup, ZeroCostSampler
from optuna_zerocost.algorithms._policy import Policy
from tests.spaces import OPERATIONS, SPACES, size_scorer

# A space with everything that a policy can be over, and one parameter that is not always there.
SPACE: dict[str, BaseDistribution] = {
    "depth": IntDistribution(1, 3),
    "operation": CategoricalDistribution(OPERATIONS),
    "rate": FloatDistribution(0.1, 0.7, step=0.2),
    "groups": IntDistribution(1, 8, log=True),
}
VALUES: dict[str, list[Any]] = {
    "depth": [1, 2, 3],
    "operation": OPERATIONS,
    "rate": [min(0.1 + index * 0.2, 0.7) for index in range(4)],
    "groups": list(range(1, 9)),
}
START = datetime.datetime(2026, 1, 1)

few = settings(max_examples=30)  # a history has many cases in it

Past = tuple[dict[str, Any], Any]  # parameters, and a value or what a pruned trial reported


def finished(
    past: Past, *, minute: int, space: dict[str, BaseDistribution] = SPACE
) -> FrozenTrial:
    """Return a trial that was completed at ``minute``."""
    params, outcome = past
    is_pruned = isinstance(outcome, dict)
    trial = create_trial(
        state=TrialState.PRUNED if is_pruned else TrialState.COMPLETE,
        params=params,
        distributions={name: space[name] for name in params},
        value=None if is_pruned else outcome,
        intermediate_values=outcome if is_pruned else None,
    )
    trial.datetime_complete = START + datetime.timedelta(minutes=minute)
    return trial


def study_of(history: Sequence[Past], direction: str = "maximize", **arguments: Any) -> Any:
    study = optuna.create_study(direction=direction)
    for minute, past in enumerate(history):
        study.add_trial(finished(past, minute=minute, **arguments))
    return study


def learned(
    study: optuna.Study, sampler: ReinforceSampler | None = None
) -> dict[str, list[float]]:
    sampler = sampler or ReinforceSampler()
    return {name: sampler.probabilities(study, name, SPACE[name]) for name in SPACE}


@st.composite
def params_of_space(draw: Callable[[Any], Any]) -> dict[str, Any]:
    params = {name: draw(st.sampled_from(VALUES[name])) for name in SPACE if name != "groups"}
    if params["depth"] > 1:
        params["groups"] = draw(st.sampled_from(VALUES["groups"]))
    return params


values = st.integers(-3, 3).map(float) | st.just(math.inf) | st.just(-math.inf)
histories = st.lists(st.tuples(params_of_space(), values), max_size=10)
reports = st.dictionaries(st.integers(0, 3), values | st.just(math.nan), max_size=2)
histories_with_pruned = st.lists(st.tuples(params_of_space(), values | reports), max_size=10)


# What is learned


def twin(
    history: Sequence[Past], *, learning_rate: float, momentum: float, entropy_weight: float
) -> dict[str, list[float]]:
    """REINFORCE by automatic differentiation, with all sums written out."""
    logits = {
        name: torch.zeros(len(VALUES[name]), dtype=torch.float64, requires_grad=True)
        for name in SPACE
    }
    with torch.no_grad():
        for index, value in enumerate(VALUES["groups"]):
            logits["groups"][index] = math.log(math.log(value + 0.5) - math.log(value - 0.5))
    start = {
        name: torch.log_softmax(values.detach().clone(), 0) for name, values in logits.items()
    }
    optimizer = torch.optim.Adam(logits.values(), lr=learning_rate)
    rewards: list[float] = []
    for number, (params, value) in enumerate(history):
        beaten = [1.0 if value > v else 0.5 if value == v else 0.0 for _, v in history[:number]]
        rewards.append(sum(beaten) / number if number else 0.5)
        weights = [momentum**age for age in reversed(range(number + 1))]
        total = sum(weight * reward for weight, reward in zip(weights, rewards, strict=True))
        advantage = rewards[-1] - total / sum(weights)
        loss = torch.zeros((), dtype=torch.float64)
        for name, choice in params.items():
            log_policy = torch.log_softmax(logits[name], 0)
            loss = loss - advantage * log_policy[VALUES[name].index(choice)]
            divergence = (log_policy.exp() * (log_policy - start[name])).sum()
            loss = loss + entropy_weight * divergence
        optimizer.zero_grad(set_to_none=True)  # a parameter without gradient makes no step
        loss.backward()
        optimizer.step()
    return {name: torch.softmax(values, 0).tolist() for name, values in logits.items()}


def assert_as_twin(history: Sequence[Past], **arguments: float) -> None:
    got = learned(
        study_of(history),
        ReinforceSampler(
            arguments["learning_rate"],
            arguments["momentum"],
            entropy_weight=arguments["entropy_weight"],
        ),
    )
    expected = twin(history, **arguments)
    for name in SPACE:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6)


learning_rates = st.sampled_from([0.01, 0.1, 0.5])


@few
@given(histories, learning_rates, st.sampled_from([0.0, 0.5, 0.9]))
def test_the_policies_are_those_of_a_naive_twin(
    history: list[Past], learning_rate: float, momentum: float
) -> None:
    assert_as_twin(history, learning_rate=learning_rate, momentum=momentum, entropy_weight=0.0)


# Without ties there is an advantage from the second trial on. Where there is none, the twin's
# entropy has a gradient of rounding errors, and Adam makes a full step of it.
distinct = st.lists(
    st.tuples(params_of_space(), st.integers(-50, 50).map(float)),
    max_size=10,
    unique_by=lambda past: past[1],
)


@few
@given(distinct, learning_rates, st.sampled_from([0.01, 0.1, 1.0]))
def test_with_entropy_too(
    history: list[Past], learning_rate: float, entropy_weight: float
) -> None:
    assert_as_twin(
        history, learning_rate=learning_rate, momentum=0.9, entropy_weight=entropy_weight
    )


@few
@given(histories_with_pruned)
def test_minimizing_is_maximizing_the_negative(history: list[Past]) -> None:
    def negative(outcome: Any) -> Any:
        if isinstance(outcome, dict):
            return {step: -value for step, value in outcome.items()}
        return -outcome

    turned = [(params, negative(outcome)) for params, outcome in history]
    assert learned(study_of(history)) == learned(study_of(turned, "minimize"))


@few
@given(histories, st.sampled_from([lambda y: 1e-9 * y + 5e-9, lambda y: y**3 * 1e6, math.atan]))
def test_only_the_order_of_the_values_matters(
    history: list[Past], transformed: Callable[[float], float]
) -> None:
    changed = [(params, transformed(value)) for params, value in history]
    assert learned(study_of(history)) == learned(study_of(changed))


@few
@given(histories, st.permutations(OPERATIONS))
def test_the_order_of_the_choices_does_not_matter(
    history: list[Past], permuted: list[str]
) -> None:
    distribution = CategoricalDistribution(permuted)
    study = study_of(history, space={**SPACE, "operation": distribution})
    got = ReinforceSampler().probabilities(study, "operation", distribution)
    expected = learned(study_of(history))["operation"]
    np.testing.assert_allclose(got, [expected[OPERATIONS.index(o)] for o in permuted], rtol=1e-9)


@few
@given(histories_with_pruned)
def test_a_pruned_trial_is_worse_than_any_complete_one(history: list[Past]) -> None:
    """And of two pruned ones the later is better, then the one with the better value."""

    def merit(report: dict[int, float]) -> tuple[float, float]:
        if not report:
            return (-1, 0)
        value = report[max(report)]
        return (max(report), -math.inf if math.isnan(value) else value)

    pruned = sorted({merit(outcome) for _, outcome in history if isinstance(outcome, dict)})
    complete = sorted({outcome for _, outcome in history if not isinstance(outcome, dict)})
    ranked = [
        (
            params,
            float(pruned.index(merit(outcome)))
            if isinstance(outcome, dict)
            else float(len(pruned) + complete.index(outcome)),
        )
        for params, outcome in history
    ]
    assert learned(study_of(history)) == learned(study_of(ranked))


@few
@given(histories, params_of_space())
def test_failed_waiting_and_running_trials_teach_nothing(
    history: list[Past], params: dict[str, Any]
) -> None:
    study = study_of(history)
    before = learned(study)
    failed = finished((params, 0.0), minute=1000)
    failed.state, failed.values = TrialState.FAIL, None
    study.add_trial(failed)
    study.enqueue_trial(params)
    study.ask(SPACE)
    assert learned(study) == before


def test_a_constant_objective_teaches_nothing() -> None:
    """Not even that an integer's logarithmic scale should be a linear one."""
    generator = np.random.default_rng(0)
    history = [
        ({name: generator.choice(VALUES[name]).item() for name in SPACE}, 1.0) for _ in range(50)
    ]
    untrained = learned(study_of([]))
    for name, probabilities in learned(study_of(history)).items():
        np.testing.assert_allclose(probabilities, untrained[name], rtol=1e-9)


def test_each_range_of_a_parameter_is_learned_by_itself() -> None:
    narrow, wide = IntDistribution(1, 3), IntDistribution(1, 10)
    history = [({"n": value}, float(value)) for value in [1, 3, 2, 3, 1, 3]]
    study = study_of(history, space={"n": narrow})
    sampler = ReinforceSampler()
    before = sampler.probabilities(study, "n", narrow)
    assert max(before) == before[2]
    assert set(sampler.probabilities(study, "n", wide)) == {1 / 10}
    for minute, value in enumerate([10, 1, 10, 1], start=100):
        study.add_trial(finished(({"n": value}, float(value)), minute=minute, space={"n": wide}))
    assert sampler.probabilities(study, "n", narrow) == before
    after = sampler.probabilities(study, "n", wide)
    assert max(after) == after[-1]


@pytest.mark.filterwarnings("ignore:Fixed parameter:UserWarning")
def test_an_enqueued_value_out_of_range_does_no_harm() -> None:
    def objective(trial: optuna.Trial) -> float:
        return float(trial.suggest_int("n", 1, 4) + trial.suggest_int("m", 1, 4))

    study = optuna.create_study(direction="maximize", sampler=ReinforceSampler(seed=0))
    for n in (-1, 100):
        study.enqueue_trial({"n": n, "m": 2})
    study.optimize(objective, n_trials=10)
    assert [trial.params["n"] for trial in study.trials[:2]] == [-1, 100]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 10


def test_the_best_choices_become_likely() -> None:
    """On a separable space, for every seed: of each parameter the best choice is in front."""
    sizes = [2, 3, 4, 5]

    def objective(trial: optuna.Trial) -> float:
        return float(sum(trial.suggest_categorical(f"p{k}", range(k)) == k - 1 for k in sizes))

    for seed in range(5):
        study = optuna.create_study(direction="maximize", sampler=ReinforceSampler(seed=seed))
        study.optimize(objective, n_trials=200)
        for k in sizes:
            probabilities = ReinforceSampler().probabilities(
                study, f"p{k}", CategoricalDistribution(range(k))
            )
            assert probabilities[-1] == max(probabilities) > 2 / (k + 1)
        found = [trial.value or 0.0 for trial in study.trials]
        assert sum(found[-50:]) > sum(found[:50])


# What is drawn


def draw_many(
    sampler: Any, name: str, distribution: BaseDistribution, study: optuna.Study, count: int
) -> list[Any]:
    trials = [create_trial(value=0.0) for _ in range(count)]
    for number, trial in enumerate(trials):
        trial.number = number
    return [sampler.sample_independent(study, trial, name, distribution) for trial in trials]


def assert_drawn_from(drawn: Sequence[Any], probabilities: dict[Any, float]) -> None:
    """Within five standard errors, each value is as frequent as it is probable."""
    counts = Counter(drawn)
    assert set(counts) <= set(probabilities)
    for value, probability in probabilities.items():
        error = math.sqrt(probability * (1 - probability) / len(drawn))
        assert abs(counts[value] / len(drawn) - probability) <= 5 * error


@pytest.mark.parametrize("name", SPACE)
def test_an_untrained_policy_draws_as_the_random_sampler(name: str) -> None:
    study = study_of([])
    drawn = draw_many(RandomSampler(seed=0), name, SPACE[name], study, 3000)
    assert_drawn_from(drawn, dict(zip(VALUES[name], learned(study)[name], strict=True)))


@pytest.mark.parametrize("name", SPACE)
def test_draws_are_as_frequent_as_they_are_probable(name: str) -> None:
    """The generators of different trials, with neighbouring seeds, are independent."""
    study = study_of([({name: VALUES[name][i % 3]}, float(i % 3)) for i in range(20)])
    probabilities = dict(zip(VALUES[name], learned(study)[name], strict=True))
    assert len(set(probabilities.values())) > 1
    sampler = ReinforceSampler(seed=0)
    drawn = draw_many(sampler, name, SPACE[name], study, 3000)
    assert_drawn_from(drawn, probabilities)
    # And those of one trial.
    trial = study.ask()
    frozen = study.trials[-1]
    drawn = [sampler.sample_independent(study, frozen, name, SPACE[name]) for _ in range(3000)]
    assert_drawn_from(drawn, probabilities)
    study.tell(trial, 0.0)


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(-1.0, 1.0),
        FloatDistribution(1e-3, 1.0, log=True),
        IntDistribution(1, 5),
        FloatDistribution(0.0, 1.0, step=0.25),
    ],
)
def test_what_has_no_policy_comes_from_the_independent_sampler(
    distribution: BaseDistribution,
) -> None:
    independent = RandomSampler(seed=5)
    sampler = ReinforceSampler(max_values=4, independent_sampler=independent)
    study = optuna.create_study(sampler=sampler)
    drawn = [study.ask({"x": distribution}).params["x"] for _ in range(5)]
    alone = optuna.create_study(sampler=RandomSampler(seed=5))
    assert drawn == [alone.ask({"x": distribution}).params["x"] for _ in range(5)]
    with pytest.raises(ValueError, match=r"no policy.*max_values=4.*RandomSampler draws 'x'"):
        sampler.probabilities(study, "x", distribution)


# A function of the history


@few
@given(histories_with_pruned, st.data())
def test_going_on_equals_starting_from_scratch(history: list[Past], data: st.DataObject) -> None:
    """Whatever the order in which trials become visible: their completion is what counts."""
    study, other = optuna.create_study(), optuna.create_study()
    sampler = ReinforceSampler()
    for minute in data.draw(st.permutations(range(len(history)))):
        for each in (study, other) if data.draw(st.booleans()) else (study,):
            each.add_trial(finished(history[minute], minute=minute))
            assert learned(each, sampler) == learned(each)
    assert learned(study, sampler) == learned(study_of(history, "minimize"))


def test_no_trial_is_learned_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the time for a trial does not grow with the number of steps made before."""
    steps = Counter[str]()
    learn = Policy.learn

    def count(policy: Policy, value: Any, *arguments: Any, **named: Any) -> Policy:
        steps[str(policy.distribution)] += 1
        return learn(policy, value, *arguments, **named)

    monkeypatch.setattr(Policy, "learn", count)
    study = optuna.create_study(sampler=ReinforceSampler(seed=0))
    study.optimize(objective, n_trials=40)
    taught = Counter(str(d) for t in study.trials[:-1] for d in t.distributions.values())
    assert steps == taught


def objective(trial: Any) -> float:
    # Values that repeat, so that ties matter.
    return float(SPACES["conditional"](trial) % 50)


def summary(study: optuna.Study) -> list[Any]:
    return [(trial.params, trial.values, trial.state) for trial in study.trials]


def test_a_resumed_study_goes_on_as_an_uninterrupted_one(tmp_path: pathlib.Path) -> None:
    in_one_go = optuna.create_study(sampler=ReinforceSampler(seed=1))
    in_one_go.optimize(objective, n_trials=20)
    storage = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="s", storage=storage)
    for count in (1, 5, 14):
        study = optuna.load_study(
            study_name="s", storage=storage, sampler=ReinforceSampler(seed=1)
        )
        study.optimize(objective, n_trials=count)
    assert summary(study) == summary(in_one_go)
    elsewhere = optuna.create_study(sampler=ReinforceSampler(seed=2))
    elsewhere.optimize(objective, n_trials=20)
    assert summary(elsewhere) != summary(in_one_go)


def test_a_pickled_sampler_goes_on_as_the_original() -> None:
    studies = []
    for is_pickled in (False, True):
        study = optuna.create_study(sampler=ReinforceSampler(seed=1))
        study.optimize(objective, n_trials=10)
        if is_pickled:
            study.sampler = pickle.loads(pickle.dumps(study.sampler))
        study.optimize(objective, n_trials=10)
        studies.append(summary(study))
    assert studies[0] == studies[1]


def test_without_a_seed_no_two_studies_are_alike() -> None:
    sampler = ReinforceSampler()
    studies = []
    for _ in range(2):
        study = optuna.create_study(sampler=sampler)
        study.optimize(objective, n_trials=20)
        studies.append(summary(study))
    assert studies[0] != studies[1]


def test_interleaved_trials_do_not_share_their_draws() -> None:
    """What a trial draws does not depend on whether another one draws in between."""

    def run(*, interleaved: bool) -> list[Any]:
        study = optuna.create_study(sampler=ReinforceSampler(seed=1))
        trials = [study.ask() for _ in range(3)]
        names = [f"p{i}" for i in range(8)]
        pairs = [(trial, name) for trial in trials for name in names]
        for trial, name in sorted(pairs, key=lambda pair: pair[1]) if interleaved else pairs:
            trial.suggest_categorical(name, OPERATIONS)
        return [trial.params for trial in study.trials]

    assert run(interleaved=True) == run(interleaved=False)
    assert len({json.dumps(params) for params in run(interleaved=True)}) == 3


def test_optimize_in_threads() -> None:
    study = optuna.create_study(sampler=ReinforceSampler(seed=1))
    study.optimize(objective, n_trials=40, n_jobs=4)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 40
    assert len({json.dumps(trial.params) for trial in study.trials[:4]}) > 1


WORKER = """
    import sys, time
    import optuna
    from optuna.distributions import IntDistribution
    from optuna.trial import TrialState
    from optuna_zerocost import ReinforceSampler
    from tests.spaces import SPACES

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = ReinforceSampler(seed=0)
    study = optuna.load_study(study_name="shared", storage=sys.argv[1], sampler=sampler)
    study.optimize(SPACES["conditional"], n_trials=10)
    while len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])) < 20:
        time.sleep(0.05)
    print(sampler.probabilities(study, "depth", IntDistribution(1, 3)))
"""


def test_two_processes_come_to_the_same_policies(tmp_path: pathlib.Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="shared", storage=storage)
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    root = str(pathlib.Path(optuna_zerocost.__file__).parents[1])
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), storage],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    printed = []
    for worker in workers:
        output, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
        printed.append(json.loads(output))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 20
    policy = ReinforceSampler().probabilities(study, "depth", IntDistribution(1, 3))
    assert printed == [policy, policy]
    assert len(set(policy)) == 3


# Inside Optuna


@pytest.mark.parametrize("space", SPACES)
def test_every_kind_of_space(space: str) -> None:
    """A value is one that the objective can ask for, and the policies follow what it asks."""
    study = optuna.create_study(sampler=ReinforceSampler(seed=0))
    study.optimize(SPACES[space], n_trials=30)
    assert len(study.trials) == 30
    for trial in study.trials:
        assert trial.value == SPACES[space](optuna.trial.FixedTrial(trial.params))
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            assert distribution.to_external_repr(distribution.to_internal_repr(value)) == value


def test_what_was_replayed_does_not_matter_under_hyperband() -> None:
    """The brackets show different histories of one study to the sampler."""

    def pruned(trial: optuna.Trial) -> float:
        value = objective(trial)
        for step in range(9):
            trial.report(value + step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    studies = []
    for is_forgetful in (False, True):
        pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
        study = optuna.create_study(
            study_name="brackets", sampler=ReinforceSampler(seed=0), pruner=pruner
        )
        for _ in range(30):
            if is_forgetful:
                study.sampler = pickle.loads(pickle.dumps(study.sampler))
            study.optimize(pruned, n_trials=1)
        assert {t.state for t in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
        studies.append(summary(study))
    assert studies[0] == studies[1]


def test_move_proposal_takes_the_best_of_several_draws_from_the_policies() -> None:
    sampler = ZeroCostSampler(
        size_scorer(SPACES["static"]),
        base_sampler=ReinforceSampler(seed=0),
        warmup=Warmup(candidates=10, trials=2),
        moves=8,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(SPACES["static"], n_trials=12)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources[:2] == ["warmup"] * 2 and "move" in sources[2:]
    assert study.trials[2].user_attrs["zerocost:candidates"] > 1


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize"] * 2, sampler=ReinforceSampler())
    with pytest.raises(ValueError, match=r"study has 2 objectives.*NSGAIISampler"):
        study.optimize(lambda trial: (trial.suggest_int("n", 1, 3), 0.0), n_trials=1)
    assert study.trials[0].state == TrialState.FAIL


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"learning_rate": 0.0}, ValueError, "learning_rate is 0.0.*greater than 0"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate is nan"),
        ({"baseline_momentum": 1.0}, ValueError, "baseline_momentum is 1.0.*less than 1"),
        ({"entropy_weight": -0.1}, ValueError, "entropy_weight is -0.1.*0"),
        ({"max_values": 1}, ValueError, "max_values is 1.*at least 2"),
        ({"max_values": 2.5}, ValueError, "max_values is 2.5.*integer"),
        ({"seed": -1}, ValueError, "seed is -1.*None or an integer"),
        ({"seed": 0.5}, ValueError, "seed is 0.5.*None or an integer"),
        ({"independent_sampler": "tpe"}, TypeError, "is 'tpe'.*RandomSampler"),
    ],
)
def test_bad_arguments_say_what_to_do(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ReinforceSampler(**arguments)
