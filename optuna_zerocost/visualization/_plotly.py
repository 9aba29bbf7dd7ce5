"""Parts that all figures share: plotly itself, colours, titles, panels, traces."""

from __future__ import annotations

import importlib
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.study import Study

from optuna_zerocost._words import OTHER
from optuna_zerocost.analysis import Target, has_one_value

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = [
    "GREY",
    "Grid",
    "PALETTE",
    "SOURCES",
    "empty_figure",
    "graph_objects",
    "marker_style",
    "needs_target",
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

_LINE = 100
_LONGEST_NAME = 30
_MOST_COLUMNS = 3
_PANEL_HEIGHT = 270
_LEAST_HEIGHT = 450
_TOP, _BOTTOM = 120, 90
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


class Grid:
    """A figure of panels, filled row by row.

    Args:
        titles: What stands over each panel.
        columns: Number of columns. Default: what suits the number of panels.

    Attributes:
        figure: The figure.

    Raises:
        ImportError: If plotly is not installed.
    """

    def __init__(self, titles: Sequence[str], *, columns: int | None = None) -> None:
        graph_objects()
        count = len(titles)
        # Four read better as two by two.
        self._columns = columns or min(count, 2 if count == 4 else _MOST_COLUMNS)
        rows = math.ceil(count / self._columns)
        gap = _GAP if self._columns > 1 else _GAP_IN_COLUMN
        inner = max(_LEAST_HEIGHT - _TOP - _BOTTOM, rows * _PANEL_HEIGHT)
        subplots = importlib.import_module("plotly.subplots")
        self.figure: go.Figure = subplots.make_subplots(
            rows=rows,
            cols=self._columns,
            subplot_titles=list(titles),
            horizontal_spacing=0.08,
            vertical_spacing=gap / inner if rows > 1 else 0,
            shared_xaxes=columns == 1,
        )
        self.figure.update_annotations(font={"size": 13})
        self.figure.update_layout(height=inner + _TOP + _BOTTOM)

    def add(self, index: int, trace: Any) -> None:
        """Add ``trace`` to panel ``index``."""
        self.figure.add_trace(trace, **self._cell(index))

    def set_axes(
        self, index: int, x_title: str, x: Mapping[str, Any], y_title: str, y: Mapping[str, Any]
    ) -> None:
        """Set titles and properties of the axes of panel ``index``.

        Only the first column names its y, and no axis has an empty title.
        """
        cell = self._cell(index)
        named = {"text": x_title} if x_title else {}
        self.figure.update_xaxes({**x, "title": {**named, "standoff": 5}}, **cell)
        title = {"title": {"text": y_title}} if cell["col"] == 1 else {}
        self.figure.update_yaxes({**y, **title}, **cell)

    def finished(self, title: str, subtitle: str) -> go.Figure:
        """Return the figure with its title, and with each group of traces once in the legend."""
        seen = set()
        for trace in self.figure.data:
            trace.showlegend = trace.legendgroup not in seen
            seen.add(trace.legendgroup)
        self.figure.update_layout(showlegend=True)
        set_layout(self.figure, title, subtitle)
        return self.figure

    def _cell(self, index: int) -> dict[str, int]:
        return {"row": index // self._columns + 1, "col": index % self._columns + 1}


def set_layout(figure: go.Figure, title: str, subtitle: str, *, height: int | None = None) -> None:
    """Set the title, a line below it, and a legend at the foot, wherever the figure ends."""
    text = f"<b>{title}</b>"
    lines = textwrap.wrap(subtitle, _LINE)
    for line in lines:
        text += f'<br><span style="font-size:12px">{line}</span>'
    figure.update_layout(
        title={"text": text, "x": 0.02, "xanchor": "left", "y": 1, "yref": "container"}
        | {"yanchor": "top", "pad": {"t": 16}, "font": {"size": 16}},
        legend={"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom"}
        | {"xref": "paper", "x": 0, "xanchor": "left", "itemsizing": "constant"},
        margin={"l": 70, "r": 30, "t": _TOP - 20 * (2 - len(lines)), "b": _BOTTOM},
    )
    if height is not None:
        figure.update_layout(height=height)


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
