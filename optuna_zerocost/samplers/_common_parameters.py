"""What some architectures have in common that others mostly have not: a value, a range's side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from optuna.distributions import CategoricalDistribution
from scipy.stats import binom

from optuna_zerocost.records import Candidate

__all__ = ["Condition", "in_common"]

# At most this share of the others may meet a condition.
_MOST_OTHERS = 0.5

# Probability that a condition on some parameter is met so often by chance. It is one of many
# bounds that were looked at, so it has to be small.
_RISK = 1e-4

_MOST_CONDITIONS = 3


class Condition(NamedTuple):
    """``name = value``, ``name ≤ value`` or ``name ≥ value``, and the shares that meet it."""

    name: str
    relation: str
    value: Any
    share: float
    share_of_others: float

    def __str__(self) -> str:
        value = f"{self.value:.4g}" if isinstance(self.value, float) else repr(self.value)
        return (
            f"{self.name} {self.relation} {value} ({self.share:.0%} of these, "
            f"{self.share_of_others:.0%} of the others)"
        )

    def is_met_by(self, candidate: Candidate) -> bool:
        """Return whether ``candidate`` has the parameter, and such a value of it."""
        if self.name not in candidate.params:
            return False
        value = candidate.params[self.name]
        if self.relation == "=":
            return repr(value) == repr(self.value)
        return bool(value <= self.value if self.relation == "≤" else value >= self.value)


def in_common(some: Sequence[Candidate], others: Sequence[Candidate]) -> list[Condition]:
    """Return what is typical of ``some`` architectures and mostly untrue of the ``others``.

    The first condition is the one that chance would be the least likely to bring about, if some
    met it as often as the others. There may be several causes, such as a narrow first layer and a
    narrow second one, so the next condition is the like for those that do not meet the first, and
    so on: at most three. What chance would often bring about is left out, so a handful of
    architectures has nothing in common.
    """
    found: list[Condition] = []
    left = list(some)
    names = dict.fromkeys(name for candidate in some for name in candidate.params)
    while left and others and len(found) < _MOST_CONDITIONS:
        conditions = [c for name in names for c in _conditions(name, left, others)]
        chances = _chances(conditions, len(left), len(others))
        best = int(np.argmin(chances)) if conditions else 0
        if not conditions or chances[best] > np.log(_RISK / len(names)):
            break
        met = [candidate for candidate in some if conditions[best].is_met_by(candidate)]
        found.append(conditions[best]._replace(share=len(met) / len(some)))
        left = [candidate for candidate in left if not conditions[best].is_met_by(candidate)]
    return found


def _chances(conditions: Sequence[Condition], some: int, others: int) -> Any:
    """Return for each the logarithm of the probability that as many meet it by chance."""
    shares = np.array([(c.share, c.share_of_others) for c in conditions]).reshape(-1, 2)
    # As if one more of the others met it, lest a share of 0 be taken for impossible.
    rates = (shares[:, 1] * others + 1) / (others + 1)
    chances = binom.logsf(np.rint(shares[:, 0] * some) - 1, some, rates)
    return np.where(shares[:, 1] <= _MOST_OTHERS, chances, 0.0)


def _conditions(
    name: str, some: Sequence[Candidate], others: Sequence[Candidate]
) -> Iterator[Condition]:
    """Yield the conditions on one parameter; of equal ones a value says more than a side."""
    own, foreign = ([c.params[name] for c in of if name in c.params] for of in (some, others))
    keys, foreign_keys = ([repr(value) for value in values] for values in (own, foreign))
    bounds = dict(zip(keys, own, strict=True))
    for key, value in bounds.items():
        shares = keys.count(key) / len(some), foreign_keys.count(key) / len(others)
        yield Condition(name, "=", value, *shares)
    of_name = [c.distributions[name] for c in (*some, *others) if name in c.distributions]
    if any(isinstance(distribution, CategoricalDistribution) for distribution in of_name):
        return
    rising, foreign_rising = np.sort(own), np.sort(foreign)
    for value in bounds.values():
        up_to = (np.searchsorted(values, value, "right") for values in (rising, foreign_rising))
        below = (np.searchsorted(values, value, "left") for values in (rising, foreign_rising))
        low, foreign_low = map(int, up_to)
        high, foreign_high = map(int, below)
        yield Condition(name, "≤", value, low / len(some), foreign_low / len(others))
        above, foreign_above = len(own) - high, len(foreign) - foreign_high
        yield Condition(name, "≥", value, above / len(some), foreign_above / len(others))
