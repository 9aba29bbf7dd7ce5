"""One edit away: every other value where there are few, close ones where there are many."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial, create_trial

from optuna_zerocost.algorithms._neighbours import (
    NUMERIC_VALUES,
    SPREAD,
    one_edit_neighbours,
    other_values,
)
from optuna_zerocost.samplers._candidate_trial import random_trial
from tests.spaces import SPACES


@st.composite
def grids(draw: st.DrawFn) -> IntDistribution | FloatDistribution:
    low, width = draw(st.integers(1, 50)), draw(st.integers(0, 200))
    kind = draw(st.sampled_from(["int", "log", "step", "float"]))
    if kind == "float":
        return FloatDistribution(low / 10, (low + width) / 10, step=0.1)
    step = draw(st.integers(1, 9)) if kind == "step" else 1
    return IntDistribution(low, low + width * step, log=kind == "log", step=step)


@st.composite
def ranges(draw: st.DrawFn) -> FloatDistribution:
    low, width = draw(st.floats(1e-6, 10)), draw(st.floats(1e-3, 1e3))
    return FloatDistribution(low, low + width, log=draw(st.booleans()))


categoricals = st.integers(1, 6).map(
    lambda count: CategoricalDistribution([None, "conv", 3, 0.5, float("nan"), False][:count])
)


def value_of(distribution: BaseDistribution, seed: int) -> Any:
    sampler = RandomSampler(seed=seed)
    return sampler.sample_independent(None, None, "x", distribution)  # type: ignore[arg-type]


def internal(distribution: BaseDistribution, value: Any) -> float:
    """Two values that a storage takes for one are one number here."""
    return round(distribution.to_internal_repr(value), 9)


def grid_of(distribution: IntDistribution | FloatDistribution) -> list[float]:
    """Every value, counted up one by one."""
    assert distribution.step is not None
    values = []
    while distribution.low + len(values) * distribution.step <= distribution.high + 1e-9:
        values.append(distribution.low + len(values) * distribution.step)
    return values


@given(distribution=st.one_of(grids(), ranges(), categoricals), seed=st.integers(0, 999))
def test_values_are_others_distinct_and_such_as_a_storage_holds(
    distribution: BaseDistribution, seed: int
) -> None:
    value = value_of(distribution, seed)
    others = other_values(value, distribution, random.Random(seed))
    numbers = [internal(distribution, other) for other in others]
    assert internal(distribution, value) not in numbers
    assert len(set(numbers)) == len(numbers)
    for other in others:
        frozen = create_trial(value=0.0, params={"x": other}, distributions={"x": distribution})
        frozen._validate()  # raises for a value outside of the range or off the grid
        if isinstance(distribution, IntDistribution):
            assert type(other) is int
        elif isinstance(distribution, FloatDistribution):
            assert type(other) is float


@given(distribution=st.one_of(grids(), categoricals), seed=st.integers(0, 999))
def test_few_other_values_are_all_there_and_of_many_the_next_ones(
    distribution: IntDistribution | FloatDistribution | CategoricalDistribution, seed: int
) -> None:
    value = value_of(distribution, seed)
    others = other_values(value, distribution, random.Random(seed))
    if isinstance(distribution, CategoricalDistribution):
        assert len(others) == len(distribution.choices) - 1
        return
    grid = grid_of(distribution)
    if len(grid) - 1 <= NUMERIC_VALUES:
        assert len(others) == len(grid) - 1
    assert len(others) <= NUMERIC_VALUES
    position = int(np.argmin(np.abs(np.array(grid) - value)))
    next_to_it = [grid[i] for i in (position - 1, position + 1) if 0 <= i < len(grid)]
    for neighbour in next_to_it:
        assert any(abs(neighbour - other) < 1e-9 for other in others)


@pytest.mark.parametrize("log", [False, True])
def test_perturbations_spread_as_documented(log: bool) -> None:
    """From the middle of the range: mean zero, standard deviation SPREAD, on the unit scale."""
    distribution = FloatDistribution(1e-3, 1e3, log=log)
    middle = 1.0 if log else (1e-3 + 1e3) / 2
    rng = random.Random(0)
    drawn = np.array([other_values(middle, distribution, rng) for _ in range(500)]).ravel()
    unit = (np.log10(drawn) + 3) / 6 if log else (drawn - 1e-3) / (1e3 - 1e-3)
    error = SPREAD / np.sqrt(len(unit))
    assert abs(unit.mean() - 0.5) < 5 * error
    assert abs(unit.std() - SPREAD) < 5 * error


def test_perturbations_do_not_pile_up_on_the_ends() -> None:
    distribution = FloatDistribution(0.0, 1.0)
    rng = random.Random(0)
    drawn = [other for _ in range(200) for other in other_values(0.0, distribution, rng)]
    assert len(drawn) == 200 * NUMERIC_VALUES
    assert max(Counter(drawn).values()) == 1


@given(seed=st.integers(0, 999), space=st.sampled_from(sorted(SPACES)))
def test_neighbours_differ_from_the_centre_in_one_value_of_those_there_are(
    seed: int, space: str
) -> None:
    rng = random.Random(seed)
    centre = random_trial(rng.getrandbits(32))
    SPACES[space](centre)
    state = rng.getstate()
    neighbours = one_edit_neighbours(centre.params, centre.distributions, rng)
    rng.setstate(state)
    edits: dict[str, list[Any]] = {name: [] for name in centre.params}
    for neighbour in neighbours:
        assert list(neighbour) == list(centre.params)
        (edited,) = [name for name in neighbour if neighbour[name] != centre.params[name]]
        edits[edited].append(neighbour[edited])
    for name, distribution in centre.distributions.items():
        assert edits[name] == other_values(centre.params[name], distribution, rng)


def test_fixed_names_are_not_edited() -> None:
    rng = random.Random(0)
    centre = random_trial(rng.getrandbits(32))
    SPACES["static"](centre)
    neighbours = one_edit_neighbours(centre.params, centre.distributions, rng, fixed={"op0"})
    assert len(neighbours) == 4
    assert {neighbour["op0"] for neighbour in neighbours} == {centre.params["op0"]}


@given(seed=st.integers(0, 999), space=st.sampled_from(sorted(SPACES)))
def test_a_trial_with_parameters_keeps_them_drops_the_needless_and_draws_the_lacking(
    seed: int, space: str
) -> None:
    rng = random.Random(seed)
    centre = random_trial(rng.getrandbits(32))
    SPACES[space](centre)
    for neighbour in one_edit_neighbours(centre.params, centre.distributions, rng):
        trial = random_trial(rng.getrandbits(32), space=centre.distributions, relative=neighbour)
        value = SPACES[space](trial)
        # The same run again, by Optuna's own fixed trial.
        assert SPACES[space](FixedTrial(trial.params)) == value
        for name, given_value in neighbour.items():
            if name in trial.params and trial.distributions[name] == centre.distributions[name]:
                assert trial.params[name] == given_value


def test_a_value_outside_of_the_range_that_is_asked_for_is_drawn_again() -> None:
    rng = random.Random(0)
    distributions = {"width": IntDistribution(2, 10), "inner": IntDistribution(1, 10)}
    drawn = set()
    for _ in range(50):
        trial = random_trial(
            rng.getrandbits(32), space=distributions, relative={"width": 3, "inner": 9}
        )
        SPACES["dynamic"](trial)
        assert trial.params["width"] == 3
        drawn.add(trial.params["inner"])
    assert drawn == {1, 2, 3}
