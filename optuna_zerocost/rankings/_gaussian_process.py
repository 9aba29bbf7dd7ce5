"""A Gaussian process, averaged over the hyperparameters that what was observed leaves possible."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular

from optuna_zerocost.rankings._configuration_space import Features
from optuna_zerocost.rankings._hyperparameters import JITTER, Hyperparameters, Posterior, matern

__all__ = ["GaussianProcess"]

_Array = npt.NDArray[np.float64]

# Hyperparameters are fitted to so many observations; the others add to what is predicted.
_MOST_FITTED = 100

# Few observations leave much open: predictions are averaged over samples of the hyperparameters,
# as long as these times the observations are no more than so many.
_MOST_SAMPLES, _MOST_SAMPLED = 8, 400

_MOST_KNOWN_FITS = 32


class _Fit:
    """What observations say of the hyperparameters; samples are drawn when they are asked for."""

    def __init__(self, features: Features, targets: _Array, count: int) -> None:
        self._features, self._targets, self._count = features, targets, count
        self._likeliest, self.log_density = Posterior(features, targets).likeliest()

    @functools.cached_property
    def hyperparameters(self) -> list[Hyperparameters]:
        points = [self._likeliest]
        if self._count > 1:
            posterior = Posterior(self._features, self._targets)
            points = posterior.samples(self._count, self._likeliest)
        return [Hyperparameters.of(point) for point in points]


# By what was fitted; threads of one process may share them.
_KNOWN_FITS: dict[tuple[bytes, ...], _Fit] = {}


class GaussianProcess:
    """Matérn-5/2 with a lengthscale for each group of columns, hyperparameters averaged.

    The covariance is k = σ² (1 + √5 r + 5 r² / 3) exp(−√5 r) with r² = Σ_g ‖x_g − x'_g‖² / ℓ_g²
    (Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, equation 4.17 and
    section 5.1, automatic relevance determination), a positive definite function of coordinates,
    whatever they are. Hyperparameters are drawn from their posterior under log-normal priors;
    where observations are many, the likeliest stand for all.

    Args:
        features: Of n observations.
        targets: Their values, shape (n,), about standardised.
    """

    def __init__(self, features: Features, targets: _Array) -> None:
        rows = np.arange(len(targets))
        if len(targets) > _MOST_FITTED:
            rows = np.linspace(0, len(targets) - 1, _MOST_FITTED).astype(np.intp)
        shown, fitted = Features(features.columns[rows], features.groups), targets[rows]
        count = min(_MOST_SAMPLES, _MOST_SAMPLED // max(len(targets), 1))
        # The same is asked again for one trial: before its candidates are scored, and for what
        # there is to tell.
        key = (shown.columns.tobytes(), shown.groups.tobytes(), fitted.tobytes(), bytes([count]))
        fit = _KNOWN_FITS.get(key)
        if fit is None:
            fit = _Fit(shown, fitted, count)
            if len(_KNOWN_FITS) >= _MOST_KNOWN_FITS:
                _KNOWN_FITS.clear()
            _KNOWN_FITS[key] = fit
        self._fit, self._features, self.targets = fit, features, targets
        # What was fitted to a part is worth as much for each of the others.
        self.log_posterior = fit.log_density * len(targets) / max(len(rows), 1)

    @functools.cached_property
    def _processes(self) -> list[_Process]:
        # Not before something is to be predicted: of several processes the likeliest alone are.
        return [_Process(each, self._features, self.targets) for each in self._fit.hyperparameters]

    def given(self, features: Features, targets: _Array) -> GaussianProcess:
        """Return the process with the same hyperparameters, given other observations."""
        other = copy.copy(self)
        other._features, other.targets = features, targets
        vars(other).pop("_processes", None)
        return other

    def predict(self, features: Features) -> tuple[_Array, _Array]:
        """Return the means and the standard deviations of m others, both of shape (m,).

        The deviation is that of the function, without the noise of an observation.
        """
        found = [process.predict(features) for process in self._processes]
        means = np.stack([mean for mean, _ in found])
        variances = np.stack([variance for _, variance in found])
        return means.mean(axis=0), np.sqrt(variances.mean(axis=0) + means.var(axis=0))

    def left_out_errors(self) -> _Array:
        """Return by how much each observation is missed as predicted from the others."""
        errors = [process.left_out_errors() for process in self._processes]
        return np.asarray(np.mean(errors, axis=0), dtype=np.float64)


class _Process:
    """The process with one set of hyperparameters."""

    def __init__(self, given: Hyperparameters, features: Features, targets: _Array) -> None:
        self.hyperparameters = given
        self._scale = np.exp(-given.lengths)[features.groups]
        self._columns = features.columns * self._scale
        covariance = self.covariance(self._columns, self._columns)
        covariance[np.diag_indices_from(covariance)] += math.exp(given.noise) + JITTER
        self._factor = np.linalg.cholesky(covariance)
        self._weights = cho_solve((self._factor, True), targets, check_finite=False)

    def covariance(self, a: _Array, b: _Array) -> _Array:
        """Return the covariance of the function, given coordinates relative to lengthscales."""
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        return math.exp(self.hyperparameters.size) * matern(np.maximum(squares, 0.0))[0]

    def predict(self, features: Features) -> tuple[_Array, _Array]:
        """Return means and variances, both of shape (m,)."""
        covariance = self.covariance(features.columns * self._scale, self._columns)
        solved = solve_triangular(self._factor, covariance.T, lower=True, check_finite=False)
        variance = math.exp(self.hyperparameters.size) - (solved**2).sum(axis=0)
        return covariance @ self._weights, np.maximum(variance, 1e-9)

    def left_out_errors(self) -> _Array:
        identity = np.eye(len(self._weights))
        inverse = cho_solve((self._factor, True), identity, check_finite=False)
        errors: _Array = self._weights / np.diag(inverse)  # (eq. 5.12)
        return errors
