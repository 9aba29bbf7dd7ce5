"""A table of all proxies: direction, pass, cost, needs, where each fails, paper.

``optuna-zerocost proxies`` prints it. It is made from the proxies' own metadata, users' included.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from optuna_zerocost import proxies

__all__ = [
    "MEASURED_COSTS",
    "Row",
    "as_csv",
    "as_markdown",
    "as_text",
    "rows",
]

# What ``zerocost-bench costs`` gave with one repeat on a machine of two cores, torch 2.13.0 (CPU).
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
