"""A Gaussian process whose lengthscales are fitted to what was observed."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize

from optuna_zerocost.rankings._configuration_space import Features

__all__ = ["GaussianProcess"]

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

# A small variance besides the noise, without which rounding would decide.
_JITTER = 1e-6

# Hyperparameters are fitted to so many observations; the others add to what is predicted.
_MOST_FITTED = 100


class _Hyperparameters(NamedTuple):
    """Natural logarithms."""

    lengths: _Array  # for each group of columns
    size: float  # variance
    noise: float  # variance


# Hyperparameters by what they were fitted to; threads of one process may share them.
_KNOWN_FITS: dict[tuple[bytes, ...], tuple[_Hyperparameters, float]] = {}
_MOST_KNOWN_FITS = 32


class GaussianProcess:
    """Matérn-5/2 with a lengthscale for each group of columns, at the most likely point.

    The covariance is k = σ² (1 + √5 r + 5 r² / 3) exp(−√5 r) with r² = Σ_g ‖x_g − x'_g‖² / ℓ_g²
    (Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, equation 4.17 and
    section 5.1, automatic relevance determination), a positive definite function of coordinates,
    whatever they are. Hyperparameters maximise the posterior under log-normal priors.

    Args:
        features: Of n observations.
        targets: Their values, shape (n,), about standardised.
    """

    def __init__(self, features: Features, targets: _Array) -> None:
        self._groups, self._count = features.groups, features.count
        rows = np.arange(len(targets))
        if len(targets) > _MOST_FITTED:
            rows = np.linspace(0, len(targets) - 1, _MOST_FITTED).astype(np.intp)
        columns, fitted = features.columns[rows], targets[rows]
        # The same is asked again for one trial: before its candidates are scored, and for what
        # there is to tell.
        key = (columns.tobytes(), features.groups.tobytes(), fitted.tobytes())
        found = _KNOWN_FITS.get(key)
        if found is None:
            found = self._fitted(columns, fitted)
            if len(_KNOWN_FITS) >= _MOST_KNOWN_FITS:
                _KNOWN_FITS.clear()
            _KNOWN_FITS[key] = found
        self._hyperparameters, self.log_posterior = found
        # What was fitted to a part is worth as much for each of the others.
        self.log_posterior *= len(targets) / max(len(rows), 1)
        self._condition(features, targets)

    def _condition(self, features: Features, targets: _Array) -> None:
        self._columns, self.targets = features.columns, targets
        covariance = self._covariance(self._columns, self._columns)
        covariance[np.diag_indices_from(covariance)] += self._noise
        self._factor = np.linalg.cholesky(covariance)
        self._weights = cho_solve((self._factor, True), targets, check_finite=False)

    def given(self, features: Features, targets: _Array) -> GaussianProcess:
        """Return the process with the same hyperparameters, given other observations."""
        other = copy.copy(self)
        other._condition(features, targets)
        return other

    def predict(self, features: Features) -> tuple[_Array, _Array]:
        """Return the means and the standard deviations of m others, both of shape (m,).

        The deviation is that of the function, without the noise of an observation.
        """
        covariance = self._covariance(features.columns, self._columns)
        solved = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        variance = math.exp(self._hyperparameters.size) - (solved**2).sum(axis=0)
        return covariance @ self._weights, np.sqrt(np.maximum(variance, 1e-9))

    def left_out_errors(self) -> _Array:
        """Return by how much each observation is missed as predicted from the others."""
        identity = np.eye(len(self._weights))
        inverse = cho_solve((self._factor, True), identity, check_finite=False)
        errors: _Array = self._weights / np.diag(inverse)  # (eq. 5.12)
        return errors

    @property
    def _noise(self) -> float:
        return math.exp(self._hyperparameters.noise) + _JITTER

    def _covariance(self, some: _Array, others: _Array) -> _Array:
        scale = np.exp(-self._hyperparameters.lengths)[self._groups]
        a, b = some * scale, others * scale
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        return math.exp(self._hyperparameters.size) * _matern(np.maximum(squares, 0.0))[0]

    def _fitted(self, columns: _Array, targets: _Array) -> tuple[_Hyperparameters, float]:
        """Return the hyperparameters, and the logarithm of their posterior's density."""
        groups, n = self._count, len(targets)
        lower = np.tril_indices(n, -1)
        squares = np.zeros((groups, len(lower[0])))  # of each two observations
        for column, group in zip(columns.T, self._groups, strict=True):
            squares[group] += (column[lower[0]] - column[lower[1]]) ** 2
        mean = _LENGTH_MEAN + 0.5 * math.log(max(groups, 1))
        centre = np.array([*[mean] * groups, 0.0, _NOISE_MEAN])
        spread = np.array([*[_LENGTH_VARIANCE] * groups, _SIZE_VARIANCE, _NOISE_VARIANCE])
        diagonal = np.diag_indices(n)

        def loss(at: _Array) -> tuple[float, _Array]:
            relevances = np.exp(-2 * at[:groups])
            size, noise = math.exp(at[-2]), math.exp(at[-1])
            kernel, slope = _matern(relevances @ squares)
            covariance = np.zeros((n, n))
            covariance[lower] = size * kernel
            covariance[diagonal] = size + noise + _JITTER
            factor, inverse = _inverted(covariance)
            weights = inverse @ targets
            # Of the derivative of the likelihood by the covariance twice the lower half (eq. 5.9).
            by_pair = 2 * (inverse[lower] - weights[lower[0]] * weights[lower[1]])
            by_variance = (inverse[diagonal] - weights**2).sum()
            deviation = at - centre
            lost = 0.5 * targets @ weights + np.log(factor[diagonal]).sum()
            lost += 0.5 * (deviation**2 / spread).sum()
            gradient = deviation / spread
            gradient[:groups] -= size * relevances * (squares @ (by_pair * slope))
            gradient[-2] += 0.5 * size * (by_pair @ kernel + by_variance)
            gradient[-1] += 0.5 * noise * by_variance
            return float(lost), gradient

        bounds = [*[_BOUNDS_OF_LENGTHS] * groups, _BOUNDS_OF_SIZES, _BOUNDS_OF_NOISE]
        best_at, best = centre, math.inf
        for start in _STARTS if groups else _STARTS[:1]:
            first = np.array([*[mean + start] * groups, 0.0, _FIRST_NOISE])
            options = {"maxiter": _MOST_ITERATIONS}
            found = minimize(
                loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
            if found.fun < best:
                best_at, best = found.x, float(found.fun)
        return _Hyperparameters(best_at[:groups], float(best_at[-2]), float(best_at[-1])), -best


def _inverted(covariance: _Array) -> tuple[_Array, _Array]:
    """Return the Cholesky factor and the inverse, given the lower half."""
    factor, _ = dpotrf(covariance, lower=1)
    lower, _ = dpotri(factor, lower=1)
    lower = np.tril(lower)
    return factor, lower + np.tril(lower, -1).T


def _matern(squares: _Array) -> tuple[_Array, _Array]:
    """Return the correlation for each squared distance, and its derivative by that."""
    root = np.sqrt(5.0 * squares)
    decay = np.exp(-root)
    return (1.0 + root + root**2 / 3.0) * decay, -5.0 / 6.0 * (1.0 + root) * decay
