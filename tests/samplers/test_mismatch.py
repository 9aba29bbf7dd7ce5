"""A trial that is not what was scored for it is told of, once, and no other one is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
import torch
from optuna.samplers import PartialFixedSampler, RandomSampler
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler, report_network
from tests.reported_networks import BATCH, build

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Fixed parameter .* is out of range:UserWarning"),
]


def objective(trial: Any) -> float:
    report_network(trial, build(trial))
    return float(trial.suggest_float("rate", 1e-4, 1e-1, log=True))


def sampler_of(build_model: Callable[[Any], nn.Module] = build, **options: Any) -> ZeroCostSampler:
    warmup = Warmup(8, 2, show_progress_bar=False)
    scorer = options.pop("scorer", None) or ModelScorer(build_model, BATCH, ["synflow"])
    return ZeroCostSampler(scorer, warmup=warmup, moves=3, seed=0, **options)


def told_by(
    function: Callable[[Any], float], sampler: Any = None, n_trials: int = 5, **options: Any
) -> list[str]:
    study = optuna.create_study(sampler=sampler or sampler_of())
    for params in options.pop("enqueued", ()):
        study.enqueue_trial(params)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study.optimize(function, n_trials=n_trials, **options)
    messages = [str(one.message) for one in caught if one.category is UserWarning]
    return [message for message in messages if message.startswith("Trial ")]


def of_other_names(trial: Any) -> float:
    network = nn.Linear(trial.suggest_int("units", 2, 64), 3)
    return float(sum(parameter.numel() for parameter in network.parameters()))


def of_another_range(trial: Any) -> float:
    trial.suggest_int("width", 2, 128)
    trial.suggest_categorical("deep", [False])
    return 0.0


def of_another_kind(trial: Any) -> float:
    trial.suggest_int("width", 100, 128)
    return 0.0


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (of_other_names, "it never asked for 'width', which was scored as"),
        (
            of_another_range,
            "it asked for 'width' from IntDistribution.*high=128.* was scored, from",
        ),
        (of_another_kind, "it asked for 'width' from .*low=100.* and got"),
    ],
)
@pytest.mark.parametrize("ranking", [None, "synflow"])
def test_other_parameters_are_told_of_once(
    function: Callable[[Any], float], words: str, ranking: Any
) -> None:
    import re

    (message,) = told_by(function, sampler_of(ranking=ranking))
    assert re.search(words, message)
    assert message.startswith("Trial 0 is not the architecture that was scored for it")
    assert "from_objective" in message


def wider(trial: Any) -> float:
    network = build(trial)
    network.append(nn.Linear(3, 3))
    report_network(trial, network)
    return 0.0


def with_another_activation(trial: Any) -> float:
    network = build(trial)
    network[1] = nn.PReLU()
    report_network(trial, network)
    return 0.0


@pytest.mark.parametrize("function", [wider, with_another_activation])
def test_another_network_for_the_same_parameters_is_told_of_once(
    function: Callable[[Any], float],
) -> None:
    (message,) = told_by(function)
    assert message.startswith("Trial 0 reported another network than the one that was scored")
    assert "parameters; the scorer makes Sequential with" in message


def test_another_network_is_found_where_an_objective_has_changed_since_it_was_scored() -> None:
    (message,) = told_by(wider, sampler_of(scorer=ModelScorer.from_objective(objective, BATCH)))
    assert "reported another network" in message


class Named(nn.Module):
    """A network with an attribute that differs from trial to trial."""

    def __init__(self, trial: Any, network: nn.Module) -> None:
        super().__init__()
        self.name = f"network of trial {trial.number}, {id(self)}"
        self.network = network

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.network(inputs)


def named(trial: Any) -> float:
    report_network(trial, Named(trial, build(trial)))
    return 0.0


def parallel(trial: Any) -> float:
    report_network(trial, nn.DataParallel(build(trial)))
    return 0.0


def without_the_line(trial: Any) -> float:
    build(trial)
    return float(trial.suggest_float("rate", 0, 1))


def prunes_at_once(trial: Any) -> float:
    raise optuna.TrialPruned


def prunes_halfway(trial: Any) -> float:
    trial.suggest_int("width", 2, 64)
    raise optuna.TrialPruned


def fails_halfway(trial: Any) -> float:
    trial.suggest_int("width", 2, 64)
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    "function",
    [
        objective,
        named,
        parallel,
        without_the_line,
        prunes_at_once,
        prunes_halfway,
        fails_halfway,
    ],
)
def test_no_false_alarm(function: Callable[[Any], float]) -> None:
    assert told_by(function, n_trials=8, catch=(RuntimeError,)) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_false_alarm_where_the_objective_itself_is_scored(n_jobs: int) -> None:
    for function in (objective, named):
        sampler = sampler_of(scorer=ModelScorer.from_objective(function, BATCH))
        assert told_by(function, sampler, n_trials=8, n_jobs=n_jobs) == []


@pytest.mark.parametrize("moves", [1, 3, "neighbours"])
@pytest.mark.parametrize("warmup", [None, Warmup(8, 2, show_progress_bar=False)])
def test_no_false_alarm_with_any_moves(moves: Any, warmup: Any) -> None:
    scorer = ModelScorer(build, BATCH)
    sampler = ZeroCostSampler(scorer, moves=moves, warmup=warmup, seed=0)
    assert told_by(objective, sampler, n_trials=6) == []


@pytest.mark.parametrize(
    "params",
    [
        {"width": 5},
        {"width": 5, "deep": True, "inner": 3},
        {"width": 100},
        {"inner": 40, "deep": True},
        {"rate": 1.0},
    ],
)
def test_no_false_alarm_where_parameters_are_enqueued_or_fixed(params: dict[str, Any]) -> None:
    assert told_by(objective, enqueued=[params] * 2) == []
    assert told_by(objective, PartialFixedSampler(params, sampler_of())) == []
    base = PartialFixedSampler(params, RandomSampler(seed=0))
    assert told_by(objective, sampler_of(base_sampler=base)) == []


def test_other_parameters_are_told_of_beside_fixed_ones() -> None:
    (message,) = told_by(of_other_names, PartialFixedSampler({"rate": 0.1}, sampler_of()))
    assert "never asked for 'width'" in message


def test_no_false_alarm_after_a_batch_that_asks() -> None:
    def batch(trial: Any) -> Any:
        repeats = trial.suggest_int("repeats", 1, 3)
        return BATCH[0].repeat(repeats, 1), BATCH[1].repeat(repeats)

    def asks(trial: Any) -> float:
        report_network(trial, build(trial))
        return float(trial.suggest_int("repeats", 1, 3))

    assert told_by(asks, sampler_of(scorer=ModelScorer(build, batch)), n_trials=8) == []
    assert told_by(asks, sampler_of(scorer=ModelScorer.from_objective(asks, batch))) == []


def test_a_study_that_goes_on_with_another_builder_is_told_of() -> None:
    study = optuna.create_study(sampler=sampler_of())
    study.optimize(objective, n_trials=3)
    study.sampler = sampler_of(lambda trial: nn.Linear(4, trial.suggest_int("units", 1, 9)))
    with (
        pytest.warns(UserWarning, match="Trial 3 is not .* never asked for 'units'"),
        pytest.warns(UserWarning, match="scores of another scorer: the builder's code"),
    ):
        study.optimize(objective, n_trials=2)


def of_all_kinds(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 4, 64, log=True) + trial.suggest_int("more", 0, 12, step=4)
    trial.suggest_categorical("kind", [None, True, 1.5, "plain"])
    trial.suggest_float("slope", 1e-7, 1.0, log=True)
    trial.suggest_float("third", 0.0, 1.0, step=0.1)
    trial.suggest_float("only", 0.3, 0.3)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))


@pytest.mark.parametrize("pruner", [None, optuna.pruners.HyperbandPruner(1, 9)])
def test_no_false_alarm_from_what_storages_make_of_values(tmp_path: Any, pruner: Any) -> None:
    def asks_and_reports(trial: Any) -> float:
        assert len(trial.study.trials) >= 0
        report_network(trial, of_all_kinds(trial))
        trial.report(1.0, 0)
        return float(trial.suggest_float("rate", 1e-4, 1e-1, log=True))

    for scorer in (
        ModelScorer(of_all_kinds, BATCH),
        ModelScorer.from_objective(asks_and_reports, BATCH),
    ):
        study = optuna.create_study(
            storage=f"sqlite:///{tmp_path / 'a.db'}",
            sampler=sampler_of(scorer=scorer),
            pruner=pruner,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            study.optimize(asks_and_reports, n_trials=6)
        assert {trial.user_attrs["zerocost:rejected"] for trial in study.trials} == {0}
