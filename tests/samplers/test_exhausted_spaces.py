"""Where no architecture is left, none is looked for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from optuna_zerocost import Warmup, ZeroCostSampler
from optuna_zerocost.records import KnownArchitectures

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

CALLS = {"scorer": 0}


def build(trial: Any) -> float:
    """Ask for one of 2 · (3 + 2 · 2) = 14 architectures."""
    size = trial.suggest_int("width", 8, 16, step=8)
    if trial.suggest_categorical("kind", ["plain", "wide"]) == "plain":
        return size + trial.suggest_int("kernel", 1, 5, step=2)
    return size * trial.suggest_float("share", 0.5, 1.0, step=0.5) + trial.suggest_int("n", 1, 2)


def scorer(trial: Any) -> dict[str, float]:
    CALLS["scorer"] += 1
    return {"size": build(trial)}


def every_architecture() -> Iterator[FrozenTrial]:
    values = {
        "width": [8, 16],
        "kind": ["plain", "wide"],
        "kernel": [1, 3, 5],
        "share": [0.5, 1.0],
        "n": [1, 2],
    }
    found = {}
    for combination in itertools.product(*values.values()):
        trial = FixedTrial(dict(zip(values, combination, strict=True)))
        value = build(trial)
        found[tuple(trial.params.items())] = create_trial(
            value=value, params=trial.params, distributions=trial.distributions
        )
    yield from found.values()


EVERY = list(every_architecture())


@settings(deadline=None, max_examples=200)
@given(st.permutations(range(len(EVERY))), st.sampled_from([len(EVERY), *range(len(EVERY))]))
def test_a_space_is_exhausted_when_every_architecture_is_there(
    order: list[int], count: int
) -> None:
    known = KnownArchitectures([EVERY[index] for index in order[:count]])
    assert known.is_exhausted({}) == (count == len(EVERY) == 14)


@given(st.permutations(range(len(EVERY))), st.integers(1, len(EVERY)))
def test_with_given_values_what_has_them_is_enough(order: list[int], count: int) -> None:
    known = KnownArchitectures([EVERY[index] for index in order[:count]])
    wide = sum(EVERY[index].params["kind"] == "wide" for index in order[:count])
    assert known.is_exhausted({"kind": "wide"}) == (wide == 8)


def test_what_may_not_be_whole_does_not_count() -> None:
    plain = next(trial for trial in EVERY if trial.params["kind"] == "plain")
    first = create_trial(
        state=TrialState.FAIL,
        params={"width": plain.params["width"]},
        distributions={"width": plain.distributions["width"]},
    )
    assert not KnownArchitectures([first, first]).is_exhausted({})
    assert not KnownArchitectures([*EVERY[:-1], first, first]).is_exhausted({})


def test_a_continuum_has_always_something_left() -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    assert not KnownArchitectures(study.trials).is_exhausted({})
    assert KnownArchitectures(study.trials[:1]).is_exhausted({"x": study.trials[0].params["x"]})


SAMPLERS: dict[str, dict[str, Any]] = {
    "learned": {},
    "by_score": {"ranking": "size", "warmup": Warmup(20, 4)},
    "neighbours": {"ranking": "size", "warmup": None, "moves": "neighbours"},
}


@pytest.mark.parametrize("options", SAMPLERS.values(), ids=SAMPLERS)
def test_every_architecture_is_trained_and_then_none_is_looked_for(
    options: dict[str, Any],
) -> None:
    sampler = ZeroCostSampler(scorer, base_sampler=RandomSampler(seed=0), seed=0, **options)
    study = optuna.create_study(sampler=sampler)
    study.optimize(build, n_trials=40)
    assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 14
    before = CALLS["scorer"]
    study.optimize(build, n_trials=6)
    assert CALLS["scorer"] - before <= 6
    assert [trial.user_attrs["zerocost:source"] for trial in study.trials[40:]] == ["base"] * 6
    assert all(trial.user_attrs["zerocost:size"] == trial.value for trial in study.trials)


def test_what_the_scorer_rejects_is_not_left_either() -> None:
    def picky(trial: Any) -> dict[str, float]:
        scores = scorer(trial)
        if trial.params.get("kernel") == 5:
            raise RuntimeError("no kernel of this size")
        return scores

    study = optuna.create_study(
        sampler=ZeroCostSampler(picky, base_sampler=RandomSampler(seed=0), seed=0)
    )
    study.optimize(build, n_trials=12)
    before = CALLS["scorer"]
    study.optimize(build, n_trials=6)
    drawn = sum(trial.user_attrs["zerocost:rejected"] for trial in study.trials[12:])
    assert CALLS["scorer"] - before == drawn + 6
    assert all(trial.params.get("kernel") != 5 for trial in study.trials)


def test_hyperparameters_are_searched_for_all_the_same() -> None:
    def objective(trial: Any) -> float:
        return build(trial) + trial.suggest_float("rate", 0, 1)

    sampler = ZeroCostSampler(scorer, base_sampler=RandomSampler(seed=0), seed=0)
    study = optuna.create_study(sampler=PartialFixedSampler({"kind": "wide", "n": 1}, sampler))
    study.optimize(objective, n_trials=14)
    learned = [t for t in study.trials if "zerocost:predicted" in t.user_attrs]
    assert len(learned) == 6
    assert len({trial.params["rate"] for trial in learned}) == 6
