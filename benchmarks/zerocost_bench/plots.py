"""The experiments' figures, by plotly (an optional extra)."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zerocost_bench.curves import Curve, Quartiles
from zerocost_bench.score_agreement import REDUCED_TRAINING, Agreement

__all__ = ["are_possible", "correlation_figure", "search_figure", "write_figure"]

# Okabe & Ito's colours, which people with any kind of colour vision tell apart.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2")

_PLOT_WIDTH, _PLOT_HEIGHT = 900, 480
# Labels of points with costs this near to each other, in pixels, are put in one column.
_LABEL_GAP, _LABEL_SHIFT, _LABEL_HEIGHT = 60.0, 22.0, 15.0

_DASHED = "+ warmup"


def are_possible() -> bool:
    """Return whether plots can be drawn; say so where they cannot."""
    if importlib.util.find_spec("plotly") is not None:
        return True
    print("There is no figure, since plotly is not installed: pip install plotly")
    return False


def correlation_figure(agreements: Sequence[Agreement], *, title: str, metric: str) -> Any:
    """Return ρ against cost, one point a score, as in the paper's Figure 2.

    Args:
        agreements: Of one set of networks.
        title: What the accuracies are of: benchmark and data set.
        metric: ``"validation"`` or ``"test"``.
    """
    from plotly import graph_objects

    shown = [row for row in agreements if row.spearman == row.spearman and row.passes > 0]
    kinds = {
        "proxy": [r for r in shown if "(" not in r.score and r.score != REDUCED_TRAINING],
        "combined": [r for r in shown if "(" in r.score],
        "reduced training": [r for r in shown if r.score == REDUCED_TRAINING],
    }
    figure = graph_objects.Figure()
    colours, symbols = ("#0072B2", "#D55E00", "#000000"), ("circle", "diamond", "square")
    for (kind, rows), colour, symbol in zip(kinds.items(), colours, symbols, strict=True):
        if rows:
            figure.add_scatter(
                x=[row.passes for row in rows],
                y=[row.spearman for row in rows],
                text=[row.score for row in rows],
                customdata=[[row.kendall, row.top_spearman] for row in rows],
                mode="markers",
                name=kind,
                marker={"color": colour, "symbol": symbol, "size": 10},
                hovertemplate=(
                    "%{text}<br>ρ %{y:.3f}, τ %{customdata[0]:.3f}, ρ in the top tenth "
                    "%{customdata[1]:.3f}<br>%{x:.3g} training passes<extra></extra>"
                ),
            )
    x_range, y_range = _ranges(shown)
    for row, (right, up) in zip(shown, _label_places(shown, x_range, y_range), strict=True):
        figure.add_annotation(
            x=math.log10(row.passes),
            y=row.spearman,
            text=row.score,
            ax=right,
            ay=-up,
            xanchor="left",
            standoff=6,
            arrowhead=0,
            arrowwidth=0.7,
            arrowcolor="#8C8C8C",
            font={"size": 11},
        )
    networks = shown[0].networks if shown else 0
    figure.update_layout(
        title=f"{title}: agreement with {metric} accuracy, {networks:,} networks",
        xaxis={
            "title": "cost of a network, in training passes over 64 images",
            "type": "log",
            "dtick": 1,
            "range": x_range,
            "exponentformat": "power",
        },
        yaxis={"title": "Spearman ρ", "range": y_range},
        template="plotly_white",
        legend={"orientation": "h", "y": -0.18},
        margin={"l": 80, "r": 40, "t": 90, "b": 120},
        width=_PLOT_WIDTH + 120,
        height=_PLOT_HEIGHT + 210,
    )
    return figure


def _ranges(rows: Sequence[Agreement]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what the axes show: decades of cost, with room for labels on the right, and ρ."""
    decades = [math.log10(row.passes) for row in rows] or [0.0]
    values = [row.spearman for row in rows] or [0.0]
    margin = 0.07 * max(max(values) - min(values), 0.1)
    return (
        (min(decades) - 0.3, max(decades) + 1.0),
        (min(values) - margin, max(values) + margin),
    )


def _label_places(
    rows: Sequence[Agreement], x_range: tuple[float, float], y_range: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return by how many pixels each point's label is to the right of it, and above it.

    Points of similar cost have their labels in one column to the right of all of them, spread so
    that no two overlap; a line leads from each to its point.
    """
    per_decade = _PLOT_WIDTH / (x_range[1] - x_range[0])
    per_unit = _PLOT_HEIGHT / (y_range[1] - y_range[0])
    x = [math.log10(row.passes) * per_decade for row in rows]
    y = [row.spearman * per_unit for row in rows]
    places = [(0.0, 0.0)] * len(rows)
    group: list[int] = []
    by_cost = sorted(range(len(rows)), key=lambda index: x[index])
    for index, following in zip(by_cost, [*by_cost[1:], None], strict=True):
        group.append(index)
        if following is not None and x[following] - x[index] < _LABEL_GAP:
            continue
        group.sort(key=lambda index: y[index])
        # Low enough that those on top of it find room below the upper edge.
        room = [
            y_range[1] * per_unit - _LABEL_HEIGHT * above for above in range(len(group), 0, -1)
        ]
        wanted = [min(y[index], most) for index, most in zip(group, room, strict=True)]
        heights = _spread(wanted, _LABEL_HEIGHT)
        for member, height in zip(group, heights, strict=True):
            places[member] = (x[index] + _LABEL_SHIFT - x[member], height - y[member])
        group = []
    return places


def _spread(rising: Sequence[float], least: float) -> list[float]:
    """Return places at least ``least`` apart, as near to ``rising`` ones as they can be.

    The sum of squared shifts is least: places that are in each other's way keep their mean.
    """
    blocks: list[tuple[float, int]] = []  # the place of the first one, and how many there are
    for value in rising:
        start, count = value, 1
        while blocks and start < blocks[-1][0] + blocks[-1][1] * least:
            before, size = blocks.pop()
            start = (before * size + (start - size * least) * count) / (size + count)
            count += size
        blocks.append((start, count))
    return [start + place * least for start, count in blocks for place in range(count)]


def search_figure(
    curves: Sequence[Curve], *, title: str, metric: str, of_test: bool = False
) -> Any:
    """Return the best accuracy against the number of trained networks, as in Figure 3.

    One panel for each algorithm; a line is the median over the seeds, its band the quartiles.

    Args:
        curves: Of one data set.
        title: Benchmark and data set.
        metric: ``"validation"`` or ``"test"``, what was searched for.
        of_test: Show the test accuracy of the network that was best in what was searched for.
    """
    from plotly import subplots

    panels: dict[str, list[tuple[str, Quartiles]]] = {}
    for curve in curves:
        algorithm, _, extra = curve.label.partition(" + ")
        shown = curve.test if of_test else curve.best
        if shown is not None:
            mode = f"+ {extra}" if extra else "alone"
            panels.setdefault(algorithm, []).append((mode, shown))
    modes = list(dict.fromkeys(mode for group in panels.values() for mode, _ in group))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = subplots.make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(panels),
        shared_yaxes="all",
        shared_xaxes="all",
        horizontal_spacing=0.05,
        vertical_spacing=0.3 / max(rows, 2),
    )
    named: set[str] = set()
    for place, group in enumerate(panels.values()):
        position = {"row": place // columns + 1, "col": place % columns + 1}
        # A warmup alone coincides with both ways together at first: it is dashed, and on top.
        for mode, shown in sorted(group, key=lambda item: item[0] == _DASHED):
            number = modes.index(mode)
            colour = _COLOURS[number % len(_COLOURS)]
            for trace in _band(shown, colour):
                figure.add_trace(trace, **position)
            figure.add_scatter(
                x=list(range(1, len(shown.median) + 1)),
                y=shown.median,
                mode="lines",
                name=mode,
                line={
                    "color": colour,
                    "width": 2,
                    "shape": "hv",
                    "dash": "dash" if mode == _DASHED else "solid",
                },
                showlegend=mode not in named,
                legendgroup=mode,
                legendrank=number,
                **position,
            )
            named.add(mode)
    # The first trainings of a search without scores are far below all that is of interest.
    everything = [shown for group in panels.values() for _, shown in group]
    floor = min(float(shown.median[min(9, len(shown.median) - 1)]) for shown in everything)
    ceiling = max(float(shown.upper.max()) for shown in everything)
    margin = 0.08 * max(ceiling - floor, 0.1)
    figure.update_yaxes(range=[floor - margin, ceiling + margin])
    figure.update_xaxes(title_text="trained networks", row=rows)
    accuracy = f"{'test' if of_test else metric} accuracy, %"
    figure.update_yaxes(title_text=accuracy, col=1)
    kind = "its test accuracy" if of_test else f"best {metric} accuracy so far"
    figure.update_layout(
        title={
            "text": f"{title}: {kind}<br>"
            f"<sup>median and quartiles of {curves[0].seeds} searches</sup>"
        },
        template="plotly_white",
        legend={"orientation": "h", "y": -60 / (300 * rows), "yanchor": "top"},
        margin={"t": 100, "b": 110},
        width=560 * columns + 80,
        height=300 * rows + 210,
    )
    return figure


def _band(shown: Quartiles, colour: str) -> Iterator[Any]:
    """Return two lines that are not seen, with what is between them filled."""
    from plotly import graph_objects

    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    for values, fill in ((shown.lower, "none"), (shown.upper, "tonexty")):
        yield graph_objects.Scatter(
            x=list(range(1, len(values) + 1)),
            y=values,
            mode="lines",
            line={"width": 0, "shape": "hv"},
            fill=fill,
            fillcolor=f"rgba({red},{green},{blue},0.15)",
            hoverinfo="skip",
            showlegend=False,
        )


def write_figure(figure: Any, path: Path) -> list[Path]:
    """Write a figure as a web page, and as a picture where the package kaleido can.

    Args:
        figure: Of plotly.
        path: Without a suffix. The page reads ``plotly.min.js`` beside it, which is written too.

    Returns:
        What was written.
    """
    page = path.with_suffix(".html")
    figure.write_html(page, include_plotlyjs="directory")
    if importlib.util.find_spec("kaleido") is None:
        return [page]
    picture = path.with_suffix(".png")
    try:
        figure.write_image(picture, scale=2)
    except Exception:  # kaleido drives a browser, which fails in its own ways
        return [page]
    return [page, picture]
