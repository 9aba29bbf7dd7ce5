"""``report_network``: one line makes an existing objective the source of what is scored."""

from __future__ import annotations

import contextlib
import functools
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import optuna
import pytest
import torch
from optuna.trial import FixedTrial, FrozenTrial, create_trial
from torch import nn

from optuna_zerocost import Limits, ModelScorer, report_network
from optuna_zerocost.records import TRAINED
from optuna_zerocost.samplers._candidate_trial import random_trial
from optuna_zerocost.scoring import (
    CandidateRejected,
    TrialToScore,
    _network_run,
    evaluate,
)
from tests.reported_networks import BATCH, build, from_, sampler_of, study_of, with_step

PROXIES = ["synflow", "snip", "jacob_cov"]


def objective(trial: Any) -> float:
    network = build(trial)
    report_network(trial, network)
    rate = float(trial.suggest_float("rate", 1e-4, 1e-1, log=True))
    return rate * sum(parameter.numel() for parameter in network.parameters())


class Script:
    """An objective as a method, which counts what is done after the line."""

    trained = 0

    def objective(self, trial: Any) -> float:
        report_network(trial, build(trial))
        Script.trained += 1
        return 0.0


@pytest.mark.parametrize("options", [{}, {"meta": True}, {"limits": Limits(params=10**6)}])
def test_scores_and_parameters_are_those_of_a_builder(options: dict[str, Any]) -> None:
    ours = ModelScorer.from_objective(objective, BATCH, PROXIES, **options)
    theirs = ModelScorer(build, BATCH, PROXIES, **options)
    for seed in range(6):
        one, other = random_trial(seed), random_trial(seed)
        assert ours(one) == theirs(other)
        assert one.params == other.params and one.network == other.network
        assert "rate" not in one.params


def test_a_search_stores_the_scores_of_a_builder() -> None:
    study = study_of(from_(objective))
    study.optimize(objective, n_trials=6)
    scorer = ModelScorer(build, BATCH, ["synflow"])
    for trial in study.trials:
        own = scorer(FixedTrial(trial.params))
        assert trial.user_attrs["zerocost:synflow"] == own["synflow"]
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["warmup"] * 2 + ["move"] * 4


def test_what_comes_after_the_line_is_run_for_no_candidate() -> None:
    Script.trained = 0
    study = study_of(from_(Script().objective))
    study.optimize(Script().objective, n_trials=5)
    assert Script.trained == 5


def swallows_errors(trial: Any) -> float:
    with contextlib.suppress(Exception):
        try:
            report_network(trial, build(trial))
        except Exception:
            trial.suggest_float("caught", 0, 1)
    return float(trial.suggest_float("after", 0, 1))


def cleans_up(trial: Any) -> float:
    try:
        with torch.no_grad(), contextlib.ExitStack() as stack:
            stack.callback(CLEANED.append, "callback")
            report_network(trial, build(trial))
            return float(trial.suggest_float("after", 0, 1))
    finally:
        CLEANED.append("finally")


def fails_in_the_cleaning(trial: Any) -> float:
    try:
        report_network(trial, build(trial))
        return float(trial.suggest_float("after", 0, 1))
    finally:
        {}["nothing was trained"] if not trial.params.get("after") else None


CLEANED: list[str] = []


@pytest.mark.parametrize("function", [swallows_errors, cleans_up, fails_in_the_cleaning])
def test_the_end_passes_through_the_objectives_own_handlers(function: Any) -> None:
    CLEANED.clear()
    trial = random_trial(3)
    scores = from_(function)(trial)
    assert scores == ModelScorer(build, BATCH, ["synflow"])(random_trial(3))
    assert {"after", "caught"}.isdisjoint(trial.params)
    assert torch.is_grad_enabled()
    if function is cleans_up:
        assert CLEANED == ["callback", "finally"]


def test_an_objective_that_catches_all_is_told_once_and_scored_all_the_same() -> None:
    def catches_all(trial: Any) -> float:
        try:
            report_network(trial, build(trial))
        except BaseException:
            pass
        return float(trial.suggest_float("after", 0, 1))

    scorer, trial = from_(catches_all), random_trial(3)
    with pytest.warns(UserWarning, match="caught the exception .* Let it pass") as told:
        scores = scorer(trial)
        scorer(random_trial(4))
    assert len(told) == 1
    assert scores == ModelScorer(build, BATCH, ["synflow"])(random_trial(3))
    assert "after" not in trial.params


def test_in_a_trial_the_line_only_notes_what_the_network_is_like() -> None:
    study = optuna.create_study()
    trial = study.ask()
    network = build(trial)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert report_network(trial, network) is None  # type: ignore[func-returns-value]
    noted = study.trials[0].system_attrs[TRAINED]
    assert noted["class"] == "Sequential"
    assert noted["params"] == sum(parameter.numel() for parameter in network.parameters())
    assert not trial.user_attrs
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_the_first_of_several_networks_counts() -> None:
    def twice(trial: Any) -> float:
        network = build(trial)
        try:
            report_network(trial, network)
        finally:
            report_network(trial, nn.Linear(1, 1))
        return 0.0

    assert from_(twice)(random_trial(0)) == from_(objective)(random_trial(0))
    study = optuna.create_study()
    study.optimize(twice, n_trials=1)
    assert study.trials[0].system_attrs[TRAINED]["class"] == "Sequential"


@pytest.mark.parametrize(
    "trial",
    [None, FixedTrial({}), create_trial(value=1.0), "no trial"],
    ids=lambda t: str(type(t)),
)
def test_elsewhere_the_line_does_nothing(trial: Any) -> None:
    assert report_network(trial, nn.Linear(1, 1)) is None  # type: ignore[func-returns-value]
    if isinstance(trial, FrozenTrial):
        assert not trial.system_attrs


def test_an_objective_that_is_called_by_hand_runs_to_its_end() -> None:
    params = {"width": 5, "deep": False, "rate": 0.1}
    assert objective(FixedTrial(params)) == pytest.approx(0.1 * (5 * 5 + 6 * 3))


@pytest.mark.parametrize(
    ("trial", "network", "words"),
    [
        (None, "resnet18", "of type str, but it must be the untrained torch.nn.Module"),
        (nn.Linear(1, 1), None, "the trial comes first"),
    ],
)
def test_what_is_no_network_is_told(trial: Any, network: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        report_network(trial, network)


def run_partly(width: int, trial: Any) -> float:
    network = nn.Linear(4, 3) if trial.suggest_int("width", 1, 3) > width else nn.LazyLinear(3)
    report_network(trial, network)
    return float(trial.suggest_float("rate", 0, 1))


class Callable_:
    def __call__(self, trial: Any) -> float:
        return objective(trial)


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(run_partly, 2),
        lambda trial: objective(trial),
        Callable_(),
        Script().objective,
    ],
    ids=["partial", "lambda", "object", "method"],
)
def test_an_objective_may_be_anything_that_is_called(function: Any) -> None:
    scorer = from_(function)
    assert scorer(random_trial(1)) == scorer(random_trial(1)) != {}
    study = study_of(scorer)
    study.optimize(function, n_trials=3)
    assert [t.user_attrs["zerocost:source"] for t in study.trials] == ["warmup"] * 2 + ["move"]


def test_a_scorer_may_be_pickled() -> None:
    scorer = from_(objective)
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy.fingerprint == scorer.fingerprint
    assert copy(random_trial(1)) == scorer(random_trial(1))


def test_threads_and_processes_change_nothing() -> None:
    alone = study_of(from_(objective))
    alone.optimize(objective, n_trials=2)
    for options, backend in (({"n_jobs": 2}, "threading"), ({"n_jobs": 2}, "loky")):
        study = study_of(from_(objective, **options))
        with joblib.parallel_config(backend=backend):
            study.optimize(objective, n_trials=2)
        assert [t.user_attrs["zerocost:synflow"] for t in study.trials] == [
            t.user_attrs["zerocost:synflow"] for t in alone.trials
        ]


def test_trials_in_several_threads_report_their_own() -> None:
    study = study_of(from_(objective))
    study.optimize(objective, n_trials=8, n_jobs=2)
    for trial in study.trials:
        network = build(FixedTrial(trial.params))
        expected = sum(parameter.numel() for parameter in network.parameters())
        assert trial.system_attrs[TRAINED]["params"] == expected


def test_an_objective_without_the_line_is_a_clear_error() -> None:
    study = study_of(from_(lambda trial: float(trial.suggest_float("x", 0, 1))))
    with pytest.raises(TypeError, match="did not call report_network.* right after the network"):
        study.optimize(lambda trial: float(trial.suggest_float("x", 0, 1)), n_trials=1)
    assert study.trials[0].state == optuna.trial.TrialState.FAIL


def test_a_long_training_is_not_run_in_vain_again(clock: Callable[[float], None]) -> None:
    scorer = from_(lambda trial: clock(3600.0))
    with pytest.raises(TypeError, match=r"in vain \(1 times, 3600\.0 s\)"):
        scorer(random_trial(0))


@pytest.mark.parametrize("first", range(4))
def test_an_objective_may_return_early_where_an_architecture_makes_no_sense(first: int) -> None:
    def sometimes(trial: Any) -> float:
        network = build(trial)
        if trial.params["deep"]:
            return float("inf")
        report_network(trial, network)
        return 0.0

    study = optuna.create_study(sampler=sampler_of(from_(sometimes), seed=first))
    study.optimize(sometimes, n_trials=4)
    assert all(not trial.params["deep"] for trial in study.trials)
    assert any(trial.user_attrs["zerocost:rejected"] for trial in study.trials)


def test_a_candidate_without_a_network_is_rejected() -> None:
    def sometimes(trial: Any) -> float:
        network = build(trial)
        if trial.params["deep"]:
            return 0.0
        report_network(trial, network)
        return 0.0

    def prunes(trial: Any) -> float:
        network = build(trial)
        if trial.params["deep"]:
            raise optuna.TrialPruned("too deep")
        report_network(trial, network)
        return 0.0

    flat, deep = {"width": 2, "deep": False}, {"width": 2, "deep": True, "inner": 3}
    for function, reason in ((sometimes, "did not call report_network"), (prunes, "too deep")):
        scorer = from_(function)
        assert evaluate(scorer, TrialToScore(flat))
        with pytest.raises(CandidateRejected, match=reason):
            evaluate(scorer, TrialToScore(deep))


def test_an_objective_may_run_a_study_of_its_own() -> None:
    def inner(trial: Any) -> float:
        report_network(trial, nn.Linear(2, 2))
        return float(trial.suggest_float("x", 0, 1))

    def outer(trial: Any) -> float:
        network = build(trial)
        optuna.create_study().optimize(inner, n_trials=1)
        report_network(trial, network)
        return 0.0

    assert from_(outer)(random_trial(2)) == from_(objective)(random_trial(2))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """A clock of the runs that goes on only when it is told to."""
    now = [0.0]
    monkeypatch.setattr(_network_run.time, "perf_counter", lambda: now[0])

    def pass_(seconds: float) -> None:
        now[0] += seconds

    yield pass_


def test_slow_work_before_the_line_is_told_of_once(clock: Callable[[float], None]) -> None:
    scorer = from_(with_step(before=lambda trial: clock(2.0)))
    with pytest.warns(UserWarning, match=r"takes 2\.0 s, .* Move what does not make") as told:
        for seed in range(8):
            scorer(random_trial(seed))
    assert len(told) == 1


def test_what_is_loaded_once_or_after_the_line_is_not_told_of(
    clock: Callable[[float], None],
) -> None:
    first = iter([60.0])
    scorer = from_(with_step(lambda trial: clock(next(first, 0.01)), lambda trial: clock(60.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(8):
            scorer(random_trial(seed))
