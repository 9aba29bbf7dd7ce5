"""How far apart two sets of parameters are, whatever kinds of parameters they have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

__all__ = ["ParameterDistance"]

_Array = npt.NDArray[np.float64]
_Row = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]

_SQUARE = 4.0  # half of a range counts like another choice


class ParameterDistance:
    """The mean difference between sets of parameters, define-by-run spaces included.

    Two choices of a categorical parameter differ by 1; two numbers by 4 r², where r is the share
    of the parameter's range that is between them, on the logarithmic scale where the distribution
    says so. So half of the range counts like another choice, and a covariance that falls off with
    the exponential of the distance is smooth in numbers (Rasmussen & Williams, eq. 4.9). Being
    absent is a value of its own: it differs from any other by 1. The sum over the parameters is
    divided by the mean number of those present, so that the parameters which most architectures
    lack do not dilute it.

    Args:
        rows: ``(params, distributions)`` of each architecture; ranges and numbers of parameters
            are taken from all of them.
        names: The parameters that count; others are left out.
    """

    def __init__(self, rows: Sequence[_Row], names: Sequence[str]) -> None:
        columns = [_column(rows, name) for name in names]
        self._codes = np.array([values for values, _ in columns]).reshape(len(names), len(rows))
        self._is_categorical = [is_categorical for _, is_categorical in columns]
        present = float(np.isfinite(self._codes).sum(axis=0).mean()) if rows else 0.0
        self._scale = 1.0 / max(present, 1.0)

    def between(self, some: npt.NDArray[np.intp], others: npt.NDArray[np.intp]) -> _Array:
        """Return the distances from rows ``some`` to rows ``others``: (len(some), len(others))."""
        total = np.zeros((len(some), len(others)))
        for codes, is_categorical in zip(self._codes, self._is_categorical, strict=True):
            a, b = codes[some][:, None], codes[others][None, :]
            difference = (a != b).astype(np.float64) if is_categorical else _SQUARE * (a - b) ** 2
            # NaN stands for absent.
            absent_a, absent_b = np.isnan(a), np.isnan(b)
            difference[absent_a != absent_b] = 1.0
            difference[absent_a & absent_b] = 0.0
            total += difference
        return total * self._scale


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
