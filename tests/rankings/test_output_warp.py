"""The scales on which values are learned: they keep the order, whatever the size."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optuna_zerocost import Warmup, ZeroCostSampler
from optuna_zerocost.rankings._output_warp import SOFTNESSES, OutputWarp, warps_of

Array = npt.NDArray[np.float64]

# Differences that are not lost beside the numbers themselves.
VALUES = st.lists(st.integers(-(10**9), 10**9).map(lambda i: i / 1000), min_size=1, max_size=12)


def is_floored(warp: OutputWarp, values: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.ldexp(values, -warp.exponent) < warp.floor, dtype=np.bool_)


def test_there_is_one_for_each_softness_unless_all_values_are_the_same() -> None:
    assert [warp.softness for warp in warps_of(np.arange(4.0))] == list(SOFTNESSES)
    assert len(warps_of(np.full(4, 2.0))) == len(warps_of(np.zeros(0))) == 1
    assert warps_of(np.full(4, 2.0))[0].warp(np.full(4, 2.0)).tolist() == [0.0] * 4


@given(VALUES)
def test_warping_keeps_the_order_and_standardises(values: list[float]) -> None:
    array = np.array(values)
    order = np.argsort(array, kind="stable")
    for warp in warps_of(array):
        warped = warp.warp(array)
        assert (np.diff(warped[order]) >= 0).all()
        assert warped.mean() == pytest.approx(0.0, abs=1e-9)
        if len(set(values)) > 1:
            assert warped.std() == pytest.approx(1.0)
            best, second = np.unique(array)[[-1, -2]]
            assert warp.warp(np.array([best])) > warp.warp(np.array([second]))


@given(VALUES, st.integers(-200, 900))
def test_the_unit_does_not_matter(values: list[float], exponent: int) -> None:
    """Not to the last bit, if it is a power of two."""
    array = np.array(values)
    scaled = np.ldexp(array, exponent)
    if len(set(values)) == 1:  # what is all the same has no unit of its own
        return
    for warp, other in zip(warps_of(array), warps_of(scaled), strict=True):
        assert (warp.warp(array) == other.warp(scaled)).all()
        assert math.ldexp(warp.unwarp(0.3), exponent) == other.unwarp(0.3)
        assert warp.log_slope == other.log_slope


@given(VALUES)
def test_unwarping_gives_back_what_is_not_far_below_the_best(values: list[float]) -> None:
    array = np.array(values)
    for warp in warps_of(array):
        near = array[~is_floored(warp, array)]
        back = [warp.unwarp(float(value)) for value in warp.warp(near)]
        unit = math.ldexp(warp.unit, warp.exponent)
        assert back == pytest.approx(near.tolist(), rel=1e-6, abs=1e-6 * (unit + max(abs(array))))


@given(VALUES)
def test_what_is_far_below_the_best_counts_the_same_however_far(values: list[float]) -> None:
    array = np.array(values)
    for warp in warps_of(array):
        far = array[is_floored(warp, array)]
        assert len(set(warp.warp(far).tolist())) <= 1
        assert len(far) <= len(array) / 4 + 1


@given(st.lists(st.integers(0, 500), min_size=3, max_size=10, unique=True))
def test_slopes_are_those_of_the_warp_but_for_a_constant_of_the_values(
    values: list[int],
) -> None:
    """So that scales can be compared: one gains by stretching where the values are."""
    array = np.array(values, dtype=np.float64)
    warps = warps_of(array)
    if is_floored(warps[0], array).any():
        return
    step = 1e-6 * math.ldexp(warps[0].unit, warps[0].exponent)
    # Above the best one all counts the same: the slope is that from below.
    slopes = [np.log((w.warp(array) - w.warp(array - step)) / step).sum() for w in warps]
    found = [warp.log_slope - warps[0].log_slope for warp in warps]
    assert found == pytest.approx([slope - slopes[0] for slope in slopes], abs=1e-2)


def test_the_scale_is_the_more_stretched_at_the_best_the_smaller_the_softness() -> None:
    array = np.linspace(0.0, 1.0, 9)
    shares = [np.diff(warp.warp(array))[-1] / np.ptp(warp.warp(array)) for warp in warps_of(array)]
    assert shares[0] == pytest.approx(1 / 8)
    assert (np.diff(shares) > 0).all()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12))
def test_all_is_finite_whatever_the_values(values: list[float]) -> None:
    array = np.array(values)
    for warp in warps_of(array):
        warped = warp.warp(array)
        assert np.isfinite(warped).all()
        assert math.isfinite(warp.log_slope)
        assert all(math.isfinite(warp.unwarp(w + more)) for w in warped for more in (-1, 0, 9))


@pytest.mark.parametrize(
    "values",
    [
        *([size, -size] for size in (1e-308, 1.0, 1e155, 1e308)),
        [1.7e308],
        [math.inf, -math.inf],
        [math.inf, -math.inf, 1e308],
    ],
)
def test_predictions_of_values_of_any_size_are_numbers(values: list[float]) -> None:
    def suggest(trial: optuna.Trial) -> int:
        return trial.suggest_int("a", 1, 50) + trial.suggest_int("b", 1, 50)

    sampler = ZeroCostSampler(
        lambda trial: {"sum": float(suggest(trial))},
        base_sampler=optuna.samplers.RandomSampler(seed=0),
        warmup=Warmup(candidates=20, trials=4, show_progress_bar=False),
        moves=4,
        seed=0,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)

    def objective(trial: optuna.Trial) -> float:
        suggest(trial)
        return values[trial.number % len(values)]

    study.optimize(objective, n_trials=11)
    told = [v for t in study.trials for v in t.user_attrs.values() if isinstance(v, float)]
    assert told and all(map(math.isfinite, told))
    assert any("zerocost:predicted" in trial.user_attrs for trial in study.trials)
