"""A Gaussian process over what a trial is: its parameters, and its scores without training."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from optuna_zerocost.rankings._parameter_distance import Differences

__all__ = ["Surrogate"]

_Array = npt.NDArray[np.float64]
_Relevance = tuple[float, ...] | None
_Subset = tuple[int, ...] | None

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

# Before that, scores are left out or taken in, as long as it makes the trials more likely.
_CHOICES = 4
_FEWEST_TO_CHOOSE = 2

# For a score that is doubted the trials have to speak with so many nats.
_DOUBT = 4.0

# What is likely the study's own trials say, given those of earlier studies: another study that is
# not alike would decide about more than its likeness. So many of them are needed; before, earlier
# ones stand in for those that lack.
_FEWEST_OWN = 3

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
        self._scores, self._others = scores, others
        self.same_study = same_study
        self._distances: dict[tuple[_Reading, _Relevance], _Array] = {}
        self._of_parameters: dict[tuple[float, _Reading, _Relevance], _Array] = {}
        self._compared: dict[_Subset, tuple[_Array, _Array]] = {}
        self._of_scores: dict[tuple[float, _Subset], _Array] = {}

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

    @property
    def scores(self) -> int:
        """Number of scores."""
        return int(self._scores.shape[1])

    def summed_differences(self, weights: _Array, reading: _Reading) -> _Array:
        """Return for each parameter the sum of its share of the distances times ``weights``."""
        return self._differences.sums(weights, reading.power, ordered=reading.ordered)

    def of_scores(self, length: float, subset: _Subset) -> _Array:
        """Return kₛ."""
        if (length, subset) not in self._of_scores:
            squares, _ = self._compare(subset)
            self._of_scores[length, subset] = np.exp(-0.5 * squares / length**2)
        return self._of_scores[length, subset]

    def products(self, subset: _Subset) -> _Array:
        """Return ⟨s, s'⟩."""
        return self._compare(subset)[1]

    def own_products(self, subset: _Subset) -> _Array:
        """Return ⟨s, s⟩ of the m trials."""
        scores = _chosen(self._scores, subset)
        return (scores**2).mean(axis=1) if scores.shape[1] else np.zeros(len(scores))

    def _compare(self, subset: _Subset) -> tuple[_Array, _Array]:
        if subset not in self._compared:
            self._compared[subset] = _compare(
                _chosen(self._scores, subset), _chosen(self._others, subset)
            )
        return self._compared[subset]


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
    subset: _Subset = None  # the scores that are read, by their index; None for all
    scores: int = 0  # how many there are, where some are left out
    doubts: tuple[float, ...] = ()  # against reading each score, in nats

    @property
    def log_prior(self) -> float:
        """How likely the model is before anything is observed, but for a constant.

        Any number of scores is as likely as another, and so is any choice of so many: what is
        left out has to be worth the many ways in which it could have been chosen. Each score that
        is doubted makes a model that reads it less likely.
        """
        relevances = sum(math.log(r) ** 2 for r in self.relevance or ())
        ways = 1 if self.subset is None else math.comb(self.scores, len(self.subset))
        return -_SCEPTICISM * relevances - math.log(ways) - self._doubt

    @property
    def _doubt(self) -> float:
        if not self.doubts or not self.reads_scores:
            return 0.0
        return sum(self.doubts if self.subset is None else (self.doubts[i] for i in self.subset))

    def with_relevance(self, index: int, factor: float, count: int) -> _Model:
        """Return the same with one of ``count`` parameters more relevant by ``factor``."""
        relevance = list(self.relevance or (1.0,) * count)
        relevance[index] *= factor
        is_even = all(r == 1.0 for r in relevance)
        return dataclasses.replace(self, relevance=None if is_even else tuple(relevance))

    def with_subset(self, subset: Collection[int], count: int) -> _Model:
        """Return the same that reads some of ``count`` scores."""
        chosen = None if len(subset) == count else tuple(sorted(subset))
        return dataclasses.replace(self, subset=chosen, scores=0 if chosen is None else count)

    def covariance(self, comparison: _Comparison) -> _Array:
        """Return k(x, x'), see :class:`Surrogate`."""
        both, scores_only, parameters_only = self.shares
        of_parameters = comparison.of_parameters(self.decay, self.reading, self.relevance)
        total = parameters_only * of_parameters
        if both or scores_only:
            of_scores = comparison.of_scores(self.length, self.subset)
            total += (both * of_parameters + scores_only) * of_scores
        if self.slope:
            total += self.slope * comparison.products(self.subset)
        return self._alike(comparison, total)

    def by_distance(self, comparison: _Comparison) -> _Array:
        """Return the derivative of k by the parameters' distance."""
        both, _, parameters_only = self.shares
        of_parameters = comparison.of_parameters(self.decay, self.reading, self.relevance)
        factor = both * comparison.of_scores(self.length, self.subset) + parameters_only
        return self._alike(comparison, -self.decay * factor * of_parameters)

    def _alike(self, comparison: _Comparison, covariance: _Array) -> _Array:
        """Weaken the covariance of trials of different studies."""
        if comparison.same_study is None:
            return covariance
        return np.where(comparison.same_study, 1.0, self.likeness) * covariance

    def prior_variance(self, comparison: _Comparison) -> _Array:
        """Return k(x, x) of the m trials, but for the noise."""
        return sum(self.shares) + self.slope * comparison.own_products(self.subset)

    @property
    def reads_scores(self) -> bool:
        return self.shares != _SHARES[-1] or self.slope > 0


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

    Of several scores some may be left out, in the same way: a useless one among them would
    dilute the others. A choice of k of q scores has the prior 1 / (q over k), which corrects for
    how many there are (Scott & Berger, "Bayes and empirical-Bayes multiplicity adjustment in the
    variable-selection problem", Annals of Statistics 2010).

    Trials of another study than the first one's tell as much as the trials show: k is multiplied
    by a correlation, one more hyperparameter (an intrinsic coregionalisation model, ibid., 9.1).
    The evidence is then that of the first study's trials given the others.

    Args:
        differences: Of the n trials from each other, shape (n, n).
        scores: Standardised scores, shape (n, q); q may be 0.
        values: What is learned, shape (n,).
        studies: For each trial the study that it belongs to, 0 for the one that predictions are
            made for, shape (n,). Default: all belong to it.
        with_choices: Whether parameters may differ in relevance, and scores be left out.
        doubts: Which scores are unlikely to tell anything, shape (q,). Default: none.
    """

    def __init__(
        self,
        differences: Differences,
        scores: _Array,
        values: _Array,
        *,
        studies: npt.NDArray[np.intp] | None = None,
        with_choices: bool = True,
        doubts: npt.NDArray[np.bool_] | None = None,
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
        if doubts is not None and doubts.any():
            nats = tuple((_DOUBT * doubts).tolist())
            models = [dataclasses.replace(model, doubts=nats) for model in models]
        count = len(differences.each) if with_choices else 0
        observed = _Observed(
            _Comparison(differences, scores, scores, same_study), targets, studies
        )
        if len(values) > _MANY:
            few = np.linspace(0, len(values) - 1, _MANY).astype(np.intp)
            same = None if same_study is None else same_study[np.ix_(few, few)]
            some = _Observed(
                _Comparison(differences.at(few), scores[few], scores[few], same),
                targets[few],
                None if studies is None else studies[few],
            )
            chosen = _refined(models, some, count)[:_MOST_MODELS_OF_MANY]
            fits = [_Fit(fit.model, observed) for fit in chosen]
        else:
            fits = _refined(models, observed, count)[:_MOST_MODELS]
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
        means, variances = np.stack([fit.predict(comparison) for fit in self._fits], axis=1)
        mean = self._weights @ means
        variance = self._weights @ (variances + (means - mean) ** 2)
        return self._mean + self._deviation * mean, self._deviation * np.sqrt(variance)

    def leave_one_out_error(self) -> float:
        """Return the mean squared error of each trial's value as predicted from the others.

        Relative to the variance of the values, about which the mean of the others errs by 1.
        """
        predicted = self._weights @ np.stack([fit.left_out_errors() for fit in self._fits])
        return float((predicted**2).mean())


@dataclass(frozen=True)
class _Observed:
    """Trials, and what became of them.

    Attributes:
        comparison: Of the n trials with each other.
        targets: Their values, shape (n,).
        studies: See :class:`Surrogate`; ``None`` if all belong to one.
    """

    comparison: _Comparison
    targets: _Array
    studies: npt.NDArray[np.intp] | None

    @functools.cached_property
    def order(self) -> npt.NDArray[np.intp] | None:
        """The trials of other studies first; ``None`` if there are none."""
        if self.studies is None or not self.studies.any():
            return None
        return np.argsort(self.studies == 0, kind="stable").astype(np.intp)

    @functools.cached_property
    def counts(self) -> _Array | float:
        """How much the evidence of each trial counts, in that order."""
        if self.studies is None or self.order is None:
            return 1.0
        others = self.studies[self.order] != 0
        lacking = max(0, _FEWEST_OWN - int((~others).sum()))
        return np.where(others, min(1.0, lacking / others.sum()), 1.0)


def _refined(models: Sequence[_Model], observed: _Observed, count: int) -> list[_Fit]:
    """Fit the models, and some that differ in what they read; best first.

    Args:
        models: The grid.
        observed: The trials.
        count: Number of parameters, whose relevances may differ (that of a single one is its
            decay), as may the scores that are read; 0 for the grid alone.
    """
    fits = {model: _Fit(model, observed) for model in models}

    def best_of(some: Collection[_Model]) -> _Fit:
        for model in some:
            if model not in fits:
                fits[model] = _Fit(model, observed)
        return max((fits[model] for model in some), key=lambda fit: fit.evidence)

    def climb(top: _Fit, others: Callable[[_Fit], list[_Model]], steps: int) -> None:
        for _ in range(steps):
            better = best_of(others(top))
            if better.evidence <= top.evidence:
                break
            top = better

    scores = observed.comparison.scores
    if count and scores >= _FEWEST_TO_CHOOSE:
        # From all scores to fewer, and from one to more: what is between is many, each unlikely.
        with_all = best_of([model for model in models if model.reads_scores])
        with_one = best_of([with_all.model.with_subset({i}, scores) for i in range(scores)])
        for start in (with_all, with_one):
            climb(start, lambda fit: _other_subsets(fit.model, scores), _CHOICES)
    if count > 1:
        best = best_of(list(fits))
        climb(best, lambda fit: _other_relevances(fit, observed.comparison, count), _STEPS)
    return sorted(fits.values(), key=lambda fit: -fit.evidence)


def _other_subsets(model: _Model, count: int) -> list[_Model]:
    """Return the model with one score more or less."""
    everything = set(range(count))
    subset = everything if model.subset is None else set(model.subset)
    others = [subset ^ {index} for index in everything]
    return [model.with_subset(other, count) for other in others if other]


def _other_relevances(fit: _Fit, comparison: _Comparison, count: int) -> list[_Model]:
    """Return the model with one parameter more relevant, or less."""
    steps = list(itertools.product(range(count), (_STEP, 1 / _STEP)))
    if len(steps) > _MOST_TRIED:
        slopes = fit.relevance_slopes(comparison)
        steepest = np.argsort(-np.abs(slopes), kind="stable")[:_MOST_TRIED]
        steps = [(int(i), _STEP if slopes[i] > 0 else 1 / _STEP) for i in steepest]
    return [fit.model.with_relevance(index, factor, count) for index, factor in steps]


class _Fit:
    """One model, given the observations."""

    def __init__(self, model: _Model, observed: _Observed) -> None:
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

    def predict(self, comparison: _Comparison) -> tuple[_Array, _Array]:
        covariance = self.model.covariance(comparison)
        if self._order is not None:
            covariance = covariance[:, self._order]
        solved = solve_triangular(self._factor[0], covariance.T, lower=True, check_finite=False)
        variance = self.model.prior_variance(comparison) - (solved**2).sum(axis=0)  # (eq. 2.26)
        return covariance @ self._weights, np.maximum(variance, 1e-9)

    def left_out_errors(self) -> _Array:
        errors: _Array = self._weights / np.diag(self._inverse())  # (eq. 5.12)
        return errors

    def relevance_slopes(self, comparison: _Comparison) -> _Array:
        """Return the derivative of the evidence by the logarithm of each parameter's relevance.

        With other studies that of the evidence of all trials: enough to know where to try.
        """
        outer = np.outer(self._weights, self._weights) - self._inverse()
        if self._order is not None:
            back = np.argsort(self._order)
            outer = outer[np.ix_(back, back)]
        by_distance = 0.5 * outer * self.model.by_distance(comparison)  # (eq. 5.9)
        slopes = comparison.summed_differences(by_distance, self.model.reading)
        relevance = np.array(self.model.relevance or [1.0] * len(slopes))
        of_prior: _Array = -2 * _SCEPTICISM * np.log(relevance)
        return of_prior + relevance * slopes

    def _inverse(self) -> _Array:
        identity = np.eye(len(self._weights))
        inverse: _Array = cho_solve(self._factor, identity, overwrite_b=True, check_finite=False)
        return inverse


def _chosen(scores: _Array, subset: _Subset) -> _Array:
    return scores if subset is None else scores[:, list(subset)]


def _compare(some: _Array, others: _Array) -> tuple[_Array, _Array]:
    """Return squared distances and inner products of scores, averaged over the scores."""
    count = some.shape[1]
    if count == 0:
        nothing = np.zeros((len(some), len(others)))
        return nothing, nothing
    products = some @ others.T / count
    lengths = (some**2).mean(axis=1)[:, None] + (others**2).mean(axis=1)[None, :]
    return np.maximum(lengths - 2 * products, 0.0), products
