"""Output warping: a scale of the objective on which a surrogate learns."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["OutputWarp"]

_Array = npt.NDArray[np.float64]

# The distance below the best value, in distances of the median, is taken on a logarithmic scale
# that begins at _RESOLUTION and ends at _FAR.
_RESOLUTION, _FAR = 0.05, 3.0


@dataclass(frozen=True)
class OutputWarp:
    """Stretches values: the closer to the best, the more a difference counts.

    Those that it was made of have the mean 0 afterwards. The order at the top is what matters.
    """

    exponent: int = 0  # values are taken times 2 to the power of minus this, lest they overflow
    best: float = 0.0
    unit: float = 1.0  # distance of the median from the best value
    mean: float = 0.0  # of the warped values, before it is subtracted

    @classmethod
    def of(cls, values: _Array) -> OutputWarp:
        """Return the warp that fits ``values``, of shape (n,), higher is better, finite."""
        if not len(values):
            return cls()
        if values.min() == values.max():  # which has no size to be relative to
            warp = cls(best=float(values[0]))
        else:
            exponent = math.frexp(float(np.abs(values).max()))[1]
            scaled = np.ldexp(values, -exponent)
            best = float(scaled.max())
            warp = cls(
                exponent, best, best - float(np.median(scaled)) or best - float(scaled.min())
            )
        return dataclasses.replace(warp, mean=float(warp.warp(values).mean()))

    def warp(self, values: _Array) -> _Array:
        """Return warped values, of the same shape."""
        with np.errstate(over="ignore"):  # far below is far below
            below = (self.best - np.ldexp(values, -self.exponent)) / self.unit
        below = np.minimum(below, _FAR)
        warped: _Array = -np.log(np.maximum(below, 0.0) + _RESOLUTION) - self.mean
        return warped

    def unwarp(self, warped: float) -> float:
        """Return the value that was warped to ``warped``, unless it was far below the best."""
        scaled = self.best - self.unit * (math.exp(-warped - self.mean) - _RESOLUTION)
        with np.errstate(over="ignore"):
            value = float(np.ldexp(scaled, self.exponent))
        return min(max(value, -sys.float_info.max), sys.float_info.max)
