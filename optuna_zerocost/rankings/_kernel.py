"""The covariance of a surrogate: of parameters, of scores, and of both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optuna_zerocost.rankings._parameter_distance import Differences

__all__ = ["SCEPTICISM", "SHARES", "Comparison", "Kernel", "Reading"]

_Array = npt.NDArray[np.float64]
_Relevance = tuple[float, ...] | None
_Subset = tuple[int, ...] | None

SHARES = ((0.5, 0.5, 0.0), (1 / 3, 1 / 3, 1 / 3), (0.0, 0.0, 1.0))
"""Shares of the variance that are functions of parameters and scores, of scores, of parameters."""

SCEPTICISM = 0.3
"""Of changed relevances r: their density falls off with exp(-this · (log r)²)."""


class Reading(NamedTuple):
    """A way of reading differences of parameters; see ``Differences.mean``."""

    power: float = 2.0
    ordered: bool = False


class Comparison:
    """A comparison of m trials with n others; what several models need is computed once.

    They have scores of shapes (m, q) and (n, q). ``same_study``, shape (m, n), tells which two
    belong to one study; ``None`` if all do.
    """

    def __init__(
        self,
        differences: Differences,
        scores: _Array,
        others: _Array,
        same_study: npt.NDArray[np.bool_] | None,
    ) -> None:
        self.differences = differences
        self._scores, self._others = scores, others
        self.same_study = same_study
        self.scores = int(scores.shape[1])
        self._known: dict[tuple[object, ...], _Array] = {}

    def of_parameters(self, decay: float, reading: Reading, relevance: _Relevance) -> _Array:
        """Return kₚ."""
        power, ordered = reading
        distances = self._once(
            ("distances", reading, relevance),
            lambda: self.differences.mean(power, relevance, ordered=ordered),
        )
        key = ("parameters", decay, reading, relevance)
        return self._once(key, lambda: np.exp(-decay * distances))

    def of_scores(self, length: float, subset: _Subset) -> _Array:
        """Return kₛ."""
        squares = self._once(("squares", subset), lambda: self._squares(subset))
        return self._once(("scores", length, subset), lambda: np.exp(-0.5 * squares / length**2))

    def products(self, subset: _Subset) -> _Array:
        """Return ⟨s, s'⟩."""
        some, others = _chosen(self._scores, subset), _chosen(self._others, subset)
        return self._once(("products", subset), lambda: some @ others.T / max(some.shape[1], 1))

    def own_products(self, subset: _Subset) -> _Array:
        """Return ⟨s, s⟩ of the m trials."""
        return _lengths(self._scores, subset)

    def _squares(self, subset: _Subset) -> _Array:
        lengths = self.own_products(subset)[:, None] + _lengths(self._others, subset)[None, :]
        return np.maximum(lengths - 2 * self.products(subset), 0.0)

    def _once(self, key: tuple[object, ...], compute: Callable[[], _Array]) -> _Array:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


@dataclass(frozen=True)
class Kernel:
    decay: float
    reading: Reading
    length: float
    shares: tuple[float, float, float]
    slope: float
    noise: float
    task_correlation: float
    relevance: _Relevance = None
    subset: _Subset = None  # the scores that are read, by their index; None for all
    scores: int = 0  # how many there are, where some are left out
    doubts: tuple[float, ...] = ()  # against reading each score, in nats

    @property
    def log_prior(self) -> float:
        """Logarithm of the model's prior, but for a constant.

        Any number of scores is as likely as another, and so is any choice of so many: what is
        left out has to be worth the many ways in which it could have been chosen. Each score that
        is doubted makes a model that reads it less likely.
        """
        relevances = sum(math.log(r) ** 2 for r in self.relevance or ())
        ways = 1 if self.subset is None else math.comb(self.scores, len(self.subset))
        doubt = 0.0
        if self.doubts and self.reads_scores:
            read = range(len(self.doubts)) if self.subset is None else self.subset
            doubt = sum(self.doubts[index] for index in read)
        return -SCEPTICISM * relevances - math.log(ways) - doubt

    def with_relevance(self, index: int, factor: float, count: int) -> Kernel:
        """Return the same with one of ``count`` parameters more relevant by ``factor``."""
        relevance = list(self.relevance or (1.0,) * count)
        relevance[index] *= factor
        is_even = all(r == 1.0 for r in relevance)
        return dataclasses.replace(self, relevance=None if is_even else tuple(relevance))

    def with_subset(self, subset: Collection[int], count: int) -> Kernel:
        """Return the same that reads some of ``count`` scores."""
        chosen = None if len(subset) == count else tuple(sorted(subset))
        return dataclasses.replace(self, subset=chosen, scores=0 if chosen is None else count)

    def covariance(self, comparison: Comparison) -> _Array:
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

    def by_distance(self, comparison: Comparison) -> _Array:
        """Return the derivative of k by the parameters' distance."""
        both, _, parameters_only = self.shares
        of_parameters = comparison.of_parameters(self.decay, self.reading, self.relevance)
        factor = both * comparison.of_scores(self.length, self.subset) + parameters_only
        return self._alike(comparison, -self.decay * factor * of_parameters)

    def _alike(self, comparison: Comparison, covariance: _Array) -> _Array:
        """Weaken the covariance of trials of different studies."""
        if comparison.same_study is None:
            return covariance
        return np.where(comparison.same_study, 1.0, self.task_correlation) * covariance

    def prior_variance(self, comparison: Comparison) -> _Array:
        """Return k(x, x) of the m trials, but for the noise."""
        return sum(self.shares) + self.slope * comparison.own_products(self.subset)

    @property
    def reads_scores(self) -> bool:
        return self.shares != SHARES[-1] or self.slope > 0


def _chosen(scores: _Array, subset: _Subset) -> _Array:
    return scores if subset is None else scores[:, list(subset)]


def _lengths(scores: _Array, subset: _Subset) -> _Array:
    chosen = _chosen(scores, subset)
    return (chosen**2).mean(axis=1) if chosen.shape[1] else np.zeros(len(chosen))
