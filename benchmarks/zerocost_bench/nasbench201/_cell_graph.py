"""The architectures of NAS-Bench-201 as graphs whose nodes are operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from zerocost_bench.nasbench201._cells import EDGES, INPUT_NODE, OUTPUT_NODE, live_edges

__all__ = ["encode"]

_NODE_KINDS = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "input", "output")


def encode(params: Mapping[str, Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return an architecture as a graph, for a sampler that learns from graphs.

    Operations are nodes, as in Dudziak et al., "BRP-NAS" (NeurIPS 2020): an edge leads from each
    operation to those that read its output, besides from the input and to the output. The
    operation ``"skip_connect"`` is no node but leads straight on; operations through which nothing
    of the input reaches the output are left out.

    Args:
        params: Those of ``suggest_architecture``; others are ignored.

    Returns:
        Adjacency, shape (n, n), 1 where an edge leads from row to column, and one-hot kinds of the
        nodes, shape (n, 5): the two convolutions, the pooling, input, output. The input is the
        first node, the output the last.
    """
    operations = tuple(params[f"op_{source}_{target}"] for source, target in EDGES)
    live = live_edges(operations)

    def readers(position: int) -> set[int]:
        """Return the operations, by edge, that read what is in the cell at ``position``."""
        if position == OUTPUT_NODE:
            return {len(EDGES)}
        found: set[int] = set()
        for edge, (source, target) in enumerate(EDGES):
            if live[edge] and source == position:
                found |= readers(target) if operations[edge] == "skip_connect" else {edge}
        return found

    nodes = [e for e, operation in enumerate(operations) if live[e] and operation in _NODE_KINDS]
    read = [readers(INPUT_NODE), *(readers(EDGES[edge][1]) for edge in nodes), set()]
    columns = [None, *nodes, len(EDGES)]
    adjacency = np.array([[column in row for column in columns] for row in read], np.float32)
    kinds = ["input", *(operations[edge] for edge in nodes), "output"]
    features = np.array([[kind == k for k in _NODE_KINDS] for kind in kinds], np.float32)
    return adjacency, features
