"""The warmup's pool and what was chosen from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import Study

from optuna_zerocost._words import compact
from optuna_zerocost.analysis import ScoredTrial, Target, names_in, scores_of
from optuna_zerocost.records import Pool, stored_pools
from optuna_zerocost.visualization._axis import Axis, axis_for
from optuna_zerocost.visualization._plotly import (
    GREY,
    PALETTE,
    Panel,
    empty_figure,
    figure_of,
    graph_objects,
    needs_target,
    panel_title,
    scatter,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["plot_warmup"]

_TITLE = "The warmup's pool and what was chosen"

# Points of a line that stands for a whole pool: as many as a screen shows apart.
_MOST_POINTS = 400

# Both ends of the colours must be seen on white and on black, so there is a line around them.
_COLOURED = {"symbol": "circle", "size": 9, "line": {"width": 1, "color": GREY}}
_EMPTY = {"symbol": "circle-open", "size": 9, "color": PALETTE[0], "line": {"width": 2}}
_MIDDLE = "#21918C"


def plot_warmup(
    study: Study,
    *,
    scores: Sequence[str] | None = None,
    target: Target | None = None,
    target_name: str = "Objective Value",
) -> go.Figure:
    """Plot the scores of the warmup's pool, sorted, and those of the architectures chosen from it.

    One panel a score. What was chosen is coloured by the objective's value; an empty circle has
    none (yet). If the study has seen several pools, since its scorer changed, the one with the
    most chosen architectures is shown.

    Args:
        study: Any study.
        scores: Names of the scores to show. Default: all that the pool has.
        target: From a complete trial to the value that gives the colour. Default: the objective.
            A study with several objectives needs it.
        target_name: How the value is called.
    """
    if missing := needs_target(study, target):
        return empty_figure(_TITLE, missing)
    pools = [pool for pool in stored_pools(study) if pool.candidates]
    if not pools:
        return empty_figure(
            _TITLE,
            "The study has stored no warmup. One is stored by ZeroCostSampler(warmup=Warmup(…)), "
            "as its first trial begins.",
        )
    # A move may go back to the pool.
    warmup = [
        trial
        for trial in scores_of(study, target=target)
        if trial.source == "warmup" or trial.origin == "pool"
    ]
    pool, chosen = max(
        ((pool, _taken_from(pool, warmup)) for pool in pools), key=lambda pair: len(pair[1])
    )
    names = [name for name in _names(pool) if scores is None or name in scores]
    if not names:
        return empty_figure(
            _TITLE,
            f"The pool has no score named {list(scores or ())}; it has {_names(pool)}.",
        )
    panels = []
    for name in names:
        falling = sorted(c.scores[name] for c in pool.candidates if name in c.scores)[::-1]
        axis = axis_for(falling)
        ranks = _evenly(len(falling))
        line = scatter(
            [rank + 1 for rank in ranks],
            axis.place([falling[rank] for rank in ranks]),
            {"mode": "lines", "line": {"color": GREY, "width": 2}},
            group="pool",
            name=f"pool ({len(pool.candidates)})",
        )
        traces = [line, *_chosen(chosen, name, falling, axis, target_name)]
        ends = {"range": [1 - 0.03 * len(falling), 1.03 * len(falling)]}
        by = "architectures by falling score"
        panels.append(Panel(panel_title(name), traces, by, ends, "score", axis.layout))
    subtitle = (
        f"{len(pool.candidates)} architectures were scored, {pool.rejected} draws rejected, and "
        f"{len(chosen)} chosen for training."
    )
    if len(pools) > 1:
        subtitle += f" The study has {len(pools)} pools; this is the one that was used most."
    figure = figure_of(panels, _TITLE, subtitle)
    if any(trial.value is not None for trial in chosen):
        bar = {"title": {"text": target_name, "side": "right"}, "thickness": 14}
        figure.update_layout(coloraxis={"colorscale": "Viridis", "colorbar": bar})
    return figure


def _chosen(
    chosen: Sequence[ScoredTrial],
    name: str,
    falling: Sequence[float],
    axis: Axis,
    target_name: str,
) -> Iterator[Any]:
    """Yield the traces of both kinds of points: empty, and with a colour for the value."""
    for label, has_value, marker in (
        ("chosen, no value", False, _EMPTY),
        ("chosen", True, _COLOURED),
    ):
        of_kind = [trial for trial in chosen if (trial.value is not None) == has_value]
        points = [trial for trial in of_kind if name in trial.scores]
        if not points:
            continue
        # The legend cannot show a scale of colours; it shows its middle.
        yield graph_objects().Scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"color": _MIDDLE, **marker},
            name=f"{label} ({len(of_kind)})",
            legendgroup=label,
        )
        values = [trial.value for trial in points]
        color = {"coloraxis": "coloraxis", "color": values} if has_value else {}
        yield scatter(
            [_rank(trial.scores[name], falling) for trial in points],
            axis.place([trial.scores[name] for trial in points]),
            {"mode": "markers", "marker": {**marker, **color}},
            group=label,
            hover=(
                f"trial %{{customdata[0]}}: number %{{x}} of {len(falling)}<br>"
                f"{name}: %{{customdata[1]}}<br>{target_name}: %{{customdata[2]}}"
            ),
            data=[
                [
                    trial.number,
                    compact(trial.scores[name]),
                    "none" if trial.value is None else compact(trial.value),
                ]
                for trial in points
            ],
        )


def _names(pool: Pool) -> list[str]:
    return names_in(candidate.scores for candidate in pool.candidates)


def _taken_from(pool: Pool, trials: Sequence[ScoredTrial]) -> list[ScoredTrial]:
    """Return those of ``trials`` that have the scores of an architecture of ``pool``."""
    names = _names(pool)
    there = {tuple(candidate.scores.get(name) for name in names) for candidate in pool.candidates}
    return [t for t in trials if tuple(t.scores.get(name) for name in names) in there]


def _evenly(count: int) -> list[int]:
    return sorted({round(x) for x in np.linspace(0, count - 1, min(count, _MOST_POINTS))})


def _rank(score: float, falling: Sequence[float]) -> int:
    """Return the place, from 1, of ``score`` among ``falling``; the middle of equal ones."""
    higher = sum(other > score for other in falling)
    equal = sum(other == score for other in falling)
    return higher + 1 + max(equal - 1, 0) // 2
