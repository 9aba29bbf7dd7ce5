"""Best value so far against trained networks, for several kinds of studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optuna.study import Study

from optuna_zerocost.analysis import Target, is_minimized, search_curves
from optuna_zerocost.visualization._axis import axis_for
from optuna_zerocost.visualization._plotly import (
    PALETTE,
    empty_figure,
    graph_objects,
    needs_target,
    scatter,
    see_through,
    set_layout,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["plot_search_curves"]

_TITLE = "Best network so far"
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def plot_search_curves(
    studies: Mapping[str, Study | Sequence[Study]],
    *,
    target: Target | None = None,
    target_name: str = "Objective Value",
    direction: str | None = None,
) -> go.Figure:
    """Plot how good the best network is after so many trained ones: median and quartiles.

    Pruned and failed trials count neither as trained nor as a value. A curve ends with the
    shortest of its studies.

    Args:
        studies: Label → studies of one kind, e.g. with different seeds; one study gives one line.
        target: As for :func:`plot_proxy_correlation`.
        target_name: How the value is called.
        direction: As for :func:`plot_proxy_correlation`.

    Raises:
        ValueError: If some studies maximize and others minimize.
    """
    groups = {
        label: [group] if isinstance(group, Study) else list(group)
        for label, group in studies.items()
    }
    every = [study for group in groups.values() for study in group]
    for study in every:
        if missing := needs_target(study, target):
            return empty_figure(_TITLE, missing)
    directions = {is_minimized(study, target, direction) for study in every}
    if len(directions) > 1:
        raise ValueError(
            "Some of the studies maximize and some minimize, so one figure cannot show what is "
            "best. Plot them apart."
        )
    curves = {
        label: search_curves(group, target=target, direction=direction)
        for label, group in groups.items()
    }
    shown = {label: curve for label, curve in curves.items() if curve.studies}
    if not shown:
        return empty_figure(_TITLE, "None of the studies has a complete trial.")
    axis = axis_for([value for c in shown.values() for value in (*c.lower, *c.upper)])
    figure = graph_objects().Figure()
    for index, (label, curve) in enumerate(shown.items()):
        color, dash = PALETTE[index % len(PALETTE)], _DASHES[index % len(_DASHES)]
        steps = list(range(1, len(curve.median) + 1))
        edge = {
            "mode": "lines",
            "line": {"width": 0, "shape": "hv"},
            "fillcolor": see_through(color, 0.2),
            "showlegend": False,
        }
        if curve.studies > 1:
            for quartile, fill in ((curve.lower, None), (curve.upper, "tonexty")):
                place = axis.place(quartile)
                figure.add_trace(scatter(steps, place, {**edge, "fill": fill}, group=label))
        counted = "1 study" if curve.studies == 1 else f"{curve.studies} studies"
        line = {
            "mode": "lines+markers" if len(steps) == 1 else "lines",
            "line": {"color": color, "dash": dash, "width": 2.5, "shape": "hv"},
        }
        figure.add_trace(
            scatter(
                steps,
                axis.place(curve.median),
                line,
                group=label,
                name=f"{label} ({counted})",
                hover=f"{label}: %{{customdata:.4g}} after %{{x}}",
                data=list(curve.median),
            )
        )
    # The last step of a curve would else lie on the edge.
    longest = max(len(curve.median) for curve in shown.values())
    figure.update_xaxes(title="trained networks", range=[0, 1.02 * longest])
    figure.update_yaxes(title=f"best {target_name} so far", **axis.layout)
    figure.update_layout(showlegend=True)
    subtitle = f"{'Lower' if directions == {True} else 'Higher'} is better."
    if any(curve.studies > 1 for curve in shown.values()):
        bands = "Lines: median over the studies; bands: from the lower to the upper quartile."
        subtitle = f"{bands} {subtitle}"
    if absent := [label for label in curves if label not in shown]:
        subtitle += f" Without a complete trial: {', '.join(absent)}."
    set_layout(figure, _TITLE, subtitle, height=450)
    figure.update_layout(legend={"itemsizing": "trace"})  # whole dashes
    return figure
