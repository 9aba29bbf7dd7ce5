"""New parameter sets are ones that the objective could ask for; vectors tell sets apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

from optuna_zerocost.algorithms._one_hot import OneHotEncoder
from optuna_zerocost.algorithms._parameter_sets import ParameterSets
from tests.spaces import SPACES


def past(space: str, count: int, seed: int = 0) -> list[Any]:
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    study.optimize(SPACES[space], n_trials=count)
    return study.get_trials(deepcopy=False)


def draw_from(seed: int) -> Any:
    sampler = RandomSampler(seed=seed)
    return lambda name, d: sampler.sample_independent(None, None, name, d)


def is_asked_for(space: str, candidate: Any) -> bool:
    """Return whether the objective asks for exactly these parameters, given their values."""
    trial = optuna.trial.FixedTrial(dict(candidate.params))
    try:
        SPACES[space](trial)
    except ValueError:
        return False
    return set(trial.params) == set(candidate.params)


def make(sets: ParameterSets, trials: list[Any], kind: str, count: int) -> list[Any]:
    generator, draw = np.random.default_rng(1), draw_from(2)
    if kind == "random":
        return [sets.random(generator, draw) for _ in range(count)]
    return [
        sets.neighbour(trials[int(generator.integers(len(trials)))], generator, draw)
        for _ in range(count)
    ]


@pytest.mark.parametrize("kind", ["random", "neighbour"])
@pytest.mark.parametrize("space", ["static", "conditional", "numeric"])
def test_the_objective_would_ask_for_what_is_made(space: str, kind: str) -> None:
    trials = past(space, 60)
    made = make(ParameterSets(trials, {}), trials, kind, 200)
    assert all(is_asked_for(space, candidate) for candidate in made)
    # The whole space is within reach: every set of names that there is, and new values.
    assert {frozenset(c.params) for c in made} == {frozenset(t.params) for t in trials}
    assert len({candidate.key for candidate in made}) > 20


@pytest.mark.parametrize("kind", ["random", "neighbour"])
def test_little_history_may_mislead_but_values_stay_in_their_ranges(kind: str) -> None:
    for count in (1, 2, 5):
        for space in SPACES:
            trials = past(space, count)
            for candidate in make(ParameterSets(trials, {}), trials, kind, 30):
                assert set(candidate.params) == set(candidate.distributions)
                for name, distribution in candidate.distributions.items():
                    internal = distribution.to_internal_repr(candidate.params[name])
                    assert distribution._contains(internal)


def test_a_neighbour_differs_in_one_value_or_in_what_that_value_brings() -> None:
    trials = past("conditional", 60)
    generator, draw = np.random.default_rng(0), draw_from(0)
    sets = ParameterSets(trials, {})
    for parent in trials:
        child = sets.neighbour(parent, generator, draw)
        shared = set(parent.params) & set(child.params)
        changed = [name for name in shared if parent.params[name] != child.params[name]]
        assert len(changed) == 1
        if set(parent.params) != set(child.params):
            assert changed[0] in ("depth", "norm")


@pytest.mark.parametrize("kind", ["random", "neighbour"])
def test_fixed_values_are_kept(kind: str) -> None:
    trials = past("conditional", 60)
    fixed = {"depth": 2, "norm": True, "width0": 64, "elsewhere": 1}
    made = make(ParameterSets(trials, fixed), trials, "random", 50)
    if kind == "neighbour":
        matching = [t for t in trials if t.params["depth"] == 2 and t.params["norm"]]
        made = make(ParameterSets(trials, fixed), matching, kind, 50)
    for candidate in made:
        assert is_asked_for("conditional", candidate)
        assert {candidate.params[name] for name in ("depth", "norm", "width0")} == {2, True, 64}
    assert len({candidate.key for candidate in made}) > 5


def test_a_fixed_value_that_is_no_choice_is_left_to_the_trial() -> None:
    trials = past("conditional", 20)
    sets = ParameterSets(trials, {"width0": "wide", "depth": 99})
    assert all(is_asked_for("conditional", c) for c in make(sets, trials, "random", 20))


SPACE = {
    "op": CategoricalDistribution(["a", "b", None]),
    "n": IntDistribution(2, 10),
    "rate": FloatDistribution(1e-4, 1e-2, log=True),
}


def test_a_vector_has_the_stated_entries() -> None:
    encode = OneHotEncoder([SPACE])
    # n, op, rate; each with a leading entry for absence
    vector = encode({"op": None, "n": 4, "rate": 1e-3})
    assert vector == pytest.approx([0, 0.25, 0, 0, 0, 1, 0, 0.5])
    assert encode({}) == pytest.approx([1, 0, 1, 0, 0, 0, 1, 0])
    assert encode({"other": 1, "n": 10}) == pytest.approx([0, 1, 1, 0, 0, 0, 1, 0])


def test_different_ranges_are_united() -> None:
    spaces = [{"n": IntDistribution(low, high)} for low, high in ((2, 4), (3, 12), (5, 6))]
    encode = OneHotEncoder(spaces)
    assert [encode({"n": n})[1] for n in (2, 7, 12)] == pytest.approx([0, 0.5, 1])
    assert (OneHotEncoder(spaces[::-1])({"n": 7}) == encode({"n": 7})).all()


def test_different_sets_have_different_vectors() -> None:
    trials = past("conditional", 80)
    encode = OneHotEncoder([trial.distributions for trial in trials])
    distinct = {repr(sorted(trial.params.items())) for trial in trials}
    assert len({encode(trial.params).tobytes() for trial in trials}) == len(distinct)
