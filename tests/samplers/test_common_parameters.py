"""What rejected draws have in common: true by recount, found where planted, silent otherwise."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_zerocost.records import Candidate
from optuna_zerocost.samplers._common_parameters import in_common

SPACE: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution(("conv", "pool", None, 3)),
    "width": IntDistribution(4, 128),
    "rate": FloatDistribution(0.0, 1.0),
    "second": IntDistribution(4, 128),
}


def draw(rng: random.Random) -> Candidate:
    params: dict[str, Any] = {
        "kind": rng.choice(("conv", "pool", None, 3)),
        "width": rng.randint(4, 128),
        "rate": rng.random(),
    }
    if rng.random() < 0.5:
        params["second"] = rng.randint(4, 128)
    return Candidate(params, {name: SPACE[name] for name in params}, {})


def split(
    seed: int, count: int, is_lost: Callable[[dict[str, Any]], bool]
) -> tuple[list[Candidate], list[Candidate]]:
    rng = random.Random(seed)
    drawn = [draw(rng) for _ in range(count)]
    return (
        [c for c in drawn if is_lost(dict(c.params))],
        [c for c in drawn if not is_lost(dict(c.params))],
    )


@given(st.integers(0, 10**6), st.integers(4, 60), st.integers(1, 300))
def test_shares_are_true_by_recount(seed: int, bound: int, count: int) -> None:
    some, others = split(seed, count, lambda p: p["width"] <= bound or p["kind"] == "pool")
    found = in_common(some, others)
    assert len({(c.name, c.relation) for c in found}) == len(found) <= 3
    for condition in found:
        for candidates, share in ((some, condition.share), (others, condition.share_of_others)):
            met = sum(condition.is_met_by(candidate) for candidate in candidates)
            assert share == pytest.approx(met / len(candidates))
        assert condition.share_of_others <= 0.5 and condition.share > condition.share_of_others


@given(st.integers(0, 10**6), st.sampled_from(["≤", "≥", "="]))
def test_what_was_planted_is_found(seed: int, relation: str) -> None:
    planted = {
        "≤": ("width", lambda p: p["width"] <= 12),
        "≥": ("rate", lambda p: p["rate"] >= 0.9),
        "=": ("kind", lambda p: p["kind"] is None),
    }
    name, is_lost = planted[relation]
    some, others = split(seed, 400, is_lost)
    (condition,) = in_common(some, others)
    assert (condition.name, condition.relation) == (name, relation)
    assert (condition.share, condition.share_of_others) == (1.0, 0.0)
    assert str(condition).startswith(f"{name} {relation} ") and "100% of these" in str(condition)


@given(st.integers(0, 10**6))
def test_two_causes_are_both_found(seed: int) -> None:
    some, others = split(seed, 600, lambda p: min(p["width"], p.get("second", 128)) <= 14)
    assert {(c.name, c.relation) for c in in_common(some, others)} == {
        ("width", "≤"),
        ("second", "≤"),
    }


def test_chance_is_no_cause() -> None:
    found = [
        in_common([draw(rng) for _ in range(20)], [draw(rng) for _ in range(200)])
        for rng in map(random.Random, range(100))
    ]
    assert sum(map(bool, found)) <= 5


def test_there_is_nothing_to_say_about_a_few_or_without_others() -> None:
    some, others = split(0, 200, lambda p: p["width"] <= 12)
    assert in_common([], others) == in_common(some, []) == in_common(some[:1], others) == []


def test_parameters_are_of_any_kind() -> None:
    with pytest.warns(UserWarning, match="persistent"):
        odd = {"a": CategoricalDistribution((int, str))}
    some = [Candidate({"a": int}, odd, {})] * 20
    (condition,) = in_common(some, [Candidate({"a": str}, odd, {})] * 20)
    assert condition.name == "a" and condition.value is int
