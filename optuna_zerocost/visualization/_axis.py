"""Axes for scores, which may be all close together or span many decades, below zero too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Axis", "axis_for"]

# Beyond this, a linear axis shows one large value and a heap at zero.
_MOST_DECADES = 2.0
_MOST_TICKS = 6
_FARTHEST = 30


@dataclass(frozen=True)
class Axis:
    """Placement of numbers on an axis.

    Attributes:
        layout: Properties of a plotly axis.
        unit: ``None`` if numbers are placed as they are; otherwise the scale is linear up to this
            magnitude and logarithmic beyond it, on both sides of zero.
    """

    layout: dict[str, Any]
    unit: float | None = None

    def place(self, values: Sequence[float]) -> list[float]:
        """Return where ``values`` are on the axis; six digits, which no screen can tell apart."""
        if self.unit is not None:
            values = [_symmetric_log(value, self.unit) for value in values]
        return [float(f"{value:.6g}") for value in values]


def axis_for(values: Sequence[float]) -> Axis:
    """Return a linear, a logarithmic or, for both signs, a symmetric logarithmic axis.

    Args:
        values: All finite numbers that will be placed.
    """
    magnitudes = np.abs(np.array([value for value in values if value != 0], dtype=np.float64))
    if len(magnitudes) < 2:
        return Axis({})
    # A few numbers near zero among large ones are no reason for a logarithmic axis.
    low, high = np.quantile(magnitudes, 0.1), magnitudes.max()
    if math.log10(high) - math.log10(low) <= _MOST_DECADES:
        return Axis({})
    if min(values) > 0:
        decades = math.log10(max(values)) - math.log10(min(values))
        step = max(1, math.ceil(decades / _MOST_TICKS))
        return Axis({"type": "log", "exponentformat": "power", "dtick": step})
    # Some scores vanish but for rounding errors: their decades tell nothing.
    unit = 10.0 ** max(math.floor(math.log10(low)), math.floor(math.log10(high)) - _FARTHEST)
    ticks = _ticks(min(values), max(values), unit)
    return Axis(
        {
            "tickvals": [_symmetric_log(tick, unit) for tick in ticks],
            "ticktext": [_label(tick) for tick in ticks],
        },
        unit,
    )


def _symmetric_log(value: float, unit: float) -> float:
    return math.copysign(math.log10(1 + abs(value) / unit), value)


def _ticks(low: float, high: float, unit: float) -> list[float]:
    """Return zero, if it is between ``low`` and ``high``, and powers of ten with their sign."""
    first = round(math.log10(unit))
    decades = math.ceil(math.log10(max(abs(low), abs(high)))) - first + 1
    sides = (low < 0) + (high > 0)
    step = max(1, math.ceil(decades * sides / _MOST_TICKS))
    # The first power would stand too near to zero to be read.
    powers = [10.0**exponent for exponent in range(first + step, first + decades, step)]
    ticks = [-power for power in reversed(powers)] + [0.0] + powers
    return [tick for tick in ticks if low <= tick <= high] or [low, high]


def _label(tick: float) -> str:
    if tick == 0:
        return "0"
    sign, exponent = "−" if tick < 0 else "", round(math.log10(abs(tick)))
    return f"{sign}10<sup>{exponent}</sup>"
