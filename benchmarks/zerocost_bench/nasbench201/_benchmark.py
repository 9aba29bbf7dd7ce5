"""NAS-Bench-201 as experiments see it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerocost_bench.accuracies import Accuracies, Array
from zerocost_bench.benchmark import Architecture, Benchmark
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.nasbench201 import _cell_graph, _cells
from zerocost_bench.nasbench201._accuracies import load_accuracies
from zerocost_bench.nasbench201._accuracy_table import DATASETS, TableObjective
from zerocost_bench.score_table import MeasuredScores, load_scores

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["BENCHMARK", "NasBench201"]

_FOLDER = Path(__file__).parent / "data"
_CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
# Layers that run: ReLU, convolution, BatchNorm and the sum at the node make four, and so on.
_LAYERS = {"none": 0, "skip_connect": 1, "avg_pool_3x3": 2, "nor_conv_1x1": 4, "nor_conv_3x3": 4}


@functools.cache
def _architectures() -> list[tuple[str, ...]]:
    return _cells.architectures()


class NasBench201(Benchmark):
    """All 15,625 networks, trained on three data sets."""

    name = "nasbench201"
    title = "NAS-Bench-201"
    datasets = DATASETS
    input_shape = (3, 32, 32)
    options = {
        "affine": "scale and shift in the cells' BatchNorm layers",
        "live-only": "edges that reach nothing are left out",
    }
    trained_with = ("affine",)
    stand_ins = {"latency": "layers", "model_size": "params"}
    encode = staticmethod(_cell_graph.encode)

    def architectures(self) -> Sequence[Architecture]:
        """Return all 15,625."""
        return _architectures()

    def index(self, architecture: Architecture) -> int:
        """Return the place of an architecture among them."""
        return _cells.architecture_index(architecture)

    def suggest(self, trial: Any) -> Architecture:
        """Ask ``trial`` for the operations of six edges."""
        return _cells.suggest_architecture(trial)

    def parameters_of(self, architecture: Architecture) -> dict[str, Any]:
        """Return the parameters of a trial that suggests these operations."""
        return dict(_cells.parameters_of(architecture))

    def text_of(self, architecture: Architecture) -> str:
        """Return the benchmark's string."""
        return _cells.format_architecture(architecture)

    def build_model(self, trial: Any, options: Sequence[str] = ()) -> nn.Module:
        """Make the network for ten classes, by default without scale and shift in the cells."""
        from zerocost_bench.nasbench201._network import build_model

        return build_model(trial, affine="affine" in options, live_only="live-only" in options)

    def classes_of(self, dataset: str) -> int:
        """Return the number of classes."""
        return _CLASSES[dataset]

    def counts(self, architecture: Architecture, options: Sequence[str] = ()) -> dict[str, float]:
        """Return parameters and FLOPs, and the layers and convolutions of the cell."""
        params = _cells.count_parameters(architecture, affine="affine" in options)
        return {
            "params": float(params),
            "flops": float(_cells.count_flops(architecture)),
            "layers": float(sum(_LAYERS[operation] for operation in architecture)),
            "convolutions": float(sum("conv" in operation for operation in architecture)),
        }

    def read_batch(self, file: Path, count: int) -> tuple[Tensor, Tensor]:
        """Read images as the benchmark normalised those of CIFAR-10."""
        from zerocost_bench.nasbench201._images import read_images

        return read_images(file, count)

    def load_accuracies(self, dataset: str, file: str | Path | None = None) -> Accuracies:
        """Load validation accuracies, and with a file those on test images and after 12 epochs."""
        self.check_dataset(dataset)
        return load_accuracies(dataset, file)

    def load_costs(self, dataset: str) -> Mapping[str, Array]:
        """Load latency (seconds for a minibatch) and model size (millions of parameters)."""
        self.check_dataset(dataset)
        try:
            return {name: TableObjective(dataset, name).values() for name in self.stand_ins}
        except ImportError as error:
            raise BenchmarkError(str(error)) from error

    def load_scores(
        self, file: str | Path | None = None, *, batch_size: int = 64
    ) -> MeasuredScores:
        """Load scores that come with this package, or a file of others."""
        return load_scores(self, _FOLDER, file, batch_size=batch_size)


BENCHMARK = NasBench201()
