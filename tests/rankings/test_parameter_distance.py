"""Distances between sets of parameters of any kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
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

from optuna_zerocost.rankings._parameter_distance import ParameterDistance

SPACE: dict[str, BaseDistribution] = {
    "operation": CategoricalDistribution(("conv", "pool", None)),
    "depth": IntDistribution(1, 9),
    "width": IntDistribution(8, 128, log=True),
    "dropout": FloatDistribution(0.0, 0.5),
}

values = {
    "operation": st.sampled_from(["conv", "pool", None]),
    "depth": st.integers(1, 9),
    "width": st.integers(8, 128),
    "dropout": st.floats(0.0, 0.5),
}
row = st.fixed_dictionaries({}, optional=values)


def naive(a: Mapping[str, Any], b: Mapping[str, Any]) -> float:
    total = 0.0
    for name in SPACE:
        if (name in a) != (name in b):
            total += 1
        elif name in a and name == "operation":
            total += a[name] != b[name]
        elif name in a and name == "width":
            total += 4 * (math.log(a[name] / b[name]) / math.log(128 / 8)) ** 2
        elif name in a:
            total += 4 * ((a[name] - b[name]) / (8 if name == "depth" else 0.5)) ** 2
    return total


@given(st.lists(row, min_size=1, max_size=8))
def test_the_distance_is_the_mean_difference(rows: list[dict[str, Any]]) -> None:
    pairs = [(params, {name: SPACE[name] for name in params}) for params in rows]
    index = np.arange(len(rows), dtype=np.intp)
    found = ParameterDistance(pairs, list(SPACE)).between(index, index).mean()
    present = max(sum(map(len, rows)) / len(rows), 1.0)
    wanted = [[naive(a, b) / present for b in rows] for a in rows]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_only_the_named_parameters_count() -> None:
    rows = [({"depth": d, "dropout": 0.1 * d}, SPACE) for d in (1, 5)]
    index = np.arange(2, dtype=np.intp)
    found = ParameterDistance(rows, ["depth"]).between(index, index).mean()
    assert found[0, 1] == pytest.approx(1.0)  # half of the range


def test_a_range_that_changes_covers_all_that_was_seen() -> None:
    rows: list[tuple[dict[str, Any], dict[str, BaseDistribution]]] = [
        ({"n": 1}, {"n": IntDistribution(1, 2)}),
        ({"n": 11}, {"n": IntDistribution(1, 11)}),
    ]
    index = np.arange(2, dtype=np.intp)
    assert ParameterDistance(rows, ["n"]).between(index, index).mean()[0, 1] == pytest.approx(4.0)


def test_a_name_of_two_kinds_is_compared_by_equality() -> None:
    rows: list[tuple[dict[str, Any], dict[str, BaseDistribution]]] = [
        ({"n": 1}, {"n": IntDistribution(1, 2)}),
        ({"n": "one"}, {"n": CategoricalDistribution(("one", "two"))}),
        ({"n": 1}, {"n": IntDistribution(1, 2)}),
    ]
    index = np.arange(3, dtype=np.intp)
    found = ParameterDistance(rows, ["n"]).between(index, index).mean()
    assert found[0].tolist() == [0.0, 1.0, 0.0]


CHOICES = [(16, 64, 32), (1, 2.5, 3, 7), (16, 32), ("a", 1, 2), (True, False, 2), (None, 1, 2)]


@pytest.mark.parametrize("choices", [*CHOICES, (1.0, math.inf, 3.0)])
def test_three_numbers_or_more_to_choose_from_have_an_order(choices: tuple[Any, ...]) -> None:
    space: dict[str, BaseDistribution] = {"n": CategoricalDistribution(choices)}
    rows = [({"n": choice}, space) for choice in choices]
    index = np.arange(len(rows), dtype=np.intp)
    found = ParameterDistance([*rows, ({}, {})], ["n"]).between(index, index)
    if choices not in CHOICES[:2]:
        assert not found.in_order
        np.testing.assert_array_equal(found.mean(ordered=True), found.mean())
        return
    places = np.argsort(np.argsort(choices)) / (len(choices) - 1)
    each = 2 * np.abs(places[:, None] - places)
    scale = found.scale
    np.testing.assert_allclose(found.mean(1.0, ordered=True), scale * each)
    np.testing.assert_allclose(found.mean(2.0, ordered=True), scale * each**2)
    np.testing.assert_allclose(found.mean(2.0), scale * (each > 0))
    part = found.at(index[1:])
    np.testing.assert_allclose(part.mean(1.0, ordered=True), scale * each[1:, 1:])


def test_choices_in_order_that_change_are_ordered_together_and_absence_is_a_value() -> None:
    rows: list[tuple[dict[str, Any], dict[str, BaseDistribution]]] = [
        ({"n": 8}, {"n": CategoricalDistribution((8, 4, 2))}),
        ({"n": 16}, {"n": CategoricalDistribution((16, 8, 4))}),
        ({}, {}),
    ]
    index = np.arange(3, dtype=np.intp)
    found = ParameterDistance(rows, ["n"]).between(index, index).in_order[0]
    np.testing.assert_allclose(found, [[0, 2 / 3, 1], [2 / 3, 0, 1], [1, 1, 0]])
