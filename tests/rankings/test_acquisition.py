"""What makes a candidate worth a training."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm, spearmanr

from optuna_zerocost.rankings._acquisition import HypervolumeImprovement, log_expected_improvement

Array = npt.NDArray[np.float64]


@pytest.mark.parametrize("mean", [-3.0, -0.4, 0.0, 2.5])
@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.0])
def test_it_is_the_logarithm_of_the_expectation(mean: float, deviation: float) -> None:
    best = 0.7
    expected, _ = quad(
        lambda y: (y - best) * norm.pdf(y, mean, deviation), best, best + 40 * deviation
    )
    merit = log_expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert np.exp(merit[0]) == pytest.approx(expected, rel=1e-6, abs=1e-14)


def test_it_rises_with_mean_and_deviation_wherever_the_best_is() -> None:
    """Far below the best too, where the expectation itself is 0 in floating point."""
    means = np.linspace(-1e4, 60.0, 200_001)
    merit = log_expected_improvement(means, np.ones_like(means), 0.0)
    assert np.isfinite(merit).all()
    assert (np.diff(merit) > 0).all()
    deviations = np.geomspace(1e-6, 1e3, 10_001)
    merit = log_expected_improvement(np.full_like(deviations, -1.0), deviations, 0.0)
    assert np.isfinite(merit).all()
    assert (np.diff(merit) > 0).all()


def area(points: Array, reference: Array) -> float:
    """The area that points in the plane dominate, in strips from the right to the left."""
    total, height = 0.0, float(reference[1])
    for x, y in points[np.argsort(-points[:, 0], kind="stable")]:
        if x > reference[0] and y > height:
            total += (x - reference[0]) * (y - height)
            height = y
    return total


def reference_of(values: Array) -> Array:
    low, high = values.min(axis=0), values.max(axis=0)
    return np.asarray(low - 0.1 * (high - low))


SURE = 1e-9
REACHED = st.integers(0, 10**6)


def test_what_is_sure_is_ordered_by_the_area_that_it_adds() -> None:
    correlations = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        reached, new = rng.normal(size=(6, 2)), rng.normal(size=(40, 2)) + 0.5
        reference = reference_of(reached)
        known = area(reached, reference)
        added = np.array([area(np.vstack([reached, one]), reference) - known for one in new])
        improvement = HypervolumeImprovement(reached, reached)
        found = improvement.log_expectation(new, np.full((40, 2), SURE))
        is_added = added > 0
        if is_added.sum() >= 10:
            correlations.append(spearmanr(found[is_added], added[is_added]).statistic)
        # Nothing that is dominated comes before what adds most.
        if is_added.any() and not is_added.all():
            assert found[~is_added].max() < found[np.argmax(added)]
    assert len(correlations) > 20
    assert np.mean(correlations) > 0.95
    assert min(correlations) > 0.8


def test_the_size_is_that_of_the_area_in_units_of_the_ranges_squared() -> None:
    """But for a constant, which is that of a quarter of the circle in the plane."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        reached, point = rng.random((5, 2)), 1 + rng.random((1, 2))
        reference, ranges = reference_of(reached), np.ptp(reached, axis=0)
        added = area(np.vstack([reached, point]), reference) - area(reached, reference)
        improvement = HypervolumeImprovement(reached, reached)
        merit = improvement.log_expectation(point, np.full((1, 2), SURE))
        ratios.append(math.exp(merit[0]) / (added / ranges.prod()))
    assert np.ptp(ratios) < 0.3 * np.mean(ratios)
    assert np.mean(ratios) == pytest.approx(4 / math.pi, rel=0.1)


@given(REACHED, st.integers(1, 4), st.integers(0, 5))
def test_neither_unit_nor_zero_of_an_objective_matters_and_better_is_better(
    seed: int, objectives: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    levels, new = rng.normal(size=(6, objectives)), rng.normal(size=(20, objectives))
    deviations = rng.random((20, objectives)) + 0.01
    unit, zero = 2.0 ** rng.integers(-9, 9, objectives), rng.integers(-9, 9, objectives)
    plain = HypervolumeImprovement(levels[:count], levels)
    scaled = HypervolumeImprovement(levels[:count] * unit + zero, levels * unit + zero)
    found = plain.log_expectation(new, deviations)
    assert np.isfinite(found).all()
    again = scaled.log_expectation(new * unit + zero, deviations * unit)
    np.testing.assert_allclose(again, found, rtol=1e-6, atol=1e-6)
    assert (plain.log_expectation(new + 0.1, deviations) >= found).all()


def test_where_nothing_is_better_what_lacks_least_comes_first() -> None:
    reached = np.array([[1.0, 1.0], [0.0, 0.0]])
    new = np.array([[0.2, 0.2], [0.9, 0.9], [0.5, 0.5]])
    merit = HypervolumeImprovement(reached, reached).log_expectation(new, np.full((3, 2), SURE))
    assert np.argsort(-merit).tolist() == [1, 2, 0]


def test_objectives_that_are_all_the_same_make_no_trouble() -> None:
    reached = np.ones((4, 2))
    merit = HypervolumeImprovement(reached, reached).log_expectation(
        np.array([[1.0, 1.0], [2.0, 1.0], [2.0, 2.0]]), np.full((3, 2), 0.1)
    )
    assert np.argsort(-merit).tolist() == [2, 1, 0]
