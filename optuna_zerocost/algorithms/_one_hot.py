"""Parameters as a vector, for samplers that learn from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

__all__ = ["OneHotEncoder"]


class OneHotEncoder:
    """Turns parameters into a vector of fixed length.

    A categorical is one-hot; an integer or float is scaled to [0, 1], on a logarithmic scale if
    its distribution has one. Every parameter has one entry more, which is 1 where it is absent.
    Of ranges that differ among the ``distributions`` of past trials the hull is taken.
    """

    def __init__(self, distributions: Iterable[Mapping[str, BaseDistribution]]) -> None:
        known: dict[str, CategoricalDistribution | _Range] = {}
        for name, distribution in (item for one in distributions for item in one.items()):
            if isinstance(distribution, CategoricalDistribution):
                known[name] = distribution
            elif isinstance(distribution, IntDistribution | FloatDistribution):
                own = _Range(distribution.low, distribution.high, distribution.log)
                before = known.get(name)
                known[name] = own.united(before) if isinstance(before, _Range) else own
        self._known = dict(sorted(known.items()))

    def __call__(self, params: Mapping[str, Any]) -> npt.NDArray[np.float32]:
        """Return the vector of ``params``; parameters that are not known are left out."""
        entries: list[float] = []
        for name, known in self._known.items():
            is_absent = name not in params
            entries.append(float(is_absent))
            if isinstance(known, _Range):
                entries.append(0.0 if is_absent else known.scaled(params[name]))
            else:
                one_hot = [0.0] * len(known.choices)
                if not is_absent:
                    one_hot[int(known.to_internal_repr(params[name]))] = 1.0
                entries += one_hot
        return np.array(entries, dtype=np.float32)


@dataclass(frozen=True)
class _Range:
    low: float
    high: float
    is_log: bool

    def united(self, other: _Range) -> _Range:
        return _Range(min(self.low, other.low), max(self.high, other.high), self.is_log)

    def scaled(self, value: float) -> float:
        """Return where in the range ``value`` lies, from 0 to 1 inside."""
        low, high, at = self.low, self.high, float(value)
        if self.is_log and min(low, at) > 0:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return (at - low) / (high - low) if high > low else 0.0
