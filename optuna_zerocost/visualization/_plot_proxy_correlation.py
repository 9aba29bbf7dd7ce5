"""Score against objective, for each proxy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.trial import TrialState

from optuna_zerocost import analysis
from optuna_zerocost._words import OTHER, compact, two_decimals
from optuna_zerocost.visualization._axis import axis_for
from optuna_zerocost.visualization._plotly import (
    SOURCES,
    Panel,
    empty_figure,
    figure_of,
    marker_style,
    needs_target,
    panel_title,
    scatter,
    shortened,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["plot_proxy_correlation"]

_TITLE = "Scores of untrained networks against what training gave"


def plot_proxy_correlation(
    study: Study,
    *,
    scores: Sequence[str] | None = None,
    target: analysis.Target | None = None,
    target_name: str = "Objective Value",
    direction: str | None = None,
) -> go.Figure:
    """Plot each proxy's score against the objective, one panel a proxy.

    Above a panel stand Spearman ρ and Kendall τ with confidence intervals of 95 % (Fisher's; see
    :func:`optuna_zerocost.analysis.spearman`). They are positive if networks with a higher score
    were better, whether the study minimizes or maximizes; better is always further up. The scores
    have chosen these networks themselves: over random architectures a correlation is usually
    stronger.

    Args:
        study: Any study.
        scores: Names of the scores to show. Default: all that the trials have.
        target: From a complete trial to the value to show. Default: the objective. A study with
            several objectives needs it.
        target_name: How the value is called.
        direction: Whether to ``"maximize"`` or ``"minimize"`` the value. Default: the study's own
            direction; with a ``target``, ``"maximize"``.
    """
    if missing := needs_target(study, target):
        return empty_figure(_TITLE, missing)
    trials = analysis.scores_of(study, target=target)
    found = {
        one.score: one
        for one in analysis.correlations(study, target=target, direction=direction)
        if one.count > 0
    }
    names = [name for name in (found if scores is None else scores) if name in found]
    networks = [
        (trial, value)
        for trial, value in analysis.trained(trials)
        if not set(names).isdisjoint(trial.scores)
    ]
    if not networks:
        return empty_figure(_TITLE, _missing(trials, scores))
    minimized = analysis.is_minimized(study, target, direction)
    vertical = axis_for([value for _, value in networks])
    upwards = {"autorange": "reversed"} if minimized else {}
    kinds = Counter(_kind(trial) for trial, _ in networks)
    panels = []
    for name in names:
        shown = [
            (_kind(trial), trial.number, trial.scores[name], value)
            for trial, value in networks
            if name in trial.scores
        ]
        horizontal = axis_for([score for _, _, score, _ in shown])
        traces = []
        # The fewest come last, on top of the others.
        for kind, count in kinds.most_common():
            points = [point for point in shown if point[0] == kind]
            if not points:
                continue
            color, symbol = SOURCES[kind]
            marker = {"color": color, "symbol": symbol, **marker_style(len(networks))}
            traces.append(
                scatter(
                    horizontal.place([score for _, _, score, _ in points]),
                    vertical.place([value for _, _, _, value in points]),
                    {"mode": "markers", "marker": marker, "legendrank": list(SOURCES).index(kind)},
                    group=kind,
                    name=f"{kind} ({count})",
                    hover=(
                        f"trial %{{customdata[0]}} ({kind})<br>{name}: %{{customdata[1]}}<br>"
                        f"{target_name}: %{{customdata[2]}}"
                    ),
                    data=[
                        [number, compact(score), compact(value)]
                        for _, number, score, value in points
                    ],
                )
            )
        title, y = _panel_title(found[name], len(networks)), {**vertical.layout, **upwards}
        panels.append(Panel(title, traces, shortened(name), horizontal.layout, target_name, y))
    better = "lower values are better and further up" if minimized else "higher values are better"
    subtitle = (
        f"{len(networks)} trained networks; {better}. Spearman ρ and Kendall τ with 95 % "
        "intervals, positive where better networks scored higher."
    )
    if left_out := _left_out(trials, {trial.number for trial, _ in networks}):
        subtitle += f" Left out: {left_out}."
    return figure_of(panels, _TITLE, subtitle)


def _kind(trial: analysis.ScoredTrial) -> str:
    return trial.source if trial.source in SOURCES else OTHER


def _panel_title(correlation: analysis.Correlation, networks: int) -> str:
    if math.isnan(correlation.spearman.value):
        reason = "one network" if correlation.count == 1 else "all equal"
        numbers = f"ρ and τ undefined: {reason}"
    else:
        numbers = f"ρ {_interval(correlation.spearman)}   τ {_interval(correlation.kendall)}"
    if correlation.count < networks:
        numbers += f"   ({correlation.count} of {networks})"
    return f'{panel_title(correlation.score)}<br><span style="font-size:11px">{numbers}</span>'


def _interval(estimate: analysis.Estimate) -> str:
    value, low, high = map(two_decimals, (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _left_out(trials: Sequence[analysis.ScoredTrial], shown: Collection[int]) -> str:
    counts = Counter(_why_left_out(trial) for trial in trials if trial.number not in shown)
    return ", ".join(f"{count} {why}" for why, count in counts.items())


def _why_left_out(trial: analysis.ScoredTrial) -> str:
    if trial.state != TrialState.COMPLETE:
        return "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
    return "without scores" if trial.value is not None else "without a finite value"


def _missing(trials: Sequence[analysis.ScoredTrial], scores: Sequence[str] | None) -> str:
    if not trials:
        return "The study has no trials yet."
    text = (
        f"None of the {len(trials)} trials is complete and has scores"
        f"{'' if scores is None else f' named {list(scores)}'} ({_left_out(trials, ())})."
    )
    if not analysis.score_names(trials):
        text += " Scores are stored by ZeroCostSampler."
    return text
