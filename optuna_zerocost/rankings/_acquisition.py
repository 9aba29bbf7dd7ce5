"""Acquisition values: the worth of a training, given a prediction for its candidate."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

__all__ = ["acquisition_values", "log_expected_improvement"]

_Array = npt.NDArray[np.float64]

_FAR_BELOW = -100.0  # from here on the first term of the asymptotic series is exact enough
_EXPLORATION = 0.7  # weight of the deviation where there is no best value to exceed


def acquisition_values(
    mean: _Array, deviation: _Array, *, best: float | None, exploration: float | None
) -> _Array:
    """Return the acquisition values of m candidates, shape (m,); the highest is trained next.

    They are the expected improvements on ``best``; with ``exploration`` upper bounds mean +
    exploration · deviation instead, and where there is no value to exceed those with 0.7.
    """
    if exploration is None and best is not None:
        return log_expected_improvement(mean, deviation, best)
    bound: _Array = mean + (_EXPLORATION if exploration is None else exploration) * deviation
    return bound


def log_expected_improvement(mean: _Array, deviation: _Array, best: float) -> _Array:
    """Return log E[max(y − best, 0)] for y ~ N(mean, deviation²); all of shape (m,).

    The expectation is deviation · h(z) with h(z) = φ(z) + z Φ(z), z = (mean − best) / deviation.
    Far below the best h underflows, and its logarithm is computed as in Ament et al., "Unexpected
    Improvements to Expected Improvement for Bayesian Optimization" (NeurIPS 2023), section 4.1:
    so an order remains where all candidates are worse than the best.
    """
    z = (mean - best) / deviation
    near = np.maximum(z, -1.0)
    log_h_near = np.log(np.exp(_log_density(near)) + near * ndtr(near))
    low = np.clip(z, _FAR_BELOW, -1.0)
    # Φ(z) / φ(z) = √(π/2) erfcx(−z/√2)
    ratio = math.sqrt(math.pi / 2) * erfcx(-low / math.sqrt(2))
    log_h_low = _log_density(low) + np.log1p(low * ratio)
    far = np.minimum(z, _FAR_BELOW)
    log_h_far = _log_density(far) - 2 * np.log(-far)
    log_h = np.where(z > -1.0, log_h_near, np.where(z > _FAR_BELOW, log_h_low, log_h_far))
    merit: _Array = np.log(deviation) + log_h
    return merit


def _log_density(z: _Array) -> _Array:
    log_density: _Array = -(z**2) / 2 - math.log(2 * math.pi) / 2
    return log_density
