"""Parts that all figures share: plotly itself, colours, titles, panels, traces."""

from __future__ import annotations

import importlib
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from optuna.study import Study

from optuna_zerocost._words import OTHER
from optuna_zerocost.analysis import Target, has_one_value

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = [
    "GREY",
    "PALETTE",
    "Panel",
    "SOURCES",
    "empty_figure",
    "figure_of",
    "graph_objects",
    "marker_style",
    "needs_target",
    "panel_title",
    "scatter",
    "see_through",
    "set_layout",
    "shortened",
]

# Okabe and Ito's colours, which colour-blind people tell apart, without those that are too pale on
# white or too dark on black.
PALETTE = ("#D55E00", "#2A8FD0", "#009E73", "#CC79A7", "#B8860B", "#8C6BB1")
GREY = "#8C8C8C"

# source → colour and symbol; one of them is enough to tell the sources apart
SOURCES = {
    "warmup": (PALETTE[0], "circle"),
    "move": (PALETTE[1], "diamond"),
    "random": (PALETTE[4], "star"),
    "base": (PALETTE[2], "square"),
    "enqueued": (PALETTE[3], "triangle-up"),
    OTHER: (GREY, "x"),
}

_LINE = 84
_LONGEST_NAME = 30
_MOST_COLUMNS = 3
_PANEL_HEIGHT = 270
_LEAST_HEIGHT = 450
# Plotly's toolbar lies over the top of a figure, and over the title if that began there.
_TOOLBAR = 32
_TOP, _BOTTOM = 108 + _TOOLBAR, 90
_GAP, _GAP_IN_COLUMN = 90, 45


def graph_objects() -> Any:
    """Return ``plotly.graph_objects``.

    Raises:
        ImportError: If plotly is not installed.
    """
    try:
        return importlib.import_module("plotly.graph_objects")
    except ImportError as error:
        raise ImportError(
            "Figures are made with plotly, which is not installed. Install it, or the extra that "
            'names it: pip install "optuna-zerocost[visualization]"'
        ) from error


def empty_figure(title: str, missing: str) -> go.Figure:
    """Return a figure that says what is missing."""
    go = graph_objects()
    text = "<br>".join(textwrap.wrap(missing, 60))
    figure = go.Figure()
    set_layout(figure, title, "", height=_LEAST_HEIGHT)
    figure.add_annotation(
        text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15}
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


class Panel(NamedTuple):
    """A panel of a figure: what stands over it, its traces, its axes' titles and properties."""

    title: str
    traces: Iterable[Any]
    x_title: str
    x: Mapping[str, Any]
    y_title: str
    y: Mapping[str, Any]


def figure_of(
    panels: Sequence[Panel], title: str, subtitle: str, *, columns: int | None = None
) -> go.Figure:
    """Return a figure of panels, row by row, with each group of traces once in the legend.

    Args:
        panels: The panels, at least one. Only those of the first column name their y.
        title: The figure's title.
        subtitle: A line below it.
        columns: Number of columns. Default: what suits the number of panels.
    """
    graph_objects()  # says how to install it
    count = len(panels)
    # Four read better as two by two.
    width = columns or min(count, 2 if count == 4 else _MOST_COLUMNS)
    rows = math.ceil(count / width)
    gap = _GAP if width > 1 else _GAP_IN_COLUMN
    inner = max(_LEAST_HEIGHT - _TOP - _BOTTOM, rows * _PANEL_HEIGHT)
    figure: go.Figure = importlib.import_module("plotly.subplots").make_subplots(
        rows=rows,
        cols=width,
        subplot_titles=[panel.title for panel in panels],
        horizontal_spacing=0.08,
        vertical_spacing=gap / inner if rows > 1 else 0,
        shared_xaxes=columns == 1,
    )
    figure.update_annotations(font={"size": 13})
    named = set()
    for index, panel in enumerate(panels):
        cell = {"row": index // width + 1, "col": index % width + 1}
        for trace in panel.traces:
            trace.showlegend = trace.legendgroup not in named
            named.add(trace.legendgroup)
            figure.add_trace(trace, **cell)
        x_title = {"text": panel.x_title} if panel.x_title else {}
        y_title = {"title": {"text": panel.y_title}} if cell["col"] == 1 else {}
        figure.update_xaxes({**panel.x, "title": {**x_title, "standoff": 5}}, **cell)
        figure.update_yaxes({**panel.y, **y_title}, **cell)
    figure.update_layout(showlegend=True)
    set_layout(figure, title, subtitle, height=inner + _TOP + _BOTTOM)
    return figure


def set_layout(figure: go.Figure, title: str, subtitle: str, *, height: int) -> None:
    """Set the title, a line below it, and a legend at the foot, wherever the figure ends."""
    text = f"<b>{title}</b>"
    lines = textwrap.wrap(subtitle, _LINE)
    for line in lines:
        text += f'<br><span style="font-size:12px">{line}</span>'
    figure.update_layout(
        title={"text": text, "x": 0.02, "xanchor": "left", "y": 1, "yref": "container"}
        | {"yanchor": "top", "pad": {"t": _TOOLBAR}, "font": {"size": 16}},
        legend={"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom"}
        | {"xref": "paper", "x": 0, "xanchor": "left", "itemsizing": "constant"},
        margin={"l": 70, "r": 30, "t": _TOP - 20 * (2 - len(lines)), "b": _BOTTOM},
        height=height,
    )


def marker_style(count: int) -> dict[str, Any]:
    """Return size and opacity of each of ``count`` points, so that many still show their heaps."""
    return {"size": 9, "opacity": 0.9} if count <= 100 else {"size": 5, "opacity": 0.6}


def scatter(
    x: Sequence[float],
    y: Sequence[float],
    style: Mapping[str, Any],
    *,
    group: str,
    name: str | None = None,
    hover: str = "",
    data: Sequence[object] = (),
) -> Any:
    """Return a trace.

    Args:
        x: Where its points are.
        y: Where its points are.
        style: Its other properties.
        group: The traces that share an entry of the legend.
        name: The name of this entry.
        hover: Template of what is told of a point; without it, nothing is.
        data: The numbers of each point that the template names.
    """
    told: dict[str, Any] = {"hoverinfo": "skip"}
    if hover:
        told = {"hovertemplate": f"{hover}<extra></extra>", "customdata": data}
    place = {"x": x, "y": y, "legendgroup": group, "name": name}
    return graph_objects().Scatter({**place, **told, **style})


def needs_target(study: Study, target: Target | None) -> str:
    """Return what is missing to plot one value of each trial, or nothing."""
    if has_one_value(study, target):
        return ""
    return (
        f"The study has {len(study.directions)} objectives. Say which value to show, for example "
        "by target=lambda trial: trial.values[0]."
    )


def see_through(color: str, opacity: float) -> str:
    """Return ``color``, as ``#RRGGBB``, with an opacity from 0 to 1."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def shortened(name: str) -> str:
    """Return ``name`` as it fits over a panel."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def panel_title(name: str) -> str:
    """Return ``name`` as it stands over a panel."""
    return f"<b>{shortened(name)}</b>"
