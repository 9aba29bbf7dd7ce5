"""Sets of parameters that are one edit away from another, in any define-by-run search space."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

__all__ = ["NUMERIC_VALUES", "SPREAD", "one_edit_neighbours", "other_values"]

NUMERIC_VALUES = 8
"""Number of other values that are considered for a number; a number with fewer has all."""

SPREAD = 0.1
"""Standard deviation of a perturbation, as a share of the (logarithmic) range."""

# Rounding to a grid makes some perturbations equal; a few more make up for them.
_TRIES_PER_VALUE = 4


def one_edit_neighbours(
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    rng: random.Random,
    *,
    fixed: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return every set of parameters that differs from ``params`` in one value that is not fixed.

    A value that decides which other parameters there are may make some of ``params`` superfluous,
    and others necessary: run the builder on the result. The neighbours have the order of
    ``params`` and of :func:`other_values`; all differ.
    """
    return [
        {**params, name: other}
        for name, value in params.items()
        if name not in fixed
        for other in other_values(value, distributions[name], rng)
    ]


def other_values(value: Any, distribution: BaseDistribution, rng: random.Random) -> list[Any]:
    """Return the values that one edit can turn ``value`` into, as a user sees them; all differ.

    * Categorical: all other choices.
    * Integer, or float with a step: all other values if there are at most ``NUMERIC_VALUES``;
      otherwise the one or two next to ``value``, and perturbed ones up to that number.
    * Float without a step: ``NUMERIC_VALUES`` perturbed ones.

    A perturbation adds a normal variable with standard deviation ``SPREAD`` on the scale on which
    the range is [0, 1], logarithmic where the distribution is; what leaves the range is reflected.
    """
    if distribution.single():
        return []
    if isinstance(distribution, CategoricalDistribution):
        own = distribution.to_internal_repr(value)  # an index: choices may be equal to each other
        return [choice for index, choice in enumerate(distribution.choices) if index != own]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    drawn = _perturbed(value, distribution, rng)
    if distribution.step is None:
        return list(dict.fromkeys(other for other in drawn if other != value))[:NUMERIC_VALUES]
    low, step = distribution.low, distribution.step
    last = round((distribution.high - low) / step)
    own = round((value - low) / step)
    found: Iterable[int] = range(last + 1)
    if last > NUMERIC_VALUES:
        found = dict.fromkeys([own - 1, own + 1, *(round((x - low) / step) for x in drawn)])
    indices = [index for index in found if 0 <= index <= last and index != own][:NUMERIC_VALUES]
    if isinstance(distribution, IntDistribution):
        return [int(low + index * step) for index in indices]
    # The same arithmetic as in Optuna, so that one point of the grid is one float.
    return [min(float(index * step + low), distribution.high) for index in indices]


def _perturbed(
    value: float, distribution: IntDistribution | FloatDistribution, rng: random.Random
) -> Iterator[float]:
    """Yield perturbed values within the range; each is drawn when it is asked for."""
    forth: Callable[[float], float] = math.log if distribution.log else float
    back: Callable[[float], float] = math.exp if distribution.log else float
    low, high = forth(distribution.low), forth(distribution.high)
    for _ in range(_TRIES_PER_VALUE * NUMERIC_VALUES):
        moved = forth(value) + rng.gauss(0.0, SPREAD) * (high - low)
        # Reflected at either end; beyond ten standard deviations the bounds hold all the same.
        moved = 2 * low - moved if moved < low else moved
        moved = 2 * high - moved if moved > high else moved
        yield min(max(back(moved), distribution.low), distribution.high)
