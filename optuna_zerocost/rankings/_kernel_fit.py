"""The evidence of one covariance, and its predictions, given some trials."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from optuna_zerocost.rankings._kernel import SCEPTICISM, Comparison, Kernel

__all__ = ["Data", "Fit"]

_Array = npt.NDArray[np.float64]

# What is likely the study's own trials say, given those of earlier studies: another study that is
# not alike would decide about more than its correlation. So many of them are needed; before,
# earlier ones stand in for those that lack.
_FEWEST_OWN = 3


@dataclass(frozen=True)
class Data:
    """Trials, and what became of them."""

    comparison: Comparison  # of the n trials with each other
    targets: _Array  # shape (n,)
    studies: npt.NDArray[np.intp] | None  # see :class:`Surrogate`; ``None`` if all belong to one

    @functools.cached_property
    def order(self) -> npt.NDArray[np.intp] | None:
        """The trials of other studies first; ``None`` if there are none."""
        if self.studies is None or not self.studies.any():
            return None
        return np.argsort(self.studies == 0, kind="stable").astype(np.intp)

    @functools.cached_property
    def counts(self) -> _Array | float:
        """Weights of the evidence of each trial, in that order."""
        if self.studies is None or self.order is None:
            return 1.0
        others = self.studies[self.order] != 0
        lacking = max(0, _FEWEST_OWN - int((~others).sum()))
        return np.where(others, min(1.0, lacking / others.sum()), 1.0)


class Fit:
    """One model, given the observations."""

    def __init__(self, model: Kernel, observed: Data) -> None:
        self.model = model
        self._order = observed.order
        covariance = model.covariance(observed.comparison)
        targets = observed.targets
        if self._order is not None:
            covariance = covariance[np.ix_(self._order, self._order)]
            targets = targets[self._order]
        covariance[np.diag_indices_from(covariance)] += model.noise
        self._factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        white = solve_triangular(self._factor[0], targets, lower=True, check_finite=False)
        self._weights = solve_triangular(  # (eq. 2.25)
            self._factor[0], white, lower=True, trans=1, check_finite=False
        )
        # Logarithm of the marginal likelihood (eq. 2.30), but for what all models have in common:
        # a sum over the trials, of each given those before it.
        terms = -0.5 * white**2 - np.log(np.diag(self._factor[0]))
        self.evidence = float((observed.counts * terms).sum()) + model.log_prior

    def predict(self, comparison: Comparison) -> tuple[_Array, _Array]:
        covariance = self.model.covariance(comparison)
        if self._order is not None:
            covariance = covariance[:, self._order]
        solved = solve_triangular(self._factor[0], covariance.T, lower=True, check_finite=False)
        variance = self.model.prior_variance(comparison) - (solved**2).sum(axis=0)  # (eq. 2.26)
        return covariance @ self._weights, np.maximum(variance, 1e-9)

    def left_out_errors(self) -> _Array:
        errors: _Array = self._weights / np.diag(self._inverse())  # (eq. 5.12)
        return errors

    def relevance_slopes(self, comparison: Comparison) -> _Array:
        """Return the derivative of the evidence by the logarithm of each parameter's relevance.

        With other studies that of the evidence of all trials: enough to know where to try.
        """
        outer = np.outer(self._weights, self._weights) - self._inverse()
        if self._order is not None:
            back = np.argsort(self._order)
            outer = outer[np.ix_(back, back)]
        by_distance = 0.5 * outer * self.model.by_distance(comparison)  # (eq. 5.9)
        power, ordered = self.model.reading
        slopes = comparison.differences.sums(by_distance, power, ordered=ordered)
        relevance = np.array(self.model.relevance or [1.0] * len(slopes))
        of_prior: _Array = -2 * SCEPTICISM * np.log(relevance)
        return of_prior + relevance * slopes

    def _inverse(self) -> _Array:
        identity = np.eye(len(self._weights))
        inverse: _Array = cho_solve(self._factor, identity, overwrite_b=True, check_finite=False)
        return inverse
