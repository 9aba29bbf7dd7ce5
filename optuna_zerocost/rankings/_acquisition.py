"""Acquisition values: the worth of a training, given predictions for its configuration."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

__all__ = ["HypervolumeImprovement", "log_expected_improvement"]

_Array = npt.NDArray[np.float64]

_FAR_BELOW = -100.0  # from here on the first term of the asymptotic series is exact enough
_DRAWS, _DIRECTIONS = 32, 64
_MARGIN = 0.1  # of the reference point below the worst values, relative to their range
_TINY = 1e-12


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


class HypervolumeImprovement:
    """The expected increase of the hypervolume that is dominated, for several objectives.

    The hypervolume above a reference point r is, but for a constant, the mean over directions λ of
    max_y min_i (max(yᵢ − rᵢ, 0) / λᵢ)^M for M objectives (Zhang & Golovin, "Random Hypervolume
    Scalarizations for Provable Multi-Objective Black Box Optimization", ICML 2020, lemma 5). So
    the increase is a mean over directions, and its expectation one over draws of y besides; both
    are the same each time. There may be any number of objectives.

    Args:
        reached: Values of n trials, shape (n, M), higher is better; n may be 0.
        levels: Values that are looked at for the range of each objective, shape (l, M).
    """

    def __init__(self, reached: _Array, levels: _Array) -> None:
        count = levels.shape[1]
        low, high = levels.min(axis=0), levels.max(axis=0)
        self._unit = np.where(high > low, high - low, 1.0)
        self._reference = low - _MARGIN * self._unit
        self._directions = _directions(count)
        self._best = np.zeros(_DIRECTIONS)
        if len(reached):
            self._best = self._volumes(reached).max(axis=0)

    def log_expectation(self, means: _Array, deviations: _Array) -> _Array:
        """Return log E of the increase by y ~ N(means, deviations²), shapes (m, M); shape (m,)."""
        total = np.zeros(len(means))
        for draw in _normal(_DRAWS, means.shape[1], 1):
            increase = self._volumes(means + draw * deviations) - self._best
            total += np.maximum(increase, 0.0).mean(axis=1)
        # Where no draw increases it, an order remains by how much is lacking at the best.
        lacking = (self._volumes(means + deviations) - self._best).max(axis=1)
        return np.asarray(np.log(total / _DRAWS + _TINY) + np.minimum(lacking, 0.0))

    def _volumes(self, values: _Array) -> _Array:
        """Return the scalarisations, shape (points, directions)."""
        above = np.maximum((values - self._reference) / self._unit, 0.0)
        least = (above[:, None, :] / np.maximum(self._directions, _TINY)).min(axis=2)
        return np.asarray(least ** values.shape[1])


@functools.lru_cache(maxsize=16)
def _directions(count: int) -> _Array:
    """Return unit vectors with positive entries, evenly spread, shape (_DIRECTIONS, count)."""
    if count == 2:
        angles = (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS * (math.pi / 2)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    normal = np.abs(_normal(_DIRECTIONS, count, 0))
    unit: _Array = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return unit


@functools.lru_cache(maxsize=16)
def _normal(count: int, dimensions: int, seed: int) -> _Array:
    """Return normal numbers, shape (count, dimensions), the same for the same arguments."""
    return np.random.default_rng(seed).standard_normal((count, dimensions))
