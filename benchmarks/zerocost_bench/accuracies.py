"""The accuracies of a benchmark's networks on one data set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zerocost_bench.failure import BenchmarkError

__all__ = ["Accuracies", "Array"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Accuracies:
    """Accuracies of all architectures on one data set, in %, in the benchmark's order.

    Attributes:
        dataset: One of the benchmark's.
        validation: After the whole training, mean over its seeds.
        test: On the test samples; ``None`` if not known.
        short: On the validation samples after a training of 12 epochs; ``None`` if not known.
        short_passes: What these 12 epochs take, in training passes over 64 of the samples that
            scores are measured on.
    """

    dataset: str
    validation: Array
    test: Array | None = None
    short: Array | None = None
    short_passes: float = math.nan

    def of(self, metric: str) -> Array:
        """Return what is searched for.

        Args:
            metric: ``"validation"`` or ``"test"``.

        Raises:
            BenchmarkError: If that is not known.
        """
        if metric == "validation":
            return self.validation
        if self.test is None:
            raise BenchmarkError(
                "no test accuracies come with the benchmark; name a file that has them with "
                "--accuracies, or take --metric validation"
            )
        return self.test
