"""What makes a candidate worth a training."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from optuna_zerocost.rankings._acquisition import log_expected_improvement


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
