"""The space of NAS-Bench-201: operations on edges, their names, and what can be counted."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

__all__ = [
    "EDGES",
    "INPUT_NODE",
    "KERNELS",
    "NETWORKS",
    "OPERATIONS",
    "OUTPUT_NODE",
    "architecture_index",
    "architectures",
    "check_architecture",
    "count_flops",
    "count_parameters",
    "format_architecture",
    "live_edges",
    "parameters_of",
    "parse_architecture",
    "suggest_architecture",
]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Source and target node of each edge, in the order in which functions here take operations."""

NETWORKS = len(OPERATIONS) ** len(EDGES)

# operation with weights → side of its kernel
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
INPUT_NODE, OUTPUT_NODE = 0, 3


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


def parameters_of(operations: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a trial that suggests an architecture, as for ``FixedTrial``."""
    check_architecture(operations)
    return {
        f"op_{source}_{target}": operation
        for (source, target), operation in zip(EDGES, operations, strict=True)
    }


def architectures() -> list[tuple[str, ...]]:
    """Return all 15,625 architectures; the last edge's operation changes fastest.

    This is the order of whatever has one entry for each architecture.
    """
    return list(itertools.product(OPERATIONS, repeat=len(EDGES)))


def architecture_index(operations: Sequence[str]) -> int:
    """Return the place of an architecture in :func:`architectures`."""
    check_architecture(operations)
    index = 0
    for operation in operations:
        index = index * len(OPERATIONS) + OPERATIONS.index(operation)
    return index


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
    check_architecture(operations)
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
    check_architecture(operations)
    present = [e for e, operation in zip(EDGES, operations, strict=True) if operation != "none"]
    from_input, to_output = {INPUT_NODE}, {OUTPUT_NODE}
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
    check_architecture(operations)
    total = 3 * channels * 9 + 2 * channels
    for stage, width in enumerate((channels, 2 * channels, 4 * channels)):
        for kernel in (KERNELS[o] for o in operations if o in KERNELS):
            total += cells * (width * width * kernel**2 + (2 * width if affine else 0))
        if stage:
            narrow = width // 2
            total += narrow * width * 9 + width * width * 9 + 4 * width + narrow * width
    return total + 2 * width + width * classes + classes


def count_flops(
    operations: Sequence[str],
    *,
    channels: int = 16,
    cells: int = 5,
    classes: int = 10,
    size: int = 32,
) -> int:
    """Return the floating-point operations for one image, as the proxy ``flops`` counts them.

    Two for each multiplication in a convolution or the classifier; nothing for other layers. An
    edge that reaches nothing is computed all the same, and counts.

    Args:
        operations: Six operations, in the order of ``EDGES``.
        channels: Width of the first stage.
        cells: Cells in a stage.
        classes: Number of classes.
        size: Height and width of the image, a multiple of 4.
    """
    check_architecture(operations)
    total = size**2 * 3 * channels * 9
    for stage, width in enumerate((channels, 2 * channels, 4 * channels)):
        pixels = (size // 2**stage) ** 2
        for kernel in (KERNELS[o] for o in operations if o in KERNELS):
            total += cells * pixels * width * width * kernel**2
        if stage:
            narrow = width // 2
            total += pixels * (narrow * width * 9 + width * width * 9 + narrow * width)
    return 2 * (total + width * classes)


def check_architecture(operations: Sequence[str]) -> None:
    """Raise ValueError unless ``operations`` names one of ``OPERATIONS`` for each edge."""
    if len(operations) != len(EDGES) or any(o not in OPERATIONS for o in operations):
        raise ValueError(
            f"{operations!r} is not an architecture: it must name one of {OPERATIONS} for each of "
            f"the edges {EDGES}."
        )
