"""Output warping: a scale of the objective on which a surrogate learns."""

from __future__ import annotations

import math
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

    best: float = 0.0
    unit: float = 1.0  # distance of the median from the best value
    mean: float = 0.0  # of the warped values, before it is subtracted

    @classmethod
    def of(cls, values: _Array) -> OutputWarp:
        """Return the warp that fits ``values``, of shape (n,), higher is better."""
        if not len(values):
            return cls()
        best = float(values.max())
        unit = best - float(np.median(values)) or best - float(values.min()) or 1.0
        return cls(best, unit, float(cls(best, unit).warp(values).mean()))

    def warp(self, values: _Array) -> _Array:
        """Return warped values, of the same shape."""
        below = np.minimum((self.best - values) / self.unit, _FAR)
        warped: _Array = -np.log(np.maximum(below, 0.0) + _RESOLUTION) - self.mean
        return warped

    def unwarp(self, warped: float) -> float:
        """Return the value that was warped to ``warped``, unless it was far below the best."""
        return self.best - self.unit * (math.exp(-warped - self.mean) - _RESOLUTION)
