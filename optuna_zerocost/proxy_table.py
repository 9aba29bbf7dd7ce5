"""A table of all proxies: direction, pass, cost, needs, where each fails, paper.

``optuna-zerocost proxies`` prints it. It is made from the proxies' own metadata, users' included.
"""

from __future__ import annotations

import csv
import functools
import io
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from optuna_zerocost import proxies
from optuna_zerocost.benchmarks import nasbench201

__all__ = [
    "MEASURED_COSTS",
    "Row",
    "as_csv",
    "as_markdown",
    "as_text",
    "measure_costs",
    "measure_training_pass",
    "rows",
]

# What measure_costs() gave with repeats=1 on a machine of two cores, torch 2.13.0 (CPU).
MEASURED_COSTS: Mapping[str, float] = {
    "az_expressivity": 0.61,
    "az_progressivity": 0.61,
    "az_trainability": 0.98,
    "epe_nas": 0.82,
    "fisher": 0.87,
    "flops": 0.08,
    "grad_norm": 1.0,
    "gradsign": 2.21,
    "grasp": 2.51,
    "jacob_cov": 0.86,
    "l2_norm": 0.01,
    "linear_regions": 0.63,
    "logsynflow": 0.05,
    "meco": 0.52,
    "naswot": 0.63,
    "ntk_condition": 28.99,
    "params": 0.001,
    "plain": 1.0,
    "snip": 0.99,
    "swap": 5.24,
    "synflow": 0.05,
    "zen": 0.88,
    "zico": 1.06,
}

_ARCHITECTURES = (
    ("nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "none", "nor_conv_3x3"),
    ("nor_conv_1x1", "skip_connect", "nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "none"),
    ("nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "skip_connect", "none", "nor_conv_1x1"),
)


@dataclass(frozen=True)
class Row:
    """One proxy.

    Attributes:
        name: What it is asked for by.
        better: ``"higher"`` or ``"lower"``.
        source: The pass that it reads; proxies of one pass share it.
        cost: Seconds for it alone, relative to one training pass; ``None`` if not measured.
        needs: What must be there: labels, second derivatives.
        formula: What is computed.
        fails: Where it is undefined or says little.
        paper: Authors, venue, year.
    """

    name: str
    better: str
    source: str
    cost: float | None
    needs: str
    formula: str
    fails: str
    paper: str


def rows(costs: Mapping[str, float] = MEASURED_COSTS) -> list[Row]:
    """Return a row for each registered proxy, those of one pass together.

    Args:
        costs: Name → cost relative to one training pass.
    """
    described = [proxies.describe(name) for name in proxies.names()]
    return [
        Row(
            name=proxy.name,
            better="higher" if proxy.direction == "maximize" else "lower",
            source=proxy.source.name,
            cost=costs.get(proxy.name),
            needs=", ".join(_needs(proxy)) or "-",
            formula=proxy.summary,
            fails=proxy.fails,
            paper=proxy.paper,
        )
        for proxy in sorted(described, key=lambda proxy: (proxy.source.name, proxy.name))
    ]


def _needs(proxy: proxies.Proxy) -> Iterator[str]:
    if proxy.needs_labels:
        yield "labels"
    if proxy.needs_second_derivatives:
        yield "second derivatives"


def measure_costs(
    names: Sequence[str], *, batch_size: int = 64, repeats: int = 2
) -> dict[str, float]:
    """Time each proxy alone, relative to a forward and backward pass of training.

    Both are taken side by side on three networks of NAS-Bench-201, with random images of 32×32
    pixels and one thread; the result is the median of the ratios.

    Args:
        names: Proxies.
        batch_size: Samples in the minibatch.
        repeats: How often each is taken on each network; the shortest time counts.
    """
    batch = _random_batch(batch_size)
    ratios: dict[str, list[float]] = {name: [] for name in names}
    with _one_thread():
        for operations in _ARCHITECTURES:
            network = nasbench201.build_network(operations)
            training = _shortest(functools.partial(_train, network, batch), repeats)
            for name in names:
                score = functools.partial(proxies.score_network, network, batch, [name])
                ratios[name].append(_shortest(score, repeats) / training)
    return {name: statistics.median(values) for name, values in ratios.items()}


def measure_training_pass(*, batch_size: int = 64, repeats: int = 2) -> float:
    """Return the seconds of the processor for one training pass, on one thread.

    The pass that :func:`measure_costs` compares with; the median of the same three networks.
    """
    batch = _random_batch(batch_size)
    with _one_thread():
        return statistics.median(
            _shortest(
                functools.partial(_train, nasbench201.build_network(operations), batch), repeats
            )
            for operations in _ARCHITECTURES
        )


def _random_batch(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 3, 32, 32, generator=generator), torch.arange(size) % 10


def _train(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    network.train()
    network.zero_grad()
    loss = nn.functional.cross_entropy(network(batch[0]), batch[1])
    loss.backward()  # type: ignore[no-untyped-call]


def _shortest(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return min(seconds)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _cost(row: Row) -> str:
    return "-" if row.cost is None else f"{row.cost:.2f}"


def as_text(table: Sequence[Row]) -> str:
    """Return the table in lines of at most 80 columns, where the proxies' own texts allow."""
    lines = [f"{'proxy':18}{'better':8}{'pass':16}{'cost':>6}  needs", ""]
    for row in table:
        lines.append(f"{row.name:18}{row.better:8}{row.source:16}{_cost(row):>6}  {row.needs}")
        lines.append(f"    {row.formula}")
        lines += [f"    fails: {row.fails}"] * bool(row.fails)
        lines += [f"    {row.paper}"] * bool(row.paper)
    lines += ["", "cost: alone, relative to one training pass (forward and backward, batch 64)"]
    return "\n".join(lines)


def as_markdown(table: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| proxy | better | pass | cost | needs | formula | fails | paper |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table:
        cells = (
            f"`{row.name}`",
            row.better,
            row.source,
            _cost(row),
            row.needs,
            row.formula,
            row.fails,
            row.paper,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def as_csv(table: Sequence[Row]) -> str:
    """Return the table as comma-separated values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["proxy", "better", "pass", "cost", "needs", "formula", "fails", "paper"])
    for row in table:
        writer.writerow(
            [row.name, row.better, row.source, _cost(row), row.needs, row.formula, row.fails]
            + [row.paper]
        )
    return text.getvalue().rstrip("\n")
