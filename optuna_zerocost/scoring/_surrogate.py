"""A Gaussian process over what a trial is: its parameters, and its scores without training."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

__all__ = ["Surrogate"]

_Array = npt.NDArray[np.float64]

# The grid of hyperparameters, over values with mean 0 and variance 1. Every point of it is a
# model; what the trials make likely counts.
_DECAYS = (1.5, 3.0, 6.0)  # of the similarity of parameters, over their mean difference
_LENGTHS = (1.0, 3.0)  # of the similarity of scores, in deviations of a score's rank
# How much of the variance is a function of parameters and scores, of scores, of parameters.
_SHARES = ((0.5, 0.5, 0.0), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.0, 1.0))
_SLOPES = (0.0, 0.5)  # variance of a linear function of the scores
_NOISES = (0.01, 0.1)  # variance
_LIKENESSES = (0.0, 0.7, 0.95)  # correlation of an earlier study with this one

# Models that are less likely than the first ones do not matter, and cost time.
_MOST_MODELS = 12
_MANY = 200  # observations from which on fewer models are kept, and fewer observations choose them
_MOST_MODELS_OF_MANY = 4


class _Comparison:
    """How some trials compare with others; what several models need is computed once.

    Args:
        distances: Of the parameters, shape (m, n).
        scores: Of the m trials, shape (m, q).
        others: Of the n trials, shape (n, q).
        same_study: Whether two belong to one study, shape (m, n); ``None`` if all do.
    """

    def __init__(
        self,
        distances: _Array,
        scores: _Array,
        others: _Array,
        same_study: npt.NDArray[np.bool_] | None,
    ) -> None:
        self._distances = distances
        self._squares, self.products = _compare(scores, others)
        self.same_study = same_study
        self._of_parameters: dict[float, _Array] = {}
        self._of_scores: dict[float, _Array] = {}

    def of_parameters(self, decay: float) -> _Array:
        """Return kₚ."""
        if decay not in self._of_parameters:
            self._of_parameters[decay] = np.exp(-decay * self._distances)
        return self._of_parameters[decay]

    def of_scores(self, length: float) -> _Array:
        """Return kₛ."""
        if length not in self._of_scores:
            self._of_scores[length] = np.exp(-0.5 * self._squares / length**2)
        return self._of_scores[length]


@dataclass(frozen=True)
class _Model:
    decay: float
    length: float
    shares: tuple[float, float, float]
    slope: float
    noise: float
    likeness: float

    def covariance(self, comparison: _Comparison) -> _Array:
        """Return k(x, x'), see :class:`Surrogate`."""
        both, scores_only, parameters_only = self.shares
        of_parameters = comparison.of_parameters(self.decay)
        total = parameters_only * of_parameters
        if both or scores_only:
            of_scores = comparison.of_scores(self.length)
            total += (both * of_parameters + scores_only) * of_scores
        if self.slope:
            total += self.slope * comparison.products
        if comparison.same_study is None:
            return total
        return np.where(comparison.same_study, 1.0, self.likeness) * total

    def prior_variance(self, products: _Array) -> _Array:
        return sum(self.shares) + self.slope * products


def _models(*, has_scores: bool, has_other_studies: bool) -> list[_Model]:
    """Return the grid; where there is nothing to read, without what reads it."""
    grid = itertools.product(
        _DECAYS,
        _LENGTHS if has_scores else _LENGTHS[:1],
        _SHARES if has_scores else _SHARES[-1:],
        _SLOPES if has_scores else _SLOPES[:1],
        _NOISES,
        _LIKENESSES if has_other_studies else _LIKENESSES[:1],
    )
    models = [_Model(*point) for point in grid]
    # Without a part that compares the scores, their length has no meaning.
    ignoring = {m for m in models if m.shares == _SHARES[-1] and m.length != _LENGTHS[0]}
    return [model for model in models if model not in ignoring]


class Surrogate:
    """Gaussian processes that predict a trial's value; several, weighted by their evidence.

    The covariance of two trials is

        k = w₁·kₚ·kₛ + w₂·kₛ + w₃·kₚ + c·⟨s, s'⟩,   kₚ = exp(−a·d),   kₛ = exp(−‖s − s'‖² / 2b²)

    with the mean difference d of their parameters and their standardised scores s, ‖·‖² and ⟨·,·⟩
    averaged over the scores. So one that is useless is ignored where the trials say so (w₃), one
    that is harmful is used the other way round, and what two similar architectures have in common
    beyond their scores is learned too. The hyperparameters are averaged over a grid with their
    marginal likelihoods as weights, instead of chosen: with a dozen trials no choice is sure. See
    Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), equations 2.23–2.30,
    5.8 and 5.12.

    Trials of another study than the first one's tell as much as the trials show: k is multiplied
    by a correlation, one more hyperparameter (an intrinsic coregionalisation model, ibid., 9.1).

    Args:
        distances: Of the n trials from each other, shape (n, n).
        scores: Standardised scores, shape (n, q); q may be 0.
        values: What is learned, shape (n,).
        studies: For each trial the study that it belongs to, 0 for the one that predictions are
            made for, shape (n,). Default: all belong to it.
    """

    def __init__(
        self,
        distances: _Array,
        scores: _Array,
        values: _Array,
        *,
        studies: npt.NDArray[np.intp] | None = None,
    ) -> None:
        self._scores = scores
        self._mean = float(values.mean())
        self._deviation = float(values.std()) or 1.0
        targets = (values - self._mean) / self._deviation
        has_other_studies = studies is not None and bool(studies.any())
        same_study = (
            studies[:, None] == studies if studies is not None and has_other_studies else None
        )
        self._is_own = np.equal(studies, 0) if studies is not None and has_other_studies else None
        models = _models(has_scores=scores.shape[1] > 0, has_other_studies=has_other_studies)
        if len(values) > _MANY:
            few = np.linspace(0, len(values) - 1, _MANY).astype(np.intp)
            grid = np.ix_(few, few)
            same = None if same_study is None else same_study[grid]
            comparison = _Comparison(distances[grid], scores[few], scores[few], same)
            fits = [_Fit(model, comparison, targets[few]) for model in models]
            best = sorted(fits, key=lambda fit: -fit.evidence)[:_MOST_MODELS_OF_MANY]
            models = [fit.model for fit in best]
        comparison = _Comparison(distances, scores, scores, same_study)
        fits = [_Fit(model, comparison, targets) for model in models]
        fits = sorted(fits, key=lambda fit: -fit.evidence)[:_MOST_MODELS]
        weights = np.exp([fit.evidence - fits[0].evidence for fit in fits])
        self._fits = fits
        self._weights = weights / weights.sum()

    def predict(self, distances: _Array, scores: _Array) -> tuple[_Array, _Array]:
        """Return mean and standard deviation for m others, each of shape (m,).

        Args:
            distances: From the others to the n trials, shape (m, n).
            scores: Standardised scores of the others, shape (m, q).
        """
        comparison = _Comparison(distances, scores, self._scores, self._is_own)
        own = (scores**2).mean(axis=1) if scores.shape[1] else np.zeros(len(scores))
        means, variances = np.stack([fit.predict(comparison, own) for fit in self._fits], axis=1)
        mean = self._weights @ means
        variance = self._weights @ (variances + (means - mean) ** 2)
        return self._mean + self._deviation * mean, self._deviation * np.sqrt(variance)

    def leave_one_out_error(self) -> float:
        """Return the mean squared error of each trial's value as predicted from the others.

        Relative to the variance of the values, about which the mean of the others errs by 1.
        """
        predicted = self._weights @ np.stack([fit.left_out_errors() for fit in self._fits])
        return float((predicted**2).mean())


class _Fit:
    """One model, given the observations."""

    def __init__(self, model: _Model, comparison: _Comparison, targets: _Array) -> None:
        self.model = model
        covariance = model.covariance(comparison)
        covariance[np.diag_indices_from(covariance)] += model.noise
        self._factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        self._weights = cho_solve(self._factor, targets, check_finite=False)  # (eq. 2.25)
        # Logarithm of the marginal likelihood (eq. 2.30), but for what all models have in common.
        log_determinant = np.log(np.diag(self._factor[0])).sum()
        self.evidence = float(-0.5 * targets @ self._weights - log_determinant)

    def predict(self, comparison: _Comparison, own: _Array) -> tuple[_Array, _Array]:
        covariance = self.model.covariance(comparison)
        solved = solve_triangular(self._factor[0], covariance.T, lower=True, check_finite=False)
        variance = self.model.prior_variance(own) - (solved**2).sum(axis=0)  # (eq. 2.26)
        return covariance @ self._weights, np.maximum(variance, 1e-9)

    def left_out_errors(self) -> _Array:
        identity = np.eye(len(self._weights))
        inverse = cho_solve(self._factor, identity, overwrite_b=True, check_finite=False)
        errors: _Array = self._weights / np.diag(inverse)  # (eq. 5.12)
        return errors


def _compare(some: _Array, others: _Array) -> tuple[_Array, _Array]:
    """Return squared distances and inner products of scores, averaged over the scores."""
    count = some.shape[1]
    if count == 0:
        nothing = np.zeros((len(some), len(others)))
        return nothing, nothing
    products = some @ others.T / count
    lengths = (some**2).mean(axis=1)[:, None] + (others**2).mean(axis=1)[None, :]
    return np.maximum(lengths - 2 * products, 0.0), products
