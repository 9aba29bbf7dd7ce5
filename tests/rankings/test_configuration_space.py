"""A space as trials show it: what is put in comes out, and what comes out may be trained."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_zerocost.rankings._configuration_space import ConfigurationSpace
from tests.spaces import RandomSpace

SEEDS = st.integers(0, 10**6)
Row = tuple[dict[str, Any], dict[str, BaseDistribution]]


def rows_of(space: RandomSpace, seed: int, count: int) -> list[Row]:
    rng = random.Random(seed)
    return [space.draw(rng) for _ in range(count)]


def params_of(shown: ConfigurationSpace, points: Any) -> list[dict[str, Any]]:
    return [shown.params_at(point, range(len(shown.names)))[0] for point in points]


@given(SEEDS, st.integers(1, 12))
def test_what_is_put_in_comes_out(seed: int, count: int) -> None:
    rows = rows_of(RandomSpace(seed), seed, count)
    shown = ConfigurationSpace(rows)
    points = shown.at([params for params, _ in rows])
    for (params, distributions), point in zip(rows, points, strict=True):
        found, of_found = shown.params_at(point, range(len(shown.names)))
        assert of_found == distributions
        assert set(found) == set(params)
        for name, value in params.items():
            assert type(found[name]) is type(value)
            is_float = isinstance(distributions[name], FloatDistribution)
            assert found[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if is_float else value)


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (CategoricalDistribution(["a", None, True, 1.5]), ["a", None, True, 1.5]),
        (CategoricalDistribution([1, True, 1.0]), [1, True]),
        (CategoricalDistribution([64, 16, 32]), [16, 32, 64]),
        (CategoricalDistribution([0, 1, 2]), [0, 1, 2]),
        (IntDistribution(0, 1), [0, 1]),
        (IntDistribution(1, 10**6, log=True), [1, 2, 3, 999_999, 10**6]),
        (IntDistribution(0, 8, step=4), [0, 4, 8]),
        (IntDistribution(7, 7), [7]),
        (FloatDistribution(1e-12, 1e12, log=True), [1e-12, 1.0, 1e12]),
        (FloatDistribution(-1e9, 1e9), [-1e9, 0.0, 1e9]),
        (FloatDistribution(0.1, 0.7, step=0.2), [0.1, 0.3, 0.5, 0.7]),
        (FloatDistribution(2.0, 2.0), [2.0]),
    ],
)
def test_every_value_is_at_a_place_of_its_own(
    distribution: BaseDistribution, values: list[Any]
) -> None:
    rows: list[Row] = [({"x": value}, {"x": distribution}) for value in values]
    shown = ConfigurationSpace(rows)
    points = shown.at([params for params, _ in rows])
    found = [params["x"] for params in params_of(shown, points)]
    assert len(set(points[:, 0].tolist())) == len(values)
    assert list(map(type, found)) == list(map(type, values))
    for one, other in zip(found, values, strict=True):
        assert one == (pytest.approx(other) if isinstance(other, float) else other)


@settings(max_examples=60)
@given(SEEDS)
def test_what_is_drawn_may_be_trained_once_enough_was_seen(seed: int) -> None:
    """Values are legal, and the parameters are those that the objective would ask for."""
    space = RandomSpace(seed)
    rows = rows_of(space, seed, 300)
    if {name for params, _ in rows for name in params} != set(space.distributions):
        return
    shown, rng = ConfigurationSpace(rows), np.random.default_rng(seed)
    drawn = shown.sampled(rng, 60)
    near = shown.neighbours(drawn, rng, range(len(shown.names)))
    whole = [space.is_whole(params) for params in params_of(shown, [*drawn, *near])]
    legal = [
        all(space.is_legal(name, value) for name, value in params.items())
        for params in params_of(shown, [*drawn, *near])
    ]
    assert all(legal)
    assert np.mean(whole) > 0.9


def depth_rows(count: int, seed: int = 0) -> list[Row]:
    rng = random.Random(seed)
    found: list[Row] = []
    for _ in range(count):
        params: dict[str, Any] = {"depth": rng.randint(1, 4)}
        params |= {f"width_{i}": rng.choice([16, 32, 64]) for i in range(params["depth"])}
        params["optimizer"] = rng.choice(["SGD", "Adam", "RMSprop"])
        if params["optimizer"] == "SGD":
            params["momentum"] = rng.random()
        found.append((params, {name: DEPTH_SPACE[name] for name in params}))
    return found


DEPTH_SPACE: dict[str, BaseDistribution] = {
    "depth": IntDistribution(1, 4),
    **{f"width_{i}": CategoricalDistribution([16, 32, 64]) for i in range(4)},
    "optimizer": CategoricalDistribution(["SGD", "Adam", "RMSprop"]),
    "momentum": FloatDistribution(0.0, 1.0),
}


@pytest.mark.parametrize("is_near", [False, True])
def test_depth_decides_about_widths_and_the_optimizer_about_its_momentum(is_near: bool) -> None:
    shown, rng = ConfigurationSpace(depth_rows(40)), np.random.default_rng(0)
    points = shown.sampled(rng, 200)
    if is_near:
        points = shown.neighbours(points, rng, range(len(shown.names)))
    found = params_of(shown, points)
    for params in found:
        widths = {name for name in params if name.startswith("width")}
        assert widths == {f"width_{i}" for i in range(params["depth"])}
        assert ("momentum" in params) == (params["optimizer"] == "SGD")
    assert {params["depth"] for params in found} == {1, 2, 3, 4}
    assert {params["optimizer"] for params in found} == {"SGD", "Adam", "RMSprop"}


def test_what_is_fixed_stays_so_and_decides_as_any_value() -> None:
    # To the last digit, and even if it was never seen.
    given_values = {"depth": 2, "momentum": 0.1 + 1e-16, "something else": 3}
    shown, rng = ConfigurationSpace(depth_rows(40)), np.random.default_rng(0)
    fixed = shown.fixing(given_values)
    drawn = fixed.sampled(rng, 50)
    for params in params_of(
        fixed, [*drawn, *fixed.neighbours(drawn, rng, range(len(fixed.names)))]
    ):
        assert params["depth"] == 2 and params["momentum"] == 0.1 + 1e-16
        assert {name for name in params if "width" in name} == {"width_0", "width_1"}
    assert {params["depth"] for params in params_of(shown, shown.sampled(rng, 50))} != {2}


def test_a_rate_that_is_fixed_is_the_same_to_the_last_digit() -> None:
    rate = FloatDistribution(1e-5, 1.0, log=True)
    shown = ConfigurationSpace([({"rate": 0.3}, {"rate": rate})])
    for value in (1e-3, 0.1, 1e-4, 5.0):
        fixed = shown.fixing({"rate": value})
        found = params_of(fixed, fixed.sampled(np.random.default_rng(0), 2))
        assert found == [{"rate": value}] * 2


def test_an_architecture_says_nothing_of_hyperparameters() -> None:
    """They are absent from it since the scorer does not ask for them."""
    trials = depth_rows(10)
    hyperparameters = {"optimizer", "momentum"}
    architectures: list[Row] = [
        ({n: v for n, v in params.items() if n not in hyperparameters}, DEPTH_SPACE)
        for params, _ in depth_rows(200, seed=1)
    ]
    shown = ConfigurationSpace(trials, architectures)
    found = params_of(shown, shown.sampled(np.random.default_rng(0), 100))
    assert all("optimizer" in params for params in found)
    assert all(("momentum" in params) == (params["optimizer"] == "SGD") for params in found)
    assert {shown.names[i] for i in shown.architecture} == {
        name for name in DEPTH_SPACE if name not in hyperparameters
    }
    # But of depth and widths they tell: ten trials have seldom shown all that there is.
    assert all(f"width_{p['depth'] - 1}" in p and f"width_{p['depth']}" not in p for p in found)


@given(SEEDS)
def test_a_neighbour_differs_in_what_may_change_alone(seed: int) -> None:
    rows = rows_of(RandomSpace(seed), seed, 60)
    shown, rng = ConfigurationSpace(rows), np.random.default_rng(seed)
    points = shown.settled(shown.at([params for params, _ in rows]), rng)
    columns = [i for i in range(len(shown.names)) if i % 2]
    kept = [i for i in range(len(shown.names)) if not i % 2]
    near = shown.neighbours(points, rng, columns)
    both = ~np.isnan(points[:, kept]) & ~np.isnan(near[:, kept])
    assert (points[:, kept] == near[:, kept])[both].all()
    np.testing.assert_array_equal(shown.neighbours(points, rng, []), points)


def test_the_order_of_the_rows_does_not_matter_to_what_decides() -> None:
    rows = depth_rows(40)
    one, other = ConfigurationSpace(rows), ConfigurationSpace(rows[::-1])
    assert one.names == other.names
    for shown in (one, other):
        found = params_of(shown, shown.sampled(np.random.default_rng(0), 100))
        assert all(("momentum" in params) == (params["optimizer"] == "SGD") for params in found)


@pytest.mark.parametrize(
    ("kinds", "is_seen"),
    [
        ([IntDistribution(1, 4), IntDistribution(2, 9)], True),
        ([FloatDistribution(0.0, 1.0), FloatDistribution(0.5, 7.0)], True),
        ([FloatDistribution(0.1, 1.0, log=True), FloatDistribution(0.0, 1.0)], True),
        ([CategoricalDistribution(["a", "b"]), CategoricalDistribution(["a", "c"])], False),
        ([CategoricalDistribution([1, 2]), IntDistribution(1, 2)], False),
        ([IntDistribution(1, 2), FloatDistribution(1.0, 2.0)], False),
    ],
)
def test_ranges_that_change_are_united_and_other_kinds_are_left_out(
    kinds: list[BaseDistribution], is_seen: bool
) -> None:
    def value(kind: Any) -> Any:
        return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low

    rows: list[Row] = [
        ({"x": value(kind), "y": 1}, {"x": kind, "y": IntDistribution(0, 3)}) for kind in kinds
    ]
    shown = ConfigurationSpace(rows)
    assert shown.names == (["x", "y"] if is_seen else ["y"])
    found = params_of(shown, shown.sampled(np.random.default_rng(0), 50))
    if is_seen:
        low, high = min(k.low for k in kinds), max(k.high for k in kinds)  # type: ignore[attr-defined]
        assert all(low <= params["x"] <= high for params in found)
