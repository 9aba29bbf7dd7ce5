"""Sets of parameters that are one edit away from another, in any define-by-run search space."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

__all__ = ["NUMERIC_VALUES", "SPREAD", "one_edits", "one_edit_neighbours", "other_values"]

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
    numeric_values: int = NUMERIC_VALUES,
) -> list[dict[str, Any]]:
    """Return every set of parameters that differs from ``params`` in one value.

    A value that decides which other parameters there are may make some of ``params`` superfluous,
    and others necessary: run the builder on the result.

    Args:
        params: Values as a user sees them.
        distributions: For each name in ``params`` the distribution that it was drawn from.
        rng: For the values of numbers that have more than ``numeric_values``.
        fixed: Names that are not edited.
        numeric_values: See :func:`other_values`.

    Returns:
        The neighbours, in the order of ``params`` and of :func:`other_values`; all differ.
    """
    edits = one_edits(params, distributions, rng, fixed=fixed, numeric_values=numeric_values)
    return [{**params, name: other} for name, others in edits for other in others]


def one_edits(
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    rng: random.Random,
    *,
    fixed: Collection[str] = (),
    numeric_values: int = NUMERIC_VALUES,
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each name in ``params`` that is not ``fixed``, with the values it can be edited to.

    Args:
        params: See :func:`one_edit_neighbours`.
        distributions: See :func:`one_edit_neighbours`.
        rng: Used anew for each name.
        fixed: Names that are not edited.
        numeric_values: See :func:`other_values`.
    """
    for name, value in params.items():
        if name not in fixed:
            yield (
                name,
                other_values(value, distributions[name], rng, numeric_values=numeric_values),
            )


def other_values(
    value: Any,
    distribution: BaseDistribution,
    rng: random.Random,
    *,
    numeric_values: int = NUMERIC_VALUES,
) -> list[Any]:
    """Return the values that one edit can turn ``value`` into.

    * Categorical: all other choices.
    * Integer, or float with a step: all other values if there are at most ``numeric_values``;
      otherwise the one or two next to ``value``, and perturbed ones up to that number.
    * Float without a step: ``numeric_values`` perturbed ones.

    A perturbation adds a normal variable with standard deviation ``SPREAD`` on the scale on which
    the range is [0, 1], logarithmic where the distribution is; what leaves the range is reflected.

    Args:
        value: As a user sees it, contained in ``distribution``.
        distribution: What it was drawn from.
        rng: Draws the perturbations.
        numeric_values: How many values a number gets at most.

    Returns:
        Distinct values other than ``value``, as a user sees them; none if it is the only one.
    """
    if distribution.single():
        return []
    if isinstance(distribution, CategoricalDistribution):
        own = distribution.to_internal_repr(value)  # an index: choices may be equal to each other
        return [choice for index, choice in enumerate(distribution.choices) if index != own]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.step is None:
        return _others_of_continuous(value, distribution, rng, numeric_values)
    return _others_on_grid(value, distribution, rng, numeric_values)


def _others_of_continuous(
    value: float, distribution: FloatDistribution, rng: random.Random, count: int
) -> list[Any]:
    perturb = _perturbation(value, distribution, rng)
    drawn = (perturb() for _ in range(_TRIES_PER_VALUE * count))
    return list(dict.fromkeys(other for other in drawn if other != value))[:count]


def _others_on_grid(
    value: float,
    distribution: IntDistribution | FloatDistribution,
    rng: random.Random,
    count: int,
) -> list[Any]:
    low, step = distribution.low, distribution.step
    assert step is not None
    last = round((distribution.high - low) / step)
    own = round((value - low) / step)
    if last <= count:
        indices = [index for index in range(last + 1) if index != own]
    else:
        perturb = _perturbation(value, distribution, rng)
        drawn = (round((perturb() - low) / step) for _ in range(_TRIES_PER_VALUE * count))
        found = dict.fromkeys([own - 1, own + 1, *drawn])
        indices = [index for index in found if 0 <= index <= last and index != own][:count]
    if isinstance(distribution, IntDistribution):
        return [int(low + index * step) for index in indices]
    # The same arithmetic as in Optuna, so that one point of the grid is one float.
    return [min(float(index * step + low), distribution.high) for index in indices]


def _perturbation(
    value: float, distribution: IntDistribution | FloatDistribution, rng: random.Random
) -> Callable[[], float]:
    """Return a function that draws perturbed values within the range."""
    forth: Callable[[float], float] = math.log if distribution.log else float
    back: Callable[[float], float] = math.exp if distribution.log else float
    low, high = forth(distribution.low), forth(distribution.high)

    def perturb() -> float:
        moved = forth(value) + rng.gauss(0.0, SPREAD) * (high - low)
        # Reflected at either end; beyond ten standard deviations the bounds hold all the same.
        moved = 2 * low - moved if moved < low else moved
        moved = 2 * high - moved if moved > high else moved
        return min(max(back(moved), distribution.low), distribution.high)

    return perturb
