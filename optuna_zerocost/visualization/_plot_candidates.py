"""The candidates of each move, and the chosen one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost._words import compact
from optuna_zerocost.analysis import names_in, scores_of_trial
from optuna_zerocost.records import PREFIX, considered_scores
from optuna_zerocost.visualization._axis import Axis, axis_for
from optuna_zerocost.visualization._plotly import (
    GREY,
    SOURCES,
    Panel,
    empty_figure,
    figure_of,
    marker_style,
    panel_title,
    scatter,
    see_through,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["plot_candidates"]

_TITLE = "What each move chose among"

# source → what the legend calls the candidates that it was the reason to choose
_CHOSEN = {"move": "chosen", "random": "chosen at random"}

# With more moves than this, their candidates run together: bands are shown instead.
_MOST_DRAWN_SINGLY = 60
# More than this, and neighbouring moves share a step of the bands.
_MOST_STEPS = 100


def plot_candidates(study: Study, *, scores: Sequence[str] | None = None) -> go.Figure:
    """Plot for each move the scores of its candidates and of the one that was chosen.

    One panel a score that the ranking reads. Few moves show every candidate; many show the range
    of the candidates, its middle half and its median.

    Args:
        study: Any study.
        scores: Names of the scores to show. Default: all that were stored.
    """
    trials = study.get_trials(deepcopy=False)
    considered = [(trial, considered_scores(trial.system_attrs)) for trial in trials]
    moves = [(trial, among) for trial, among in considered if among]
    stored = names_in(among for _, among in moves)
    names = [name for name in stored if scores is None or name in scores]
    if not names:
        return empty_figure(_TITLE, _missing(len(trials), len(moves), scores))
    numbers = [trial.number for trial, _ in moves]
    margin = max(1.0, 0.03 * (max(numbers) - min(numbers)))
    x = {"range": [min(numbers) - margin, max(numbers) + margin]}
    panels = []
    for name in names:
        of_name = [
            _Move(
                trial.number,
                among[name],
                scores_of_trial(trial).get(name),
                trial.user_attrs.get(f"{PREFIX}source", "move"),
            )
            for trial, among in moves
            if among.get(name)
        ]
        axis = axis_for([score for move in of_name for score in move.among])
        draw = _draw_singly if len(of_name) <= _MOST_DRAWN_SINGLY else _draw_bands
        traces = [*draw(of_name, axis), *_chosen(of_name, name, axis)]
        x_title = "trial" if name == names[-1] else ""
        panels.append(Panel(panel_title(name), traces, x_title, x, "score", axis.layout))
    return figure_of(panels, _TITLE, _subtitle([trial for trial, _ in moves]), columns=1)


class _Move(NamedTuple):
    """The trial's number, its candidates' scores in rising order, the chosen one's, the source."""

    number: int
    among: list[float]
    score: float | None
    source: str


def _draw_singly(of_name: Sequence[_Move], axis: Axis) -> Iterator[Any]:
    yield scatter(
        [move.number for move in of_name for _ in move.among],
        axis.place([score for move in of_name for score in move.among]),
        {"mode": "markers", "marker": {"color": GREY, "size": 5, "opacity": 0.5}},
        group="candidates",
        name="candidates",
    )


def _draw_bands(of_name: Sequence[_Move], axis: Axis) -> Iterator[Any]:
    size = math.ceil(len(of_name) / _MOST_STEPS)
    steps = [of_name[start : start + size] for start in range(0, len(of_name), size)]
    numbers = [float(np.mean([move.number for move in step])) for step in steps]
    among = [[score for move in step for score in move.among] for step in steps]
    quantiles = [np.quantile(a, [0, 0.25, 0.5, 0.75, 1], method="nearest") for a in among]
    low, lower, median, upper, high = (axis.place(row) for row in np.array(quantiles).T)
    for label, bottom, top, opacity in (
        ("all candidates", low, high, 0.2),
        ("their middle half", lower, upper, 0.35),
    ):
        area = {"fill": "toself", "fillcolor": see_through(GREY, opacity), "line": {"width": 0}}
        there_and_back = numbers + numbers[::-1]
        yield scatter(there_and_back, bottom + top[::-1], area, group=label, name=label)
    line = {"mode": "lines", "line": {"color": GREY, "width": 1}}
    yield scatter(numbers, median, line, group="their median", name="their median")


def _chosen(of_name: Sequence[_Move], name: str, axis: Axis) -> Iterator[Any]:
    for source, label in _CHOSEN.items():
        moves = [
            (move, move.score)
            for move in of_name
            if move.source == source and move.score is not None
        ]
        if not moves:
            continue
        color, symbol = SOURCES[source]
        marker = {"color": color, "symbol": symbol, **marker_style(len(of_name))}
        yield scatter(
            [move.number for move, _ in moves],
            axis.place([score for _, score in moves]),
            {"mode": "markers", "marker": marker},
            group=label,
            name=label,
            hover=(
                f"trial %{{x}}<br>{name}: %{{customdata[0]}}<br>"
                "candidates: %{customdata[1]} to %{customdata[2]}"
            ),
            data=[
                [compact(score), compact(move.among[0]), compact(move.among[-1])]
                for move, score in moves
            ],
        )


def _subtitle(moves: Sequence[FrozenTrial]) -> str:
    counts = [trial.user_attrs.get(f"{PREFIX}candidates", 0) for trial in moves]
    rejected = sum(trial.user_attrs.get(f"{PREFIX}rejected", 0) for trial in moves)
    return (
        f"{len(moves)} moves; each chose among {np.median(counts):.0f} new architectures "
        f"(median), {min(counts)} to {max(counts)}; {rejected} draws were rejected."
    )


def _missing(trials: int, moves: int, scores: Sequence[str] | None) -> str:
    if moves:
        return f"None of the {moves} moves has stored a score named {list(scores or ())}."
    if not trials:
        return "The study has no trials yet."
    return (
        f"None of the {trials} trials was chosen by move proposal, or none has stored what it was "
        "chosen among. ZeroCostSampler(moves=…) does, after the warmup."
    )
