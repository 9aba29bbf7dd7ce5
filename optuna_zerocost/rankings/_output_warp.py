"""Output warping: scales of the objective on which a surrogate may learn."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["OutputWarp", "SOFTNESSES", "warps_of"]

_Array = npt.NDArray[np.float64]

SOFTNESSES = (math.inf, 1.0, 0.3, 0.05)
"""How far from the best value a difference counts less by half, in distances of the median.

With infinity there is no such distance: the scale is linear.
"""

_WHISKER = 1.5  # interquartile ranges below the lower quartile are far below
_FARTHEST = 1e6  # distances of the median; squares of these are numbers
_STEEP = 700.0  # exp(this) is still a number


@dataclass(frozen=True)
class OutputWarp:
    """Stretches values: the closer to the best, the more a difference counts.

    Warped values are -log(softness + below), where *below* is the distance from the best value
    relative to that of the median; linear with an infinite softness. Values that are far below
    are taken as less far: they are bad, however bad. The values that a warp was made of have mean
    0 and variance 1 afterwards.
    """

    exponent: int = 0  # values are taken times 2 to the power of minus this, lest they overflow
    best: float = 0.0
    unit: float = 1.0  # distance of the median from the best value
    floor: float = -math.inf
    softness: float = math.inf
    mean: float = 0.0
    deviation: float = 1.0
    log_slope: float = 0.0
    """Σ log |dz/dy| over the values y that it was made of: what their density gains by it."""

    def warp(self, values: _Array) -> _Array:
        """Return warped values, of the same shape."""
        return np.asarray((self._raw(values) - self.mean) / self.deviation, dtype=np.float64)

    def _below(self, values: _Array) -> _Array:
        with np.errstate(over="ignore"):  # far below is far below
            scaled = np.maximum(np.ldexp(values, -self.exponent), self.floor)
        return np.asarray(np.maximum((self.best - scaled) / self.unit, 0.0), dtype=np.float64)

    def _raw(self, values: _Array) -> _Array:
        below = self._below(values)
        return -below if math.isinf(self.softness) else -np.log(below + self.softness)

    def unwarp(self, warped: float) -> float:
        """Return the value that was warped to ``warped``, unless it was far below the best."""
        raw = self.mean + self.deviation * warped
        below = -raw
        if not math.isinf(self.softness):
            below = math.exp(min(-raw, _STEEP)) - self.softness
        with np.errstate(over="ignore"):
            value = float(np.ldexp(self.best - self.unit * below, self.exponent))
        return min(max(value, -sys.float_info.max), sys.float_info.max)


def warps_of(values: _Array, softnesses: tuple[float, ...] = SOFTNESSES) -> list[OutputWarp]:
    """Return the warps for ``values``, of shape (n,), higher is better, finite."""
    if not len(values) or values.min() == values.max():  # which has no size to be relative to
        return [OutputWarp(best=float(values[0]) if len(values) else 0.0)]
    exponent = math.frexp(float(np.abs(values).max()))[1]
    scaled = np.ldexp(values, -exponent)
    best = float(scaled.max())
    low, middle, high = np.quantile(scaled, [0.25, 0.5, 0.75])
    floor = low - _WHISKER * (high - low) if high > low else float(scaled.min())
    unit = best - float(middle) or best - float(scaled.min())
    floor = max(float(floor), best - _FARTHEST * unit)
    return [
        _standardising(OutputWarp(exponent, best, unit, floor, softness), values)
        for softness in softnesses
    ]


def _standardising(warp: OutputWarp, values: _Array) -> OutputWarp:
    raw = warp._raw(values)
    deviation = float(raw.std()) or 1.0
    slopes = -len(values) * math.log(deviation)
    if not math.isinf(warp.softness):
        slopes -= float(np.log(warp._below(values) + warp.softness).sum())
    return dataclasses.replace(warp, mean=float(raw.mean()), deviation=deviation, log_slope=slopes)
