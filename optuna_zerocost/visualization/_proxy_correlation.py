"""Score against objective, for each proxy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.analysis import (
    Correlation,
    Estimate,
    ScoredTrial,
    correlations,
    has_one_value,
    is_minimized,
    score_names,
    scores_of,
)
from optuna_zerocost.visualization._axis import axis_for
from optuna_zerocost.visualization._plotly import (
    OTHER,
    SOURCES,
    Grid,
    compact,
    empty_figure,
    graph_objects,
    marker_style,
    name_in_legend,
    needs_target,
    set_layout,
    shortened,
    two_decimals,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["plot_proxy_correlation"]

_TITLE = "Scores of untrained networks against what training gave"


def plot_proxy_correlation(
    study: Study,
    *,
    scores: Sequence[str] | None = None,
    target: Callable[[FrozenTrial], float] | None = None,
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

    Returns:
        A figure; where there is nothing to show, one that says what is missing.

    Raises:
        ImportError: If plotly is not installed.
    """
    go = graph_objects()
    if not has_one_value(study, target):
        return empty_figure(_TITLE, needs_target(study))
    trials = scores_of(study, target=target)
    found = {
        correlation.score: correlation
        for correlation in correlations(study, target=target, direction=direction)
        if correlation.count > 0
    }
    names = [name for name in (found if scores is None else scores) if name in found]
    trained = [t for t in trials if t.value is not None and not set(names).isdisjoint(t.scores)]
    if not trained:
        return empty_figure(_TITLE, _missing(trials, scores))
    minimized = is_minimized(study, target, direction)
    vertical = axis_for([trial.value for trial in trained if trial.value is not None])
    kinds = Counter(_kind(trial) for trial in trained)
    grid = Grid([_panel_title(found[name]) for name in names])
    for index, name in enumerate(names):
        shown = [trial for trial in trained if name in trial.scores]
        horizontal = axis_for([trial.scores[name] for trial in shown])
        # The fewest come last, on top of the others.
        for kind, _ in kinds.most_common():
            points = [trial for trial in shown if _kind(trial) == kind]
            if not points:
                continue
            color, symbol = SOURCES[kind]
            grid.add(
                index,
                go.Scatter(
                    x=horizontal.place([trial.scores[name] for trial in points]),
                    y=vertical.place([trial.value for trial in points if trial.value is not None]),
                    mode="markers",
                    marker={"color": color, "symbol": symbol, **marker_style(len(trained))},
                    name=f"{kind} ({kinds[kind]})",
                    legendgroup=kind,
                    legendrank=list(SOURCES).index(kind),
                    customdata=[
                        [trial.number, compact(trial.scores[name]), compact(trial.value)]
                        for trial in points
                        if trial.value is not None
                    ],
                    hovertemplate=(
                        f"trial %{{customdata[0]}} ({kind})<br>{name}: %{{customdata[1]}}<br>"
                        f"{target_name}: %{{customdata[2]}}<extra></extra>"
                    ),
                ),
            )
        grid.set_axes(
            index,
            {**horizontal.layout, "title": {"text": shortened(name), "standoff": 5}},
            {
                **vertical.layout,
                "title": {"text": target_name},
                **({"autorange": "reversed"} if minimized else {}),
            },
        )
    name_in_legend(grid.figure)
    set_layout(grid.figure, _TITLE, _subtitle(trials, trained, minimized=minimized))
    return grid.figure


def _kind(trial: ScoredTrial) -> str:
    return trial.source if trial.source in SOURCES else OTHER


def _panel_title(correlation: Correlation) -> str:
    if math.isnan(correlation.spearman.value):
        reason = "one network" if correlation.count == 1 else "all equal"
        numbers = f"ρ and τ undefined: {reason}"
    else:
        numbers = f"ρ {_interval(correlation.spearman)}   τ {_interval(correlation.kendall)}"
    return (
        f'<b>{shortened(correlation.score)}</b><br><span style="font-size:11px">{numbers}</span>'
    )


def _interval(estimate: Estimate) -> str:
    value, low, high = map(two_decimals, (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _subtitle(
    trials: Sequence[ScoredTrial], trained: Sequence[ScoredTrial], *, minimized: bool
) -> str:
    better = "lower values are better and further up" if minimized else "higher values are better"
    text = (
        f"{len(trained)} trained networks; {better}. Spearman ρ and Kendall τ with 95 % "
        "intervals, positive where better networks scored higher."
    )
    left_out = _left_out(trials, trained)
    return f"{text} Left out: {left_out}." if left_out else text


def _left_out(trials: Sequence[ScoredTrial], trained: Sequence[ScoredTrial]) -> str:
    shown = {trial.number for trial in trained}
    counts = Counter(_why_left_out(trial) for trial in trials if trial.number not in shown)
    return ", ".join(f"{count} {why}" for why, count in counts.items())


def _why_left_out(trial: ScoredTrial) -> str:
    if trial.state != TrialState.COMPLETE:
        return "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
    return "without scores" if trial.value is not None else "without a finite value"


def _missing(trials: Sequence[ScoredTrial], scores: Sequence[str] | None) -> str:
    if not trials:
        return "The study has no trials yet."
    text = (
        f"None of the {len(trials)} trials is complete and has scores"
        f"{'' if scores is None else f' named {list(scores)}'} ({_left_out(trials, [])})."
    )
    if not score_names(trials):
        text += " Scores are stored by ZeroCostSampler."
    return text
