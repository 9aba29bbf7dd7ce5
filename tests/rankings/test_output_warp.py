"""The scale on which values are learned: it keeps their order, whatever their size."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optuna_zerocost import Warmup, ZeroCostSampler
from optuna_zerocost.rankings._output_warp import OutputWarp

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)


@given(VALUES)
def test_warping_keeps_the_order_and_has_the_mean_zero(values: list[float]) -> None:
    array = np.array(values)
    warped = OutputWarp.of(array).warp(array)
    order = np.argsort(array, kind="stable")
    assert (np.diff(warped[order]) >= 0).all()
    assert warped.mean() == pytest.approx(0.0, abs=1e-9)


@given(VALUES, st.integers(-200, 900))
def test_the_unit_does_not_matter(values: list[float], exponent: int) -> None:
    """Not to the last bit, if it is a power of two."""
    array = np.array([value if abs(value) > 1e-9 else 0.0 for value in values])
    scaled = np.ldexp(array, exponent)
    warped, other = OutputWarp.of(array), OutputWarp.of(scaled)
    if len(set(array.tolist())) > 1:  # what is all the same has no unit of its own
        assert (warped.warp(array) == other.warp(scaled)).all()
        assert math.ldexp(warped.unwarp(0.3), exponent) == other.unwarp(0.3)


@given(VALUES)
def test_unwarping_gives_back_what_is_not_far_below_the_best(values: list[float]) -> None:
    array = np.array(values)
    warp = OutputWarp.of(array)
    near = array[warp.best - np.ldexp(array, -warp.exponent) < 2.9 * warp.unit]
    back = [warp.unwarp(float(value)) for value in warp.warp(near)]
    unit = math.ldexp(warp.unit, warp.exponent)
    assert back == pytest.approx(near.tolist(), rel=1e-6, abs=1e-6 * (unit + abs(array).max()))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12))
def test_all_is_finite_whatever_the_values(values: list[float]) -> None:
    array = np.array(values)
    warp = OutputWarp.of(array)
    warped = warp.warp(array)
    assert np.isfinite(warped).all()
    assert all(math.isfinite(warp.unwarp(value + more)) for value in warped for more in (-1, 0, 9))


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

    study.optimize(objective, n_trials=12)
    told = [v for t in study.trials for v in t.user_attrs.values() if isinstance(v, float)]
    assert told and all(map(math.isfinite, told))
    assert any("zerocost:predicted" in trial.user_attrs for trial in study.trials)
