"""A policy over the values of one parameter, and how it learns from a reward.

    π = softmax(θ),    value ~ π

One step of REINFORCE (Williams, "Simple Statistical Gradient-Following Algorithms for
Connectionist Reinforcement Learning", Machine Learning 1992) descends the gradient of

    −A log π(value) + β KL(π ‖ π₀)

by Adam (Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015), with the advantage
A (reward minus baseline) and the untrained policy π₀. Where π₀ is uniform, −KL(π ‖ π₀) is the
entropy of π, up to a constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

__all__ = ["Policy", "count_values"]

FloatArray = NDArray[np.float64]

# Adam's constants, as its paper proposes them.
_FIRST_DECAY, _SECOND_DECAY, _EPSILON = 0.9, 0.999, 1e-8


def count_values(distribution: BaseDistribution) -> float:
    """Return how many values ``distribution`` has: infinitely many for a float without step."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, (IntDistribution, FloatDistribution)) and distribution.step:
        return round((distribution.high - distribution.low) / distribution.step) + 1
    return math.inf


@dataclass(frozen=True)
class Policy:
    """A softmax over the values of a distribution, with the state of its optimizer."""

    distribution: BaseDistribution  # a categorical, an integer, or a float with a step
    logits: FloatArray  # θ, one for each value
    prior: FloatArray  # π₀, likewise
    first_moment: FloatArray  # Adam's running mean of the gradient
    second_moment: FloatArray  # and of the squared gradient
    steps: int = 0  # how often it has learned

    @classmethod
    def untrained(cls, distribution: BaseDistribution) -> Policy:
        """Return the policy that draws as Optuna's random sampler does.

        That is uniformly, but for an integer on a logarithmic scale, where the weight of v is
        log((v + ½) / (v − ½)).
        """
        zeros = np.zeros(int(count_values(distribution)))
        logits = zeros
        if isinstance(distribution, IntDistribution) and distribution.log:
            values = np.arange(distribution.low, distribution.high + 1, dtype=np.float64)
            logits = np.log(np.log((values + 0.5) / (values - 0.5)))
        return cls(distribution, logits, _softmax(logits), zeros, zeros)

    def probabilities(self) -> FloatArray:
        """Return π, one probability for each value."""
        return _softmax(self.logits)

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw a value, as a user sees it."""
        cumulative = self.probabilities().cumsum()
        index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        return self._value_at(min(index, len(cumulative) - 1))

    def learn(
        self, value: Any, advantage: float, *, learning_rate: float, entropy_weight: float
    ) -> Policy:
        """Return the policy after one step: ``value`` was drawn, and brought ``advantage`` A."""
        probabilities = self.probabilities()
        gradient = advantage * probabilities
        gradient[self._index_of(value)] -= advantage
        if entropy_weight:
            # A probability that has vanished adds nothing: p log p → 0.
            tiny = np.finfo(np.float64).tiny
            logs = np.log(np.maximum(probabilities, tiny) / self.prior)
            divergence = (probabilities * logs).sum()
            gradient += entropy_weight * probabilities * (logs - divergence)
        steps = self.steps + 1
        first = _FIRST_DECAY * self.first_moment + (1 - _FIRST_DECAY) * gradient
        second = _SECOND_DECAY * self.second_moment + (1 - _SECOND_DECAY) * gradient**2
        mean = first / (1 - _FIRST_DECAY**steps)
        scale = np.sqrt(second / (1 - _SECOND_DECAY**steps)) + _EPSILON
        logits = self.logits - learning_rate * mean / scale
        return Policy(self.distribution, logits, self.prior, first, second, steps)

    def _value_at(self, index: int) -> Any:
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[index]
        assert isinstance(distribution, (IntDistribution, FloatDistribution))
        assert distribution.step is not None
        # Adding up steps may overshoot by a rounding error.
        return min(distribution.low + index * distribution.step, distribution.high)

    def _index_of(self, value: Any) -> int:
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return int(distribution.to_internal_repr(value))
        assert isinstance(distribution, (IntDistribution, FloatDistribution))
        assert distribution.step is not None
        return int(round((value - distribution.low) / distribution.step))


def _softmax(logits: FloatArray) -> FloatArray:
    weights = np.exp(logits - logits.max())
    probabilities: FloatArray = weights / weights.sum()
    return probabilities
