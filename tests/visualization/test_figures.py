"""Figures: every trial in its place, and words where there is nothing to show."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from optuna_zerocost import Learned, RankSum, Sources, Warmup, ZeroCostSampler
from optuna_zerocost.records import considered_scores, stored_pools
from optuna_zerocost.visualization import (
    plot_candidates,
    plot_proxy_correlation,
    plot_search_curves,
    plot_warmup,
)
from optuna_zerocost.visualization._axis import axis_for
from tests.spaces import BASES, SPACES

OF_ONE_STUDY = [plot_candidates, plot_proxy_correlation, plot_warmup]


def plot_curve(study: optuna.Study) -> go.Figure:
    return plot_search_curves({"this": study})


def scorer(trial: Any) -> dict[str, float]:
    """Scores close together, over many decades, of both signs, and all equal."""
    size = SPACES["numeric"](trial)
    return {
        "near": size,
        "far": math.exp(3 * size),
        "signed": (size - 5) ** 9,
        "same": 1.0,
    }


def objective(trial: optuna.Trial) -> float:
    size = SPACES["numeric"](trial)
    if trial.number % 5 == 4:
        raise optuna.TrialPruned
    return size + trial.suggest_float("rate", 0, 3)


def searched(*, trials: int, direction: str = "maximize", moves: int = 5) -> optuna.Study:
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        ranking=RankSum("far", "-signed"),
        warmup=Warmup(candidates=40, trials=4, show_progress_bar=False),
        moves=moves,
        seed=0,
    )
    study = optuna.create_study(direction=direction, sampler=sampler)
    study.enqueue_trial({"x": 0.0, "y": 0.5, "n": 5, "rate": 1.0})
    study.optimize(objective, n_trials=trials)
    return study


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    return searched(trials=16)


def words(figure: go.Figure) -> str:
    """Return what a figure without any points says."""
    assert not figure.data
    (annotation,) = figure.layout.annotations
    return str(annotation.text).replace("<br>", " ")


def panel_of(figure: go.Figure, number: int) -> list[Any]:
    """Return the traces of panel ``number``, from 0."""
    axis = "x" if number == 0 else f"x{number + 1}"
    return [trace for trace in figure.data if (trace.xaxis or "x") == axis]


def titles(figure: go.Figure) -> list[str]:
    """Return the names of the scores over the panels."""
    return [
        str(annotation.text).partition("<b>")[2].partition("</b>")[0]
        for annotation in figure.layout.annotations
    ]


def axis_of(figure: go.Figure, letter: str, number: int) -> Any:
    return figure.layout[f"{letter}axis{number + 1 if number else ''}"]


# Every point is a trial, in its place


def test_each_panel_shows_every_trained_network_once(study: optuna.Study) -> None:
    figure = plot_proxy_correlation(study)
    trained = {t.number: t for t in study.trials if t.state == TrialState.COMPLETE}
    assert len(trained) < len(study.trials)
    assert set(titles(figure)) == {"near", "far", "signed", "same"}
    for index, name in enumerate(titles(figure)):
        scores = [trial.user_attrs[f"zerocost:{name}"] for trial in trained.values()]
        axis = axis_for(scores)
        shown = {}
        for trace in panel_of(figure, index):
            source = trace.name.partition(" ")[0]
            for x, y, (number, *_) in zip(trace.x, trace.y, trace.customdata, strict=True):
                assert trained[number].user_attrs["zerocost:source"] == source
                shown[number] = (x, y)
        assert set(shown) == set(trained)
        for number, (x, y) in shown.items():
            assert x == axis.place([trained[number].user_attrs[f"zerocost:{name}"]])[0]
            assert y == pytest.approx(trained[number].value, rel=1e-5)


def test_correlations_stand_over_their_panels(study: optuna.Study) -> None:
    figure = plot_proxy_correlation(study)
    texts = {str(a.text).partition("</b>")[0][3:]: a.text for a in figure.layout.annotations}
    assert "ρ and τ undefined: all equal" in texts["same"]
    trained = [t for t in study.trials if t.state == TrialState.COMPLETE]
    ranks = [
        np.argsort(np.argsort(values))
        for values in (
            [t.user_attrs["zerocost:near"] for t in trained],
            [t.value for t in trained],
        )
    ]
    rho = np.corrcoef(ranks)[0, 1]
    assert f"ρ {rho:.2f} [".replace("-", "−") in texts["near"]


def test_better_is_further_up_whether_maximized_or_minimized() -> None:
    for direction, autorange in (("maximize", None), ("minimize", "reversed")):
        study = searched(trials=6, direction=direction)
        figure = plot_proxy_correlation(study)
        for index in range(len(titles(figure))):
            assert axis_of(figure, "y", index).autorange == autorange


def test_the_pool_is_sorted_and_the_chosen_lie_on_it(study: optuna.Study) -> None:
    figure = plot_warmup(study)
    (pool,) = stored_pools(study)
    chosen = {t.number: t for t in study.trials if t.user_attrs["zerocost:source"] == "warmup"}
    for index, name in enumerate(titles(figure)):
        falling = sorted((c.scores[name] for c in pool.candidates), reverse=True)
        axis = axis_for(falling)
        line, *others = panel_of(figure, index)
        assert list(line.y) == axis.place(falling)
        shown = {}
        for trace in others:
            for x, y, row in zip(trace.x, trace.y, trace.customdata or (), strict=False):
                shown[row[0]] = (x, y)
                assert (row[2] == "none") == (
                    chosen[row[0]].value is None or chosen[row[0]].state != TrialState.COMPLETE
                )
        assert set(shown) == set(chosen)
        for number, (x, y) in shown.items():
            score = chosen[number].user_attrs[f"zerocost:{name}"]
            assert falling[x - 1] == score
            assert y == axis.place([score])[0]


def test_a_last_improvement_is_not_hidden_by_the_edge() -> None:
    study = optuna.create_study(direction="maximize")
    for value in range(9):
        study.add_trial(create_trial(value=value))
    figure = plot_curve(study)
    (curve,) = figure.data
    assert curve.x[-1] == 9 < figure.layout.xaxis.range[1]


def test_what_a_move_takes_from_the_pool_is_shown_as_chosen() -> None:
    ranking = Learned(trusting=2, honest=2, sources=Sources(random=0, searched=0, pool=True))
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        ranking=ranking,
        warmup=Warmup(candidates=40, trials=4, show_progress_bar=False),
        moves=2,
        seed=0,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=10)
    moves = {t.number for t in study.trials if t.user_attrs.get("zerocost:origin") == "pool"}
    assert moves
    shown = {row[0] for trace in plot_warmup(study).data for row in trace.customdata or ()}
    assert shown == moves | set(range(4))


@pytest.mark.parametrize("moves", [5, 80])
def test_moves_show_what_they_chose_among(moves: int) -> None:
    study = searched(trials=moves + 4, moves=3)
    figure = plot_candidates(study)
    chosen = {t.number: t for t in study.trials if t.user_attrs["zerocost:source"] == "move"}
    assert len(chosen) == moves
    assert titles(figure) == ["far", "signed"]
    for index, name in enumerate(titles(figure)):
        among = {n: considered_scores(t.system_attrs)[name] for n, t in chosen.items()}
        axis = axis_for([score for scores in among.values() for score in scores])
        traces = {trace.name: trace for trace in panel_of(figure, index)}
        winners = traces.pop("chosen")
        assert "chosen at random" not in traces
        assert list(winners.x) == list(chosen)
        assert list(winners.y) == axis.place(
            [t.user_attrs[f"zerocost:{name}"] for t in chosen.values()]
        )
        if moves == 5:
            points = sorted(zip(traces["candidates"].x, traces["candidates"].y, strict=True))
            assert points == sorted(
                (n, place) for n, scores in among.items() for place in axis.place(scores)
            )
        else:
            everything = traces["all candidates"].y
            half = traces["their middle half"].y
            assert min(everything) <= min(half) <= max(half) <= max(everything)
            assert max(everything) == axis.place([max(max(s) for s in among.values())])[0]
            assert min(everything) == axis.place([min(min(s) for s in among.values())])[0]


def test_choices_at_random_are_told_from_the_others() -> None:
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        ranking="near",
        warmup=None,
        moves=3,
        random_share=0.5,
        seed=1,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=12)
    numbers = {
        source: [t.number for t in study.trials if t.user_attrs["zerocost:source"] == source]
        for source in ("move", "random")
    }
    assert all(numbers.values())
    traces = {trace.name: trace for trace in plot_candidates(study).data}
    assert list(traces["chosen"].x) == numbers["move"]
    assert list(traces["chosen at random"].x) == numbers["random"]


def test_search_curves_have_a_line_for_each_kind_and_a_band_where_there_are_several() -> None:
    one, two = searched(trials=6), searched(trials=9)
    figure = plot_search_curves({"several": [one, two], "single": one})
    lines = {trace.name: trace for trace in figure.data if trace.name}
    assert list(lines) == ["several (2 studies)", "single (1 study)"]
    values = [t.value for t in one.trials if t.state == TrialState.COMPLETE]
    best = [max(values[: k + 1]) for k in range(len(values))]
    assert list(lines["single (1 study)"].y) == pytest.approx(best, rel=1e-5)
    assert list(lines["single (1 study)"].x) == list(range(1, len(best) + 1))
    assert sum(trace.fill == "tonexty" for trace in figure.data) == 1


def test_studies_of_both_directions_have_no_common_best() -> None:
    studies = {d: optuna.create_study(direction=d) for d in ("maximize", "minimize")}
    with pytest.raises(ValueError, match="maximize and some minimize"):
        plot_search_curves(studies)


# Every figure, of every kind of study


@pytest.mark.parametrize("plot", [*OF_ONE_STUDY, plot_curve])
def test_figures_are_plain_json_with_each_kind_named_once(
    plot: Callable[[optuna.Study], go.Figure], study: optuna.Study
) -> None:
    figure = plot(study)
    text = figure.to_json()
    json.loads(text, parse_constant=lambda constant: pytest.fail(constant))
    assert "bdata" not in text  # older viewers, the dashboard's among them, may not read it
    named = [trace.name for trace in figure.data if trace.showlegend is not False and trace.name]
    assert named and len(named) == len(set(named))


@pytest.mark.parametrize("plot", [*OF_ONE_STUDY, plot_curve])
def test_a_study_without_trials_says_so(plot: Callable[[optuna.Study], go.Figure]) -> None:
    said = words(plot(optuna.create_study()))
    assert "no trials" in said or "no warmup" in said or "complete trial" in said


@pytest.mark.parametrize("plot", OF_ONE_STUDY)
def test_a_study_without_scores_names_what_stores_them(
    plot: Callable[[optuna.Study], go.Figure],
) -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert "ZeroCostSampler" in words(plot(study))


def test_trials_that_gave_nothing_are_counted() -> None:
    study = optuna.create_study()
    for state in (TrialState.FAIL, TrialState.FAIL, TrialState.RUNNING):
        study.add_trial(create_trial(state=state, user_attrs={"zerocost:a": 1.0}))
    assert "(2 failed, 1 running)" in words(plot_proxy_correlation(study))
    assert "no score named ['b']" not in words(plot_proxy_correlation(study))


@pytest.mark.parametrize("plot", [plot_proxy_correlation, plot_warmup, plot_curve])
def test_several_objectives_ask_for_a_target(
    plot: Callable[[optuna.Study], go.Figure],
) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(create_trial(values=[1.0, 2.0], user_attrs={"zerocost:a": 1.0}))
    said = words(plot(study))
    assert "2 objectives" in said and "target=" in said


def test_a_target_shows_one_of_several_objectives() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(3):
        study.add_trial(
            create_trial(values=[1.0, 7.0 * number], user_attrs={"zerocost:a": float(number)})
        )
    (trace,) = plot_proxy_correlation(study, target=lambda trial: trial.values[1]).data
    assert list(trace.y) == [0.0, 7.0, 14.0]


@pytest.mark.parametrize("plot", OF_ONE_STUDY)
def test_scores_can_be_chosen(plot: Callable[..., go.Figure], study: optuna.Study) -> None:
    assert titles(plot(study, scores=["far"])) == ["far"]
    said = words(plot(study, scores=["fur"]))
    assert "fur" in said


def test_a_missing_plotly_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    for plot in (*OF_ONE_STUDY, plot_curve):
        with pytest.raises(ImportError, match=r"optuna-zerocost\[visualization\]"):
            plot(optuna.create_study())


# Axes


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=30))
@example([1.0, 21.0, 2e-313])
@example([-1.0, 1e12, 5e-324])
def test_an_axis_keeps_the_order_and_its_ticks_stand_where_they_say(values: list[float]) -> None:
    axis = axis_for(values)
    places = axis.place(sorted(values))
    assert places == sorted(places)
    if axis.layout.get("type") == "log":
        assert min(values) > 0
    ticks = axis.layout.get("tickvals", ())
    assert list(ticks) == sorted(set(ticks))
    for tick, text in zip(ticks, axis.layout.get("ticktext", ()), strict=True):
        assert min(values) <= axis_value(text) * (1 + 1e-9) + 1e-300
        assert axis.place([axis_value(text)])[0] == pytest.approx(tick, abs=1e-5)


def axis_value(text: str) -> float:
    if text == "0":
        return 0.0
    sign = -1.0 if text.startswith("−") else 1.0
    return sign * 10.0 ** int(text.partition("<sup>")[2].removesuffix("</sup>"))


def test_decades_are_shown_apart() -> None:
    assert axis_for([1.0, 1.5, 2.0]).layout == {}
    assert axis_for([1e-3, 1.0, 1e6]).layout["type"] == "log"
    decades = [10.0**exponent for exponent in range(7)]
    falling = [-value for value in reversed(decades)]
    for values in (falling, [*falling, 0.0], [*falling, *decades], [0.0, *decades]):
        gaps = np.diff(axis_for(values).place(values))
        # A linear axis leaves a millionth of it to the first decade.
        assert gaps.min() > 0.02 * gaps.sum()


def test_a_panel_counts_its_networks_where_some_lack_the_score() -> None:
    study = optuna.create_study()
    for number in range(12):
        scores = {"zerocost:all": float(number), "zerocost:some": float(-number)}
        if number >= 5:
            del scores["zerocost:some"]
        study.add_trial(create_trial(value=float(number), user_attrs=scores))
    figure = plot_proxy_correlation(study)
    texts = [str(annotation.text) for annotation in figure.layout.annotations]
    shown = dict(zip(titles(figure), texts, strict=True))
    assert "(5 of 12)" in shown["some"]
    assert "12)" not in shown["all"]


def test_titles_begin_below_the_toolbar(study: optuna.Study) -> None:
    for figure in (
        plot_proxy_correlation(study),
        plot_warmup(study),
        plot_candidates(study),
        plot_search_curves({"this": study}),
        plot_warmup(optuna.create_study()),  # an empty one
    ):
        lines = str(figure.layout.title.text).count("<br>") + 1
        assert figure.layout.title.pad.t >= 30
        assert figure.layout.margin.t >= figure.layout.title.pad.t + 18 * lines
