"""How far apart two sets of parameters are, whatever kinds of parameters they have."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

__all__ = ["Differences", "ParameterDistance"]

_Array = npt.NDArray[np.float64]
_Row = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]

_HALF = 2.0  # half of a range counts like another choice


@dataclass(frozen=True)
class Differences:
    """By how much two sets of parameters differ in each parameter.

    Attributes:
        each: Shape (q, m, n) for q parameters; from 0 to 1 for choices, to 2 for numbers.
        is_number: For each parameter whether its differences are those of numbers.
        scale: What the sum over the parameters is multiplied by.
    """

    each: _Array
    is_number: Sequence[bool]
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n)."""
        return self.each.shape[1], self.each.shape[2]

    def at(self, rows: npt.NDArray[np.intp]) -> Differences:
        """Return those between ``rows``; m and n must be the same architectures."""
        return Differences(self.each[:, rows][:, :, rows], self.is_number, self.scale)

    def mean(self, power: float = 2.0, relevance: Sequence[float] | None = None) -> _Array:
        """Return the distances, shape (m, n).

        Args:
            power: Of the differences of numbers, 2 or 1.
            relevance: Weight of each parameter; default: 1.
        """
        count = len(self.each)
        weights = self.scale * np.array(relevance or [1.0] * count)
        each = self.squares if power == 2.0 else self.each
        return np.asarray(weights @ each.reshape(count, -1)).reshape(self.shape)

    @functools.cached_property
    def squares(self) -> _Array:
        """The same with the differences of numbers squared."""
        squares: _Array = self.each.copy()
        squares[list(self.is_number)] **= 2
        return squares


class ParameterDistance:
    """The differences between sets of parameters, define-by-run spaces included.

    Two choices of a categorical parameter differ by 1; two numbers by 2 r, where r is the share
    of the parameter's range that is between them, on the logarithmic scale where the distribution
    says so. So half of the range counts like another choice. Being absent is a value of its own:
    it differs from any other by 1. The sum over the parameters is divided by the mean number of
    those present, so that the parameters which most architectures lack do not dilute it.

    Args:
        rows: ``(params, distributions)`` of each architecture; ranges and numbers of parameters
            are taken from all of them.
        names: The parameters that count; others are left out.
    """

    def __init__(self, rows: Sequence[_Row], names: Sequence[str]) -> None:
        columns = [_column(rows, name) for name in names]
        self._codes = np.array([values for values, _ in columns]).reshape(len(names), len(rows))
        self._is_number = [not is_categorical for _, is_categorical in columns]
        present = float(np.isfinite(self._codes).sum(axis=0).mean()) if rows else 0.0
        self._scale = 1.0 / max(present, 1.0)

    def between(self, some: npt.NDArray[np.intp], others: npt.NDArray[np.intp]) -> Differences:
        """Return the differences of rows ``some`` from rows ``others``."""
        each = np.zeros((len(self._codes), len(some), len(others)))
        for difference, codes, is_number in zip(each, self._codes, self._is_number, strict=True):
            a, b = codes[some][:, None], codes[others][None, :]
            difference[:] = _HALF * np.abs(a - b) if is_number else a != b
            # NaN stands for absent.
            absent_a, absent_b = np.isnan(a), np.isnan(b)
            difference[absent_a != absent_b] = 1.0
            difference[absent_a & absent_b] = 0.0
        return Differences(each, self._is_number, self._scale)


def _column(rows: Sequence[_Row], name: str) -> tuple[_Array, bool]:
    """Return one parameter of all rows as numbers, NaN where it is absent, and its kind."""
    distributions = [row[1][name] for row in rows if name in row[1]]
    # A name that is a categorical here and a number there is compared as a categorical.
    if any(isinstance(d, CategoricalDistribution) for d in distributions):
        codes: dict[str, int] = {}
        values = [
            codes.setdefault(repr(params[name]), len(codes)) if name in params else math.nan
            for params, _ in rows
        ]
        return np.array(values, dtype=np.float64), True
    is_log = bool(distributions) and all(getattr(d, "log", False) for d in distributions)
    scaled = math.log if is_log else float
    values = [scaled(params[name]) if name in params else math.nan for params, _ in rows]
    low = min((scaled(getattr(d, "low")) for d in distributions), default=0.0)  # noqa: B009
    high = max((scaled(getattr(d, "high")) for d in distributions), default=1.0)  # noqa: B009
    return (np.array(values, dtype=np.float64) - low) / max(high - low, 1e-12), False
