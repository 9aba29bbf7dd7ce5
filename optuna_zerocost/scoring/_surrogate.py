"""A Gaussian process over what a trial is: its parameters, and its scores without training."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from optuna_zerocost.scoring._parameters import Differences

__all__ = ["Surrogate"]

_Array = npt.NDArray[np.float64]
_Relevance = tuple[float, ...] | None

# The grid of hyperparameters, over values with mean 0 and variance 1. Every point of it is a
# model; what the trials make likely counts.
_DECAYS = (1.5, 3.0, 6.0)  # of the similarity of parameters, over their mean difference
_POWERS = (2.0, 1.0)  # of the differences of numbers: smooth functions, and rough ones
_LENGTHS = (1.0, 3.0)  # of the similarity of scores, in deviations of a score's rank
# How much of the variance is a function of parameters and scores, of scores, of parameters.
_SHARES = ((0.5, 0.5, 0.0), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.0, 1.0))
_SLOPES = (0.0, 0.5)  # variance of a linear function of the scores
_NOISES = (0.01, 0.1)  # variance
_LIKENESSES = (0.0, 0.7, 0.95)  # correlation of an earlier study with this one

# From the most likely point of the grid on, the parameter is made more relevant or less of which
# that makes the trials most likely, as long as it does. Of many steps those are tried that the
# slope of the likelihood speaks for.
_STEP = 3.0
_STEPS = 4
_MOST_TRIED = 20
_SCEPTICISM = 0.3  # the density of log r falls off with exp(-this * (log r)²)

# Models that are less likely than the first ones do not matter, and cost time.
_MOST_MODELS = 12
_MANY = 200  # observations from which on fewer models are kept, and fewer observations choose them
_MOST_MODELS_OF_MANY = 4


class _Reading(NamedTuple):
    """How differences of parameters are read.

    Attributes:
        power: Of the differences of numbers.
        ordered: Whether choices that are numbers are read as numbers.
    """

    power: float = 2.0
    ordered: bool = False


class _Comparison:
    """How some trials compare with others; what several models need is computed once.

    Args:
        differences: Of the parameters, shape (m, n).
        scores: Of the m trials, shape (m, q).
        others: Of the n trials, shape (n, q).
        same_study: Whether two belong to one study, shape (m, n); ``None`` if all do.
    """

    def __init__(
        self,
        differences: Differences,
        scores: _Array,
        others: _Array,
        same_study: npt.NDArray[np.bool_] | None,
    ) -> None:
        self._differences = differences
        self._squares, self.products = _compare(scores, others)
        self.same_study = same_study
        self._distances: dict[tuple[_Reading, _Relevance], _Array] = {}
        self._of_parameters: dict[tuple[float, _Reading, _Relevance], _Array] = {}
        self._of_scores: dict[float, _Array] = {}

    def of_parameters(self, decay: float, reading: _Reading, relevance: _Relevance) -> _Array:
        """Return kₚ."""
        key = (decay, reading, relevance)
        if key not in self._of_parameters:
            if key[1:] not in self._distances:
                self._distances[key[1:]] = self._differences.mean(
                    reading.power, relevance, ordered=reading.ordered
                )
            self._of_parameters[key] = np.exp(-decay * self._distances[key[1:]])
        return self._of_parameters[key]

    def summed_differences(self, weights: _Array, reading: _Reading) -> _Array:
        """Return for each parameter the sum of its share of the distances times ``weights``."""
        return self._differences.sums(weights, reading.power, ordered=reading.ordered)

    def of_scores(self, length: float) -> _Array:
        """Return kₛ."""
        if length not in self._of_scores:
            self._of_scores[length] = np.exp(-0.5 * self._squares / length**2)
        return self._of_scores[length]


@dataclass(frozen=True)
class _Model:
    decay: float
    reading: _Reading
    length: float
    shares: tuple[float, float, float]
    slope: float
    noise: float
    likeness: float
    relevance: _Relevance = None

    @property
    def log_prior(self) -> float:
        """How likely the model is before anything is observed, but for a constant."""
        if self.relevance is None:
            return 0.0
        return -_SCEPTICISM * sum(math.log(r) ** 2 for r in self.relevance)

    def with_relevance(self, index: int, factor: float, count: int) -> _Model:
        """Return the same with one of ``count`` parameters more relevant by ``factor``."""
        relevance = list(self.relevance or (1.0,) * count)
        relevance[index] *= factor
        return dataclasses.replace(self, relevance=tuple(relevance))

    def covariance(self, comparison: _Comparison) -> _Array:
        """Return k(x, x'), see :class:`Surrogate`."""
        both, scores_only, parameters_only = self.shares
        of_parameters = comparison.of_parameters(self.decay, self.reading, self.relevance)
        total = parameters_only * of_parameters
        if both or scores_only:
            of_scores = comparison.of_scores(self.length)
            total += (both * of_parameters + scores_only) * of_scores
        if self.slope:
            total += self.slope * comparison.products
        if comparison.same_study is None:
            return total
        return np.where(comparison.same_study, 1.0, self.likeness) * total

    def by_distance(self, comparison: _Comparison) -> _Array:
        """Return the derivative of k by the parameters' distance, for one study."""
        both, _, parameters_only = self.shares
        of_parameters = comparison.of_parameters(self.decay, self.reading, self.relevance)
        factor = both * comparison.of_scores(self.length) + parameters_only
        derivative: _Array = -self.decay * factor * of_parameters
        return derivative

    def prior_variance(self, products: _Array) -> _Array:
        return sum(self.shares) + self.slope * products


def _readings(differences: Differences) -> list[_Reading]:
    """Return the ways of reading the differences that are not all the same."""
    has_numbers = any(differences.is_number)
    unordered = [_Reading(power) for power in (_POWERS if has_numbers else _POWERS[:1])]
    ordered = [_Reading(power, ordered=True) for power in _POWERS]
    return [*unordered, *(ordered if differences.in_order else ())]


def _models(
    readings: Sequence[_Reading], *, has_scores: bool, has_other_studies: bool
) -> list[_Model]:
    """Return the grid; where there is nothing to read, without what reads it."""
    grid = itertools.product(
        _DECAYS,
        readings,
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

    with the distance d of their parameters, which is the mean of rᵢ·|xᵢ − x'ᵢ|ᵖ for the parameters
    xᵢ, and their standardised scores s, ‖·‖² and ⟨·,·⟩ averaged over the scores. With p = 2 the
    functions are smooth in numbers (ibid., equation 4.9), with p = 1 they are rough (4.18).
    Choices that are numbers are read in their order, or like other choices; both are models. So a
    score that is useless is ignored where the trials say so (w₃), one that is harmful is used the
    other way round, and what two similar architectures have in common beyond their scores is
    learned too. The hyperparameters are averaged over a grid with their marginal likelihoods as
    weights, instead of chosen: with a dozen trials no choice is sure. From the most likely point
    of the grid on, the relevances rᵢ are changed one after the other (5.1, automatic relevance
    determination), each with a prior that is sceptical of it, and what is met on the way counts
    as well. See Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), equations
    2.23–2.30, 5.8 and 5.12.

    Trials of another study than the first one's tell as much as the trials show: k is multiplied
    by a correlation, one more hyperparameter (an intrinsic coregionalisation model, ibid., 9.1).

    Args:
        differences: Of the n trials from each other, shape (n, n).
        scores: Standardised scores, shape (n, q); q may be 0.
        values: What is learned, shape (n,).
        studies: For each trial the study that it belongs to, 0 for the one that predictions are
            made for, shape (n,). Default: all belong to it.
        with_relevance: Whether parameters may differ in relevance.
    """

    def __init__(
        self,
        differences: Differences,
        scores: _Array,
        values: _Array,
        *,
        studies: npt.NDArray[np.intp] | None = None,
        with_relevance: bool = True,
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
        models = _models(
            _readings(differences),
            has_scores=scores.shape[1] > 0,
            has_other_studies=has_other_studies,
        )
        # Another study that is not alike would decide about the relevances of this one's.
        with_relevance = with_relevance and not has_other_studies
        count = len(differences.each) if with_relevance else 0
        comparison = _Comparison(differences, scores, scores, same_study)
        if len(values) > _MANY:
            few = np.linspace(0, len(values) - 1, _MANY).astype(np.intp)
            same = None if same_study is None else same_study[np.ix_(few, few)]
            some = _Comparison(differences.at(few), scores[few], scores[few], same)
            chosen = _refined(models, some, targets[few], count)[:_MOST_MODELS_OF_MANY]
            fits = [_Fit(fit.model, comparison, targets) for fit in chosen]
        else:
            fits = _refined(models, comparison, targets, count)[:_MOST_MODELS]
        fits = sorted(fits, key=lambda fit: -fit.evidence)
        weights = np.exp([fit.evidence - fits[0].evidence for fit in fits])
        self._fits = fits
        self._weights = weights / weights.sum()

    def predict(self, differences: Differences, scores: _Array) -> tuple[_Array, _Array]:
        """Return mean and standard deviation for m others, each of shape (m,).

        Args:
            differences: From the others to the n trials, shape (m, n).
            scores: Standardised scores of the others, shape (m, q).
        """
        comparison = _Comparison(differences, scores, self._scores, self._is_own)
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


def _refined(
    models: Sequence[_Model], comparison: _Comparison, targets: _Array, count: int
) -> list[_Fit]:
    """Fit the models, and some in which parameters differ in relevance; best first.

    Args:
        models: The grid.
        comparison: Of the observations.
        targets: Of the observations.
        count: Number of parameters; the relevance of a single one is its decay.
    """
    fits = [_Fit(model, comparison, targets) for model in models]
    best = max(fits, key=lambda fit: fit.evidence)
    for _ in range(_STEPS if count > 1 else 0):
        steps = [
            _Fit(best.model.with_relevance(index, factor, count), comparison, targets)
            for index, factor in _steps(best, comparison, count)
        ]
        fits += steps
        better = max(steps, key=lambda fit: fit.evidence)
        if better.evidence <= best.evidence:
            break
        best = better
    return sorted(fits, key=lambda fit: -fit.evidence)


def _steps(fit: _Fit, comparison: _Comparison, count: int) -> list[tuple[int, float]]:
    """Return by what factor to change the relevance of which parameter."""
    if 2 * count <= _MOST_TRIED:
        return list(itertools.product(range(count), (_STEP, 1 / _STEP)))
    slopes = fit.relevance_slopes(comparison)
    steepest = np.argsort(-np.abs(slopes), kind="stable")[:_MOST_TRIED]
    return [(int(i), _STEP if slopes[i] > 0 else 1 / _STEP) for i in steepest]


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
        evidence = float(-0.5 * targets @ self._weights - log_determinant)
        self.evidence = evidence + model.log_prior

    def predict(self, comparison: _Comparison, own: _Array) -> tuple[_Array, _Array]:
        covariance = self.model.covariance(comparison)
        solved = solve_triangular(self._factor[0], covariance.T, lower=True, check_finite=False)
        variance = self.model.prior_variance(own) - (solved**2).sum(axis=0)  # (eq. 2.26)
        return covariance @ self._weights, np.maximum(variance, 1e-9)

    def left_out_errors(self) -> _Array:
        errors: _Array = self._weights / np.diag(self._inverse())  # (eq. 5.12)
        return errors

    def relevance_slopes(self, comparison: _Comparison) -> _Array:
        """Return the derivative of the evidence by the logarithm of each parameter's relevance."""
        outer = np.outer(self._weights, self._weights) - self._inverse()
        by_distance = 0.5 * outer * self.model.by_distance(comparison)  # (eq. 5.9)
        slopes = comparison.summed_differences(by_distance, self.model.reading)
        relevance = np.array(self.model.relevance or [1.0] * len(slopes))
        of_prior: _Array = -2 * _SCEPTICISM * np.log(relevance)
        return of_prior + relevance * slopes

    def _inverse(self) -> _Array:
        identity = np.eye(len(self._weights))
        inverse: _Array = cho_solve(self._factor, identity, overwrite_b=True, check_finite=False)
        return inverse


def _compare(some: _Array, others: _Array) -> tuple[_Array, _Array]:
    """Return squared distances and inner products of scores, averaged over the scores."""
    count = some.shape[1]
    if count == 0:
        nothing = np.zeros((len(some), len(others)))
        return nothing, nothing
    products = some @ others.T / count
    lengths = (some**2).mean(axis=1)[:, None] + (others**2).mean(axis=1)[None, :]
    return np.maximum(lengths - 2 * products, 0.0), products
