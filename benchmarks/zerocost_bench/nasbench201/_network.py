"""The networks of NAS-Bench-201."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zerocost_bench.nasbench201._cells import (
    EDGES,
    INPUT_NODE,
    KERNELS,
    OUTPUT_NODE,
    check_architecture,
    live_edges,
    suggest_architecture,
)

__all__ = ["build_model", "build_network"]


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
    check_architecture(operations)
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
        nodes: dict[int, Tensor] = {INPUT_NODE: inputs}
        for (source, target), operation in zip(self._edges, self.operations, strict=True):
            # A node without incoming edges is zero.
            value = operation(nodes[source] if source in nodes else torch.zeros_like(inputs))
            nodes[target] = nodes[target] + value if target in nodes else value
        return nodes[OUTPUT_NODE] if OUTPUT_NODE in nodes else torch.zeros_like(inputs)


def _operation(name: str, channels: int, *, affine: bool) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return _relu_conv_bn(channels, channels, KERNELS[name], affine=affine)


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
