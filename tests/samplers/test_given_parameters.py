"""What a user enqueues or fixes runs, as with Optuna's own samplers, and is what is scored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler

from optuna_zerocost import AgingEvolutionSampler, Warmup, ZeroCostSampler
from optuna_zerocost.records import stored_pools

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Fixed parameter .* is out of range:UserWarning"),
]


def build(trial: Any) -> float:
    size = trial.suggest_int("depth", 1, 4) * trial.suggest_int("width", 8, 64, step=8)
    if trial.suggest_categorical("kind", ["bottleneck", "plain"]) == "bottleneck":
        return size + trial.suggest_float("share", 0.1, 1.0)
    return size + trial.suggest_int("kernel", 1, 9, step=2)


def objective(trial: Any) -> float:
    value = build(trial)
    trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    return value


def scorer(trial: Any) -> dict[str, float]:
    return {"size": build(trial)}


def learned(base: BaseSampler) -> ZeroCostSampler:
    return ZeroCostSampler(scorer, base_sampler=base, warmup=Warmup(20, 8), seed=0)


def by_score(base: BaseSampler) -> ZeroCostSampler:
    warmup = Warmup(20, 2)
    return ZeroCostSampler(
        scorer, base_sampler=base, ranking="size", warmup=warmup, moves=6, seed=0
    )


def neighbours(base: BaseSampler) -> ZeroCostSampler:
    return ZeroCostSampler(
        scorer, base_sampler=base, ranking="size", warmup=None, moves="neighbours", seed=0
    )


SAMPLERS = {"learned": learned, "by_score": by_score, "neighbours": neighbours}

# As Optuna takes them: out of the range, off the grid, of another type, of what is conditional,
# of what is no part of the architecture.
VALUES: dict[str, dict[str, Any]] = {
    "in range": {"depth": 2},
    "above": {"depth": 7},
    "off the grid": {"width": 13},
    "float for an integer": {"depth": 2.0},
    "conditional number": {"kind": "bottleneck", "share": 2.5},
    "conditional, off the grid": {"kind": "plain", "kernel": 4},
    "of either kind": {"share": 3.0, "kernel": 40},
    "hyperparameter": {"rate": 3.0},
    "everything": {"depth": 9, "width": 1000, "kind": "plain", "kernel": 11, "rate": 9.0},
}


def enqueued(make: Callable[[BaseSampler], BaseSampler], values: dict[str, Any]) -> Any:
    study = optuna.create_study(sampler=make(RandomSampler(seed=0)))
    for earlier in (0, 4, 9):  # within the warmup, while it learns, and once it has learned
        study.optimize(objective, n_trials=earlier) if earlier else None
        study.enqueue_trial(values)
        study.optimize(objective, n_trials=1)
    return study, [t for t in study.trials if "fixed_params" in t.system_attrs]


def inside(make: Callable[[BaseSampler], BaseSampler], values: dict[str, Any]) -> Any:
    study = optuna.create_study(sampler=make(PartialFixedSampler(values, RandomSampler(seed=0))))
    study.optimize(objective, n_trials=14)
    return study, study.trials


def around(make: Callable[[BaseSampler], BaseSampler], values: dict[str, Any]) -> Any:
    study = optuna.create_study(sampler=make(RandomSampler(seed=0)))
    study.optimize(objective, n_trials=5)
    study.sampler = PartialFixedSampler(values, study.sampler)
    study.optimize(objective, n_trials=9)
    return study, study.trials[5:]


WAYS = {"enqueued": enqueued, "inside": inside, "around": around}


def out_of_range(trials: list[optuna.trial.FrozenTrial]) -> Iterator[str]:
    for trial in trials:
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            if not distribution._contains(distribution.to_internal_repr(value)):
                yield name


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_given_values_run_and_are_what_is_scored(
    sampler: str, way: str, values: dict[str, Any]
) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        study, given = WAYS[way](SAMPLERS[sampler], values)
    assert given and all(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    for trial in given:
        asked = {name: value for name, value in values.items() if name in trial.params}
        assert {name: trial.params[name] for name in asked} == asked
    for trial in study.trials:
        assert trial.user_attrs["zerocost:size"] == pytest.approx(trial.value)
    # Optuna's own warning, once for each of them and not once for each candidate.
    told = [str(w.message) for w in said if "is out of range" in str(w.message)]
    assert len(told) == len(list(out_of_range(given)))
    assert len([w for w in said if w.category is UserWarning]) == len(told)


@pytest.mark.parametrize("sampler", ["by_score", "neighbours"])
@pytest.mark.parametrize("values", [{"depth": 2}, {"width": 13}], ids=str)
def test_around_the_sampler_no_architecture_is_repeated(
    sampler: str, values: dict[str, Any]
) -> None:
    study, _ = around(SAMPLERS[sampler], values)
    architectures = [
        tuple(value for name, value in sorted(trial.params.items()) if name != "rate")
        for trial in study.trials
    ]
    assert len(set(architectures)) == len(architectures)


def test_the_pool_that_is_there_is_used_with_what_is_fixed_later() -> None:
    study = optuna.create_study(sampler=learned(RandomSampler(seed=0)))
    study.optimize(objective, n_trials=10)
    assert len(stored_pools(study)) == 1
    study.sampler = PartialFixedSampler({"depth": 2}, study.sampler)
    study.optimize(objective, n_trials=3)
    assert len(stored_pools(study)) == 1
    assert {trial.params["depth"] for trial in study.trials[10:]} == {2}


def test_several_samplers_around_count_the_outermost_first() -> None:
    sampler = by_score(PartialFixedSampler({"depth": 1, "width": 8}, RandomSampler(seed=0)))
    study = optuna.create_study(sampler=sampler)
    study.sampler = PartialFixedSampler({"depth": 2}, study.sampler)
    study.sampler = PartialFixedSampler({"depth": 3}, study.sampler)
    study.optimize(objective, n_trials=5)
    assert {(t.params["depth"], t.params["width"]) for t in study.trials} == {(3, 8)}
    assert all(trial.user_attrs["zerocost:size"] == trial.value for trial in study.trials)


def test_a_parameter_with_one_value_has_it_whatever_is_fixed() -> None:
    def one_depth(trial: Any) -> float:
        return trial.suggest_int("depth", 3, 3) * trial.suggest_int("width", 1, 50)

    for fix in (lambda s: PartialFixedSampler({"depth": 5}, s), lambda s: s):
        sampler = ZeroCostSampler(
            lambda trial: {"size": one_depth(trial)},
            base_sampler=PartialFixedSampler({"depth": 4}, RandomSampler(seed=0)),
            ranking="size",
            warmup=Warmup(10, 2),
            moves=4,
        )
        study = optuna.create_study(sampler=fix(sampler))
        study.optimize(one_depth, n_trials=5)
        assert all(trial.user_attrs["zerocost:size"] == trial.value for trial in study.trials)


@pytest.mark.parametrize("values", [{"kind": "unknown"}, {"rate": -1.0}], ids=str)
@pytest.mark.filterwarnings("ignore:All .* were rejected")
def test_what_optuna_refuses_is_refused_in_its_words(values: dict[str, Any]) -> None:
    told = []
    for sampler in (RandomSampler(seed=0), by_score(RandomSampler(seed=0))):
        study = optuna.create_study(sampler=sampler)
        study.enqueue_trial(values)
        with pytest.raises(ValueError) as caught:
            study.optimize(objective, n_trials=1)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_evolution_goes_on_from_parents_that_are_out_of_range() -> None:
    base = AgingEvolutionSampler(3, 2, seed=0)
    study, given = enqueued(lambda _: neighbours(base), {"depth": 9, "width": 13})
    assert [trial.params["depth"] for trial in given] == [9, 9, 9]
    study.optimize(objective, n_trials=5)
    parents = {trial.system_attrs.get("zerocost:parent") for trial in study.trials}
    assert parents & {trial.number for trial in given}
    assert all(trial.user_attrs["zerocost:size"] == trial.value for trial in study.trials)
