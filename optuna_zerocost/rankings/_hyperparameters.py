"""Hyperparameters of a Gaussian process: how likely they are, the likeliest, and samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpotrf, dpotri, dtrtrs
from scipy.optimize import minimize

from optuna_zerocost.rankings._configuration_space import Features

__all__ = ["Hyperparameters", "JITTER", "Posterior", "matern"]

_Array = npt.NDArray[np.float64]

# Priors, normal in logarithms. A lengthscale's mean grows with the number of dimensions, so that
# functions are as smooth in many as in few (Hvarfner et al., "Vanilla Bayesian Optimization
# Performs Great in High Dimensions", ICML 2024).
_LENGTH_MEAN, _LENGTH_VARIANCE = math.sqrt(2), 3.0
_SIZE_VARIANCE = 1.0
_NOISE_MEAN, _NOISE_VARIANCE = -4.0, 1.0

_BOUNDS_OF_LENGTHS, _BOUNDS_OF_SIZES, _BOUNDS_OF_NOISE = (-5.0, 8.0), (-6.0, 3.0), (-9.0, 1.0)
_STARTS = (-1.0, -2.0)  # of the lengthscales' logarithms, from the prior's mean
_FIRST_NOISE = -3.0
_MOST_ITERATIONS = 60

JITTER = 1e-6
"""A small variance besides the noise, without which rounding would decide."""

# Steps of the sampler before the first sample, and from one to the next.
_FIRST_STEPS, _STEPS = 15, 4
_NARROWEST = 1e-6  # arc


class Hyperparameters(NamedTuple):
    """Natural logarithms."""

    lengths: _Array  # for each group of columns
    size: float  # variance
    noise: float  # variance

    @staticmethod
    def of(at: _Array) -> Hyperparameters:
        """Return a point of the space that is searched as what it means."""
        return Hyperparameters(at[:-2], float(at[-2]), float(at[-1]))


class Posterior:
    """The density of hyperparameters, given n observations, but for a constant.

    A point has the logarithms of the lengthscales, of the variance and of the noise.
    """

    def __init__(self, features: Features, targets: _Array) -> None:
        groups, n = features.count, len(targets)
        self._targets, self._groups = targets, groups
        self._lower = np.tril_indices(n, -1)
        self._diagonal = np.diag_indices(n)
        self._squares = np.zeros((groups, len(self._lower[0])))  # of each two observations
        for column, group in zip(features.columns.T, features.groups, strict=True):
            self._squares[group] += (column[self._lower[0]] - column[self._lower[1]]) ** 2
        length = _LENGTH_MEAN + 0.5 * math.log(max(groups, 1))
        self._centre = np.array([*[length] * groups, 0.0, _NOISE_MEAN])
        self._spread = np.array([*[_LENGTH_VARIANCE] * groups, _SIZE_VARIANCE, _NOISE_VARIANCE])
        self.bounds = [*[_BOUNDS_OF_LENGTHS] * groups, _BOUNDS_OF_SIZES, _BOUNDS_OF_NOISE]

    def loss(self, at: _Array) -> tuple[float, _Array]:
        """Return minus the logarithm of the density, and its gradient."""
        targets, lower, diagonal = self._targets, self._lower, self._diagonal
        relevances = np.exp(-2 * at[:-2])
        size, noise = math.exp(at[-2]), math.exp(at[-1])
        kernel, slope = matern(relevances @ self._squares)
        factor, inverse = _inverted(self._covariance(kernel, size, noise))
        weights = inverse @ targets
        # Of the derivative of the likelihood by the covariance twice the lower half (eq. 5.9).
        by_pair = 2 * (inverse[lower] - weights[lower[0]] * weights[lower[1]])
        by_variance = (inverse[diagonal] - weights**2).sum()
        deviation = at - self._centre
        lost = 0.5 * targets @ weights + np.log(factor[diagonal]).sum()
        lost += 0.5 * (deviation**2 / self._spread).sum()
        gradient = deviation / self._spread
        gradient[:-2] -= size * relevances * (self._squares @ (by_pair * slope))
        gradient[-2] += 0.5 * size * (by_pair @ kernel + by_variance)
        gradient[-1] += 0.5 * noise * by_variance
        return float(lost), gradient

    def _covariance(self, kernel: _Array, size: float, noise: float) -> _Array:
        """Return the lower half of the observations' covariance."""
        covariance = np.zeros((len(self._targets), len(self._targets)))
        covariance[self._lower] = size * kernel
        covariance[self._diagonal] = size + noise + JITTER
        return covariance

    def _log_likelihood(self, at: _Array) -> float:
        if any(not low <= x <= high for x, (low, high) in zip(at, self.bounds, strict=True)):
            return -math.inf
        kernel, _ = matern(np.exp(-2 * at[:-2]) @ self._squares)
        covariance = self._covariance(kernel, math.exp(at[-2]), math.exp(at[-1]))
        factor, failed = dpotrf(covariance, lower=1, overwrite_a=1)
        if failed:
            return -math.inf
        solved, _ = dtrtrs(factor, self._targets, lower=1)
        return float(-0.5 * solved @ solved - np.log(factor[self._diagonal]).sum())

    def likeliest(self) -> tuple[_Array, float]:
        """Return the point of the highest density, and the density's logarithm."""
        best_at, best = self._centre, math.inf
        for start in _STARTS if self._groups else _STARTS[:1]:
            first = self._centre.copy()
            first[:-2] += start
            first[-1] = _FIRST_NOISE
            options = {"maxiter": _MOST_ITERATIONS}
            found = minimize(
                self.loss, first, jac=True, method="L-BFGS-B", bounds=self.bounds, options=options
            )
            if found.fun < best:
                best_at, best = found.x, float(found.fun)
        return best_at, -best

    def samples(self, count: int, first: _Array) -> list[_Array]:
        """Return points drawn from the density, by a walk that starts at ``first``.

        A step of elliptical slice sampling (Murray et al., "Elliptical slice sampling", AISTATS
        2010) needs nothing to be tuned where the prior is normal. It is the same walk each time.
        """
        rng, deviation = np.random.default_rng(0), np.sqrt(self._spread)
        at, likelihood = first - self._centre, self._log_likelihood(first)
        found = []
        for step in range(1, _FIRST_STEPS + count * _STEPS + 1):
            other = deviation * rng.standard_normal(len(at))
            level = likelihood + math.log1p(-rng.random())
            angle = 2 * math.pi * rng.random()
            low, high = angle - 2 * math.pi, angle
            while high - low > _NARROWEST:  # it stays where it is, should nothing be as likely
                moved = at * math.cos(angle) + other * math.sin(angle)
                reached = self._log_likelihood(moved + self._centre)
                if reached > level:
                    at, likelihood = moved, reached
                    break
                low, high = (angle, high) if angle < 0 else (low, angle)
                angle = low + (high - low) * rng.random()
            if step > _FIRST_STEPS and (step - _FIRST_STEPS) % _STEPS == 0:
                found.append(at + self._centre)
        return found


def _inverted(covariance: _Array) -> tuple[_Array, _Array]:
    """Return the Cholesky factor and the inverse, given the lower half."""
    factor, _ = dpotrf(covariance, lower=1)
    lower, _ = dpotri(factor, lower=1)
    lower = np.tril(lower)
    return factor, lower + np.tril(lower, -1).T


def matern(squares: _Array) -> tuple[_Array, _Array]:
    """Return the correlation for each squared distance, and its derivative by that."""
    root = np.sqrt(5.0 * squares)
    decay = np.exp(-root)
    return (1.0 + root + root**2 / 3.0) * decay, -5.0 / 6.0 * (1.0 + root) * decay
