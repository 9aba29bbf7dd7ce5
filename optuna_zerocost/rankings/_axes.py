"""Axes of a search space: each parameter's values as places that a surrogate can compare."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

__all__ = ["Axis", "Choices", "Numbers", "axis_of"]

_Array = npt.NDArray[np.float64]

_FEWEST_IN_ORDER = 3  # choices; between two there is one difference, whatever they are


@dataclass(frozen=True)
class Choices:
    """Choices without an order; their places are 0, 1, …, and one more for any other value."""

    choices: tuple[Any, ...]

    @property
    def levels(self) -> int:
        """Number of values."""
        return len(self.choices)

    def place(self, value: Any) -> float:
        """Return the place of a value."""
        return self._places.get(_identity(value), float(len(self.choices)))

    @functools.cached_property
    def _places(self) -> dict[tuple[type, Any], float]:
        return {_identity(choice): float(i) for i, choice in enumerate(self.choices)}

    def value(self, place: float) -> Any:
        """Return the value at a place."""
        return self.choices[min(int(place), len(self.choices) - 1)]

    def step_of(self, places: _Array) -> _Array:
        """Return the numbers of the values at ``places``."""
        return places

    def drawn(self, rng: np.random.Generator, count: int) -> _Array:
        """Return random places."""
        return rng.integers(len(self.choices), size=count).astype(np.float64)

    def moved(self, places: _Array, rng: np.random.Generator, scale: float) -> _Array:
        """Return other places, as near as ``scale`` says where there is near and far."""
        others = rng.integers(1, max(self.levels, 2), size=len(places))
        return np.asarray((places + others) % max(self.levels, 1), dtype=np.float64)

    def columns(self, places: _Array) -> list[_Array]:
        """Return coordinates; two choices have the distance 1."""
        if self.levels < 2:
            return []
        indices = range(self.levels) if self.levels > 2 else range(1)
        unit = math.sqrt(0.5) if self.levels > 2 else 1.0
        return [unit * (places == index) for index in indices]


@dataclass(frozen=True)
class Numbers:
    """Numbers, with places from 0 to 1: even on a scale, or those of ordered choices."""

    low: float
    high: float
    is_log: bool
    step: float  # 0 for a continuum
    is_integer: bool
    ordered: tuple[Any, ...] = ()  # the choices in their order, where it is choices

    @functools.cached_property
    def _scale(self) -> tuple[float, float]:
        """The ends of the range, scaled."""
        return self._scaled(self.low), self._scaled(self.high)

    @property
    def levels(self) -> int:
        """Number of values, 0 for a continuum."""
        if self.ordered:
            return len(self.ordered)
        return round((self.high - self.low) / self.step) + 1 if self.step else 0

    def place(self, value: Any) -> float:
        """Return the place of a value; one outside of the range is put at its end."""
        if self.ordered:
            return self.ordered.index(value) / (len(self.ordered) - 1)
        low, high = self._scale
        if not high > low:
            return 0.5
        if self.is_log and value <= 0:
            return 0.0
        return min(max((self._scaled(value) - low) / (high - low), 0.0), 1.0)

    def value(self, place: float) -> Any:
        """Return the value at a place."""
        if self.ordered:
            return self.ordered[round(place * (len(self.ordered) - 1))]
        value = float(self._unscaled(np.array([place]))[0])
        return round(value) if self.is_integer else value

    def step_of(self, places: _Array) -> _Array:
        """Return the numbers of the values at ``places``, from the lowest on."""
        if self.ordered or not self.step:
            return np.round(places * (self.levels - 1))
        return np.round((self._unscaled(places) - self.low) / self.step)

    def drawn(self, rng: np.random.Generator, count: int) -> _Array:
        """Return random places."""
        return self._snapped(rng.random(count))

    def moved(self, places: _Array, rng: np.random.Generator, scale: float) -> _Array:
        """Return other places, about ``scale`` away but one step at least."""
        steps = scale * rng.standard_normal(len(places))
        if self.levels > 1:
            steps = np.copysign(np.maximum(np.abs(steps), 1 / (self.levels - 1)), steps)
        moved = np.abs(places + steps)
        return self._snapped(np.where(moved > 1, 2 - moved, moved))

    def columns(self, places: _Array) -> list[_Array]:
        """Return coordinates; what is absent stands in the middle."""
        return [np.where(np.isnan(places), 0.5, places)]

    def _snapped(self, places: _Array) -> _Array:
        """Return places of values for any places, NaN stays."""
        places = np.clip(places, 0.0, 1.0)
        if self.ordered:
            return np.round(places * (self.levels - 1)) / (self.levels - 1)
        low, high = self._scale
        if not self.step or not high > low:
            return places
        values = self._unscaled(places)
        scaled = np.log(values) if self.is_log else values
        return np.asarray((scaled - low) / (high - low), dtype=np.float64)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else float(value)

    def _unscaled(self, places: _Array) -> _Array:
        low, high = self._scale
        values = low + np.clip(places, 0.0, 1.0) * (high - low)
        values = np.clip(np.exp(values) if self.is_log else values, self.low, self.high)
        if self.step:
            values = self.low + self.step * np.round((values - self.low) / self.step)
        return np.asarray(np.minimum(values, self.high), dtype=np.float64)


Axis = Choices | Numbers


def axis_of(distributions: Sequence[BaseDistribution]) -> Axis | None:
    """Return the axis of a parameter that had these distributions, the latest last.

    Choices that are three finite numbers or more, such as widths, kernel sizes and numbers of
    layers, are numbers in their order. Ranges are united. ``None`` if there is no such axis: it
    was a choice here and a number there, or a choice of other things.
    """
    latest = distributions[-1]
    if isinstance(latest, CategoricalDistribution):
        choices = latest.choices
        if any(getattr(d, "choices", None) != choices for d in distributions):
            return None
        if len(set(choices)) >= _FEWEST_IN_ORDER and all(map(_is_finite_number, choices)):
            ordered = tuple(sorted(set(choices), key=lambda choice: float(choice or 0)))
            return Numbers(0.0, 1.0, False, 0.0, False, ordered)
        return Choices(choices)
    if any(type(d) is not type(latest) for d in distributions):
        return None
    is_log = all(getattr(d, "log", False) for d in distributions)
    low = min(getattr(d, "low") for d in distributions)  # noqa: B009
    high = max(getattr(d, "high") for d in distributions)  # noqa: B009
    step = getattr(latest, "step", None) or 0.0
    return Numbers(low, high, is_log, step, isinstance(latest, IntDistribution))


def _is_finite_number(choice: Any) -> bool:
    is_number = isinstance(choice, (int, float)) and not isinstance(choice, bool)
    return is_number and math.isfinite(choice)


def _identity(value: Any) -> tuple[type, Any]:
    # True is no 1, and NaN is NaN.
    return type(value), repr(value) if value != value else value
