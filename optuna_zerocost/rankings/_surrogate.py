"""A Gaussian process over what a trial is: its parameters, and its scores without training."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from optuna_zerocost.rankings._kernel import SHARES, Comparison, Kernel, Reading
from optuna_zerocost.rankings._kernel_fit import Data, Fit
from optuna_zerocost.rankings._parameter_distance import Differences

__all__ = ["Surrogate"]

_Array = npt.NDArray[np.float64]

# The grid of hyperparameters, over values with mean 0 and variance 1. Every point of it is a
# model; what the trials make likely counts.
_DECAYS = (1.5, 3.0, 6.0)  # of the similarity of parameters, over their mean difference
_POWERS = (2.0, 1.0)  # of the differences of numbers: smooth functions, and rough ones
_LENGTHS = (1.0, 3.0)  # of the similarity of scores, in deviations of a score's rank
_SLOPES = (0.0, 0.5)  # variance of a linear function of the scores
_NOISES = (0.01, 0.1)  # variance
_TASK_CORRELATIONS = (0.0, 0.7, 0.95)  # correlation of an earlier study with this one

# From the most likely point of the grid on, the parameter is made more relevant or less of which
# that makes the trials most likely, as long as it does. Of many steps those are tried that the
# slope of the likelihood speaks for.
_STEP = 3.0
_STEPS = 4
_MOST_TRIED = 20

# Before that, scores are left out or taken in, as long as it makes the trials more likely.
_CHOICES = 4
_FEWEST_TO_CHOOSE = 2

# For a score that is doubted the trials have to speak with so many nats.
_DOUBT = 4.0

# Models that are less likely than the first ones do not matter, and cost time.
_MOST_MODELS = 12
_MANY = 200  # observations from which on fewer models are kept, and fewer observations choose them
_MOST_MODELS_OF_MANY = 4


def _readings(differences: Differences) -> list[Reading]:
    """Return the ways of reading the differences that are not all the same."""
    has_numbers = any(differences.is_number)
    unordered = [Reading(power) for power in (_POWERS if has_numbers else _POWERS[:1])]
    ordered = [Reading(power, ordered=True) for power in _POWERS]
    return [*unordered, *(ordered if differences.in_order else ())]


def _models(
    readings: Sequence[Reading], *, has_scores: bool, has_other_studies: bool
) -> list[Kernel]:
    """Return the grid; where there is nothing to read, without what reads it."""
    grid = itertools.product(
        _DECAYS,
        readings,
        _LENGTHS if has_scores else _LENGTHS[:1],
        SHARES if has_scores else SHARES[-1:],
        _SLOPES if has_scores else _SLOPES[:1],
        _NOISES,
        _TASK_CORRELATIONS if has_other_studies else _TASK_CORRELATIONS[:1],
    )
    models = [Kernel(*point) for point in grid]
    # Without a part that compares the scores, their length has no meaning.
    ignoring = {m for m in models if m.shares == SHARES[-1] and m.length != _LENGTHS[0]}
    return [model for model in models if model not in ignoring]


class Surrogate:
    """Gaussian processes that predict a trial's value; several, weighted by their evidence.

    The covariance of two trials is

        k = w₁·kₚ·kₛ + w₂·kₛ + w₃·kₚ + c·⟨s, s'⟩,   kₚ = exp(−a·d),   kₛ = exp(−‖s − s'‖² / 2b²)

    with the distance d of their parameters xᵢ, which is the mean of rᵢ·|xᵢ − x'ᵢ|ᵖ, and their
    standardised scores s; ‖·‖² and ⟨·,·⟩ are averaged over the scores. Functions are smooth in
    numbers with p = 2 (Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006,
    equation 4.9), rough with p = 1 (4.18). Choices that are numbers are read in their order, or
    like other choices. A score that is useless is ignored where the trials say so (w₃), one that
    is harmful is used the other way round, and what two similar architectures have in common
    beyond their scores is learned too.

    The hyperparameters are averaged over a grid with their marginal likelihoods as weights (2.30,
    5.8), instead of chosen: with a dozen trials no choice is sure. From the most likely point of
    the grid on, the relevances rᵢ are changed one after the other (5.1, automatic relevance
    determination), each with a prior that is sceptical of it; what is met on the way counts too.

    Of several scores some may be left out, in the same way: a useless one would dilute the others.
    A choice of k of q scores has the prior 1 / (q over k), which corrects for how many there are
    (Scott & Berger, "Bayes and empirical-Bayes multiplicity adjustment in the variable-selection
    problem", Annals of Statistics 2010). For trials of another study k is multiplied by a
    correlation, one more hyperparameter (an intrinsic coregionalisation model, Rasmussen &
    Williams, 9.1); the evidence is then that of the first study's trials given the others.

    For n trials, differences have shape (n, n), standardised scores (n, q), where q may be 0, and
    values (n,), as have ``studies``: 0 for the one that predictions are made for. ``with_choices``
    parameters may differ in relevance, and scores be left out; ``doubts``, shape (q,), says which
    scores are unlikely to tell anything.
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
        if studies is not None and not studies.any():
            studies = None
        self._is_own = None if studies is None else np.equal(studies, 0)
        models = _models(
            _readings(differences),
            has_scores=scores.shape[1] > 0,
            has_other_studies=studies is not None,
        )
        if doubts is not None and doubts.any():
            nats = tuple((_DOUBT * doubts).tolist())
            models = [dataclasses.replace(model, doubts=nats) for model in models]
        count = len(differences.each) if with_choices else 0
        observed = _data(differences, scores, targets, studies)
        if len(values) > _MANY:
            few = np.linspace(0, len(values) - 1, _MANY).astype(np.intp)
            studies = None if studies is None else studies[few]
            some = _data(differences.at(few), scores[few], targets[few], studies)
            chosen = _refined(models, some, count)[:_MOST_MODELS_OF_MANY]
            fits = [Fit(fit.model, observed) for fit in chosen]
        else:
            fits = _refined(models, observed, count)[:_MOST_MODELS]
        self._fits = sorted(fits, key=lambda fit: -fit.evidence)
        weights = np.exp([fit.evidence - self._fits[0].evidence for fit in self._fits])
        self._weights = weights / weights.sum()

    def predict(self, differences: Differences, scores: _Array) -> tuple[_Array, _Array]:
        """Return mean and standard deviation for m others, each of shape (m,).

        Differences from the others to the n trials have shape (m, n), their scores (m, q).
        """
        comparison = Comparison(differences, scores, self._scores, self._is_own)
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


def _data(
    differences: Differences, scores: _Array, targets: _Array, studies: npt.NDArray[np.intp] | None
) -> Data:
    same_study = None if studies is None else studies[:, None] == studies
    return Data(Comparison(differences, scores, scores, same_study), targets, studies)


def _refined(models: Sequence[Kernel], observed: Data, count: int) -> list[Fit]:
    """Fit the grid of models, and some that differ in what they read; best first.

    The relevances of ``count`` parameters may differ (that of a single one is its decay), as may
    the scores that are read; with 0 it is the grid alone.
    """
    fits = {model: Fit(model, observed) for model in models}

    def best_of(some: Collection[Kernel]) -> Fit:
        for model in some:
            if model not in fits:
                fits[model] = Fit(model, observed)
        return max((fits[model] for model in some), key=lambda fit: fit.evidence)

    def climb(top: Fit, others: Callable[[Fit], list[Kernel]], steps: int) -> None:
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


def _other_subsets(model: Kernel, count: int) -> list[Kernel]:
    """Return the model with one score more or less."""
    everything = set(range(count))
    subset = everything if model.subset is None else set(model.subset)
    others = [subset ^ {index} for index in everything]
    return [model.with_subset(other, count) for other in others if other]


def _other_relevances(fit: Fit, comparison: Comparison, count: int) -> list[Kernel]:
    """Return the model with one parameter more relevant, or less."""
    steps = list(itertools.product(range(count), (_STEP, 1 / _STEP)))
    if len(steps) > _MOST_TRIED:
        slopes = fit.relevance_slopes(comparison)
        steepest = np.argsort(-np.abs(slopes), kind="stable")[:_MOST_TRIED]
        steps = [(int(i), _STEP if slopes[i] > 0 else 1 / _STEP) for i in steepest]
    return [fit.model.with_relevance(index, factor, count) for index, factor in steps]
