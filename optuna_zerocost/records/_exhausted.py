"""Whether a search space has any architecture left."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optuna_zerocost import _compat

__all__ = ["is_exhausted"]

# Values, as a user sees them, and the distributions of at least these parameters. A long study has
# many, so that they are taken as they are.
_Architecture = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]


def is_exhausted(architectures: Sequence[_Architecture], given: Mapping[str, Any]) -> bool:
    """Return whether these are all architectures that there are, with the values that are given.

    They are told apart by a parameter that all of them have, with one distribution; each of its
    values must be there, and what has it be all that there is with it. A define-by-run space has
    such a parameter everywhere: the one that is asked for next. Where there is none, or one with
    infinitely many values, the answer is no.
    """
    return bool(architectures) and _is_covered(architectures, given, ())


def _is_covered(
    architectures: Sequence[_Architecture],
    given: Mapping[str, Any],
    told: Collection[str],
) -> bool:
    first, *others = architectures
    left = [name for name in first[0] if name not in told]
    if not left:
        return all(params.keys() <= set(told) for params, _ in others)
    name = next((name for name in left if _is_common(name, first, others)), None)
    if name is None:
        return False
    distribution = first[1][name]
    parts: dict[Any, list[_Architecture]] = {}
    for each in architectures:
        parts.setdefault(distribution.to_internal_repr(each[0][name]), []).append(each)
    if name in given and not distribution.single():
        try:
            wanted = [distribution.to_internal_repr(given[name])]
        except (TypeError, ValueError):
            return False
    else:
        wanted = [value for value in parts if _compat.is_within(distribution, value)]
        if len(wanted) < _number_of_values(distribution):
            return False
    return all(
        value in parts and _is_covered(parts[value], given, {*told, name}) for value in wanted
    )


def _is_common(name: str, first: _Architecture, others: Sequence[_Architecture]) -> bool:
    distribution = first[1][name]
    return all(
        name in params and distributions[name] == distribution for params, distributions in others
    )


def _number_of_values(distribution: BaseDistribution) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.single():
        return 1
    if distribution.step is None:
        return math.inf
    return round((distribution.high - distribution.low) / distribution.step) + 1
