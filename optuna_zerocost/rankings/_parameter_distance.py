"""Distances between sets of parameters, whatever kinds of parameters they have."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution

__all__ = ["Differences", "ParameterDistance"]

_Array = npt.NDArray[np.float64]
_Row = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]

_HALF = 2.0  # half of a range counts like another choice
_FEWEST_IN_ORDER = 3  # choices; between two there is one difference, whatever they are


@dataclass(frozen=True)
class Differences:
    """By how much m sets of parameters differ from n others in each of q parameters."""

    each: _Array  # shape (q, m, n); from 0 to 1 for choices, to 2 for numbers
    is_number: Sequence[bool]  # for each parameter whether its differences are those of numbers
    scale: float  # of the sum over the parameters
    # For parameters by their index: their differences where choices that are numbers are read as
    # these, each of shape (m, n).
    in_order: Mapping[int, _Array] = field(default_factory=dict)
    _known: dict[tuple[float, bool], _Array] = field(default_factory=dict, init=False)

    def at(self, rows: npt.NDArray[np.intp]) -> Differences:
        """Return those between ``rows``; m and n must be the same architectures."""
        in_order = {index: each[rows][:, rows] for index, each in self.in_order.items()}
        return Differences(self.each[:, rows][:, :, rows], self.is_number, self.scale, in_order)

    def mean(
        self,
        power: float = 2.0,
        relevance: Sequence[float] | None = None,
        *,
        ordered: bool = False,
    ) -> _Array:
        """Return the distances, shape (m, n), as means weighted by ``relevance``.

        The differences of numbers are raised to ``power``, 2 or 1. With ``ordered`` choices that
        are numbers are read as numbers.
        """
        each = self._powers(power, ordered)
        weights = self.scale * np.array(relevance or [1.0] * len(each))
        return np.asarray(weights @ each.reshape(len(each), -1)).reshape(each.shape[1:])

    def sums(self, weights: _Array, power: float = 2.0, *, ordered: bool = False) -> _Array:
        """Return the derivatives by the relevances of the sum of distances times ``weights``."""
        each = self._powers(power, ordered)
        return np.asarray(self.scale * (each.reshape(len(each), -1) @ weights.ravel()))

    def _powers(self, power: float, ordered: bool) -> _Array:
        if (power, ordered) not in self._known:
            each: _Array = self.each.copy()
            is_number = list(self.is_number)
            for index, differences in (self.in_order if ordered else {}).items():
                each[index] = differences
                is_number[index] = True
            each[is_number] **= power
            self._known[power, ordered] = each
        return self._known[power, ordered]


class ParameterDistance:
    """The differences between sets of parameters, define-by-run spaces included.

    Two choices of a categorical parameter differ by 1; two numbers by 2 r, where r is the share
    of the parameter's range that is between them, on the logarithmic scale where the distribution
    says so. So half of the range counts like another choice. Being absent is a value of its own:
    it differs from any other by 1. The sum over the parameters is divided by the mean number of
    those present, so that the parameters which most architectures lack do not dilute it.

    A categorical parameter whose choices are three numbers or more (widths, kernel sizes, numbers
    of layers) can be read in both ways: as choices, or as numbers that are equally far from the
    next larger one, so that 16, 32, 64 and 3, 5, 7 are alike.

    Ranges and numbers of parameters are taken from all rows ``(params, distributions)``.
    Parameters without one of the ``names`` do not count.
    """

    def __init__(self, rows: Sequence[_Row], names: Sequence[str]) -> None:
        columns = [_column(rows, name) for name in names]
        self._codes = np.array([values for values, _ in columns]).reshape(len(names), len(rows))
        self._is_number = [not is_categorical for _, is_categorical in columns]
        places = {index: _places(rows, name) for index, name in enumerate(names)}
        self._places = {index: found for index, found in places.items() if found is not None}
        present = float(np.isfinite(self._codes).sum(axis=0).mean()) if rows else 0.0
        self._scale = 1.0 / max(present, 1.0)

    def between(self, some: npt.NDArray[np.intp], others: npt.NDArray[np.intp]) -> Differences:
        """Return the differences of rows ``some`` from rows ``others``."""
        each = np.zeros((len(self._codes), len(some), len(others)))
        for difference, codes, is_number in zip(each, self._codes, self._is_number, strict=True):
            difference[:] = _difference(codes[some], codes[others], is_number=is_number)
        in_order = {
            index: _difference(places[some], places[others], is_number=True)
            for index, places in self._places.items()
        }
        return Differences(each, self._is_number, self._scale, in_order)

    def digest(self, rows: npt.NDArray[np.intp]) -> bytes:
        """Return what is the same only for rows with the same differences."""
        found = hashlib.sha256(repr((self._scale, self._is_number, list(self._places))).encode())
        for values in (*self._codes, *self._places.values()):
            found.update(values[rows].tobytes())
        return found.digest()


def _difference(some: _Array, others: _Array, *, is_number: bool) -> _Array:
    """Return how one parameter differs, shape (m, n); NaN stands for absent."""
    a, b = some[:, None], others[None, :]
    difference = _HALF * np.abs(a - b) if is_number else (a != b).astype(np.float64)
    absent_a, absent_b = np.isnan(a), np.isnan(b)
    difference[absent_a != absent_b] = 1.0
    difference[absent_a & absent_b] = 0.0
    return difference


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


def _places(rows: Sequence[_Row], name: str) -> _Array | None:
    """Return each row's place from 0 to 1 among the choices in their order, NaN where absent.

    ``None`` if the parameter is not a categorical whose choices are three numbers or more.
    """
    kinds: list[tuple[Any, ...]] = []
    for _, distributions in rows:
        distribution = distributions.get(name)
        if isinstance(distribution, CategoricalDistribution):
            if distribution.choices not in kinds:
                kinds.append(distribution.choices)
        elif distribution is not None:
            return None
    if not all(_is_finite_number(choice) for kind in kinds for choice in kind):
        return None
    ordered = sorted({choice for kind in kinds for choice in kind})
    if len(ordered) < _FEWEST_IN_ORDER:
        return None
    places = {choice: index / (len(ordered) - 1) for index, choice in enumerate(ordered)}
    return np.array([places[params[name]] if name in params else math.nan for params, _ in rows])


def _is_finite_number(choice: Any) -> bool:
    is_number = isinstance(choice, (int, float)) and not isinstance(choice, bool)
    return is_number and math.isfinite(choice)
