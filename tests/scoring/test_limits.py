"""``Limits`` without torch: what is refused, what is outside, how far, and who is asked."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from optuna_zerocost import LimitedScorer, Limits, OutsideLimits, Scorer
from optuna_zerocost.scoring import evaluate
from tests.spaces import SPACES

positive = st.floats(1e-3, 1e9)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "limits nothing.*Limits\\(params=2e6\\)"),
        ({"params": -1}, ValueError, "params.*negative"),
        ({"flops": (-5, 10)}, ValueError, "flops.*negative"),
        ({"params": (2e6, 1e5)}, ValueError, r"minimum is above its maximum.*\(100000.0, 2000000"),
        ({"latency_ms": math.nan}, ValueError, "latency_ms.*NaN"),
        ({"memory_mb": (math.nan, 5)}, ValueError, "memory_mb.*NaN"),
        ({"params": math.inf}, ValueError, "leave it out"),
        ({"params": (math.inf, math.inf)}, ValueError, "nothing would be within"),
        ({"params": "2e6"}, TypeError, "maximum, such as 2e6"),
        ({"params": (1, 2, 3)}, TypeError, r"pair \(minimum, maximum\)"),
        ({"params": True}, TypeError, "maximum"),
        ({"parameters": 2e6}, TypeError, "parameters"),
        ({"params": 1, "draws": 0}, ValueError, "draws.*at least 1"),
        ({"params": 1, "samples": 0}, ValueError, "samples.*at least 1"),
        ({"custom": {"energy": len}}, TypeError, "pair of a function and its limit"),
        ({"custom": {"energy": (len, None)}}, TypeError, "pair of a function and its limit"),
        ({"custom": {"energy": (3, 5.0)}}, TypeError, "pair of a function and its limit"),
        ({"custom": {"energy": (len, (5, 1))}}, ValueError, "'energy'.*above its maximum"),
        ({"custom": {"source": (len, 5.0)}}, ValueError, "'source'.*zerocost:<name>"),
        ({"custom": {"my energy": (len, 5.0)}}, ValueError, "identifier"),
        ({"custom": [len]}, TypeError, "map names to pairs"),
        ({"params": 5, "custom": {"params": (len, 5)}}, ValueError, "'params' is limited twice"),
    ],
)
def test_wrong_limits_get_clear_errors(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Limits(**arguments)


@given(positive, positive, positive)
def test_excess_is_zero_inside_alone_and_grows_with_the_distance(
    one: float, other: float, value: float
) -> None:
    low, high = sorted((one, other))
    limits = Limits(flops=(low, high))
    excess = limits.excess("flops", value)
    assert (excess == 0) == (low <= value <= high)
    if excess:
        further = 2 * value if value > high else value / 2
        assert limits.excess("flops", further) > excess


@given(positive, st.floats(1.1, 100), st.floats(1e-3, 1e3))
def test_excess_does_not_depend_on_the_unit(bound: float, factor: float, unit: float) -> None:
    """Twice the limit is twice the limit, in milliseconds and in seconds."""
    excess = Limits(latency_ms=bound).excess("latency_ms", bound * factor)
    assert excess == pytest.approx(factor - 1, rel=1e-6)
    scaled = Limits(latency_ms=bound * unit).excess("latency_ms", bound * factor * unit)
    assert scaled == pytest.approx(excess, rel=1e-6)


def test_the_bounds_are_within_and_a_bound_of_zero_has_an_excess() -> None:
    limits = Limits(params=(10, 20), custom={"margin": (float, 0)})
    limits.check({"params": 10.0, "margin": 0.0})
    limits.check({"params": 20.0, "margin": -7.0})
    with pytest.raises(OutsideLimits) as caught:
        limits.check({"params": 30.0, "margin": 0.25})
    assert caught.value.violation == 0.5 + 0.25
    assert "params is 30" in str(caught.value) and "at most 20" in str(caught.value)
    with pytest.raises(ValueError, match="margin was measured as nan"):
        limits.check({"params": 10.0, "margin": math.nan})


def test_limits_and_the_error_pickle() -> None:
    limits = Limits(params=(10, 20), custom={"size": (len, 3)})
    error = OutsideLimits(limits, {"params": 40.0})
    again = pickle.loads(pickle.dumps(error))
    assert (again.measured, again.violation, str(again)) == ({"params": 40.0}, 1.0, str(error))
    assert again.limits == limits and again.limits.names == ("params", "size")


def test_what_is_cheap_comes_first_whatever_the_order_of_the_arguments() -> None:
    limits = Limits(latency_ms=1, memory_mb=1, custom={"b": (len, 1), "a": (len, 1)}, params=1)
    assert limits.names == ("params", "b", "a", "memory_mb", "latency_ms")


def test_only_what_is_within_is_measured_further_and_scored() -> None:
    asked: list[str] = []

    def function(name: str) -> Any:
        def measure(value: float) -> float:
            asked.append(name)
            return value

        return measure

    limits = Limits(custom={"first": (function("first"), 50), "second": (function("second"), 20)})
    scorer = LimitedScorer(
        SPACES["conditional"], limits, score=lambda trial: {"double": 2 * len(trial.params)}
    )
    assert isinstance(scorer, Scorer)

    def outcome(width: int) -> Any:
        asked.clear()
        trial = FixedTrial({"depth": 1, "width0": width, "norm": False})
        try:
            return evaluate(scorer, trial)
        except OutsideLimits as error:
            return error.measured

    assert outcome(64) == {"first": 64.0} and asked == ["first"]
    assert outcome(32) == {"first": 32.0, "second": 32.0} and asked == ["first", "second"]
    assert outcome(16) == {"double": 6.0, "first": 16.0, "second": 16.0}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((len, Limits(params=5)), ValueError, "params.*torch.*ModelScorer"),
        ((3, Limits(custom={"size": (len, 3)})), TypeError, "functions of a trial"),
        ((len, {"size": 3}), TypeError, "must be Limits"),
    ],
)
def test_a_wrong_limited_scorer_is_refused(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LimitedScorer(*arguments)


def test_the_fingerprint_tells_what_changes_the_pool() -> None:
    def fingerprint(limit: Any, make: Any = len) -> str:
        return LimitedScorer(make, Limits(custom={"size": (abs, limit)})).fingerprint

    assert fingerprint(3.0) == fingerprint(3.0)
    assert len({fingerprint(3.0), fingerprint(4.0), fingerprint((1.0, 3.0))}) == 3
    assert fingerprint(3.0) != fingerprint(3.0, max)
