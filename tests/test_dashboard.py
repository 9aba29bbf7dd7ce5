"""What is published arrives in the dashboard and replaces what was, sparing what is not ours.

The dashboard's own WSGI application answers; no browser and no server is needed.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import optuna
import optuna_dashboard
import pytest
from optuna.trial import TrialState, create_trial

from optuna_zerocost import RankSum, Warmup, ZeroCostSampler, dashboard, visualization
from optuna_zerocost.dashboard import DashboardCallback, describe, publish
from tests.dashboard_api import study_detail
from tests.spaces import BASES, SPACES


def scorer(trial: Any) -> dict[str, float]:
    size = SPACES["numeric"](trial)
    return {"a": size, "b": -size, "c": 10.0**size}


def make_sampler() -> ZeroCostSampler:
    return ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        ranking=RankSum("a", "c"),
        warmup=Warmup(candidates=40, trials=3, show_progress_bar=False),
        moves=3,
        seed=0,
    )


# Pixels from the top that Plotly's toolbar takes.
TOOLBAR = 30


def objective(trial: optuna.Trial) -> float:
    return SPACES["numeric"](trial) + trial.suggest_float("rate", 0, 1)


def search(storage: optuna.storages.BaseStorage | str, trials: int = 8) -> optuna.Study:
    study = optuna.create_study(direction="maximize", storage=storage, sampler=make_sampler())
    study.optimize(objective, n_trials=trials)
    return study


def figures(study: optuna.Study) -> dict[str, dict[str, Any]]:
    """Return identifier → figure, as the dashboard gets them."""
    return {
        entry["id"]: json.loads(entry["graph_object"])
        for entry in study_detail(study)["plotly_graph_objects"]
    }


@pytest.fixture
def study() -> optuna.Study:
    return search(optuna.storages.InMemoryStorage())


def test_figures_and_note_arrive(tmp_path: pathlib.Path) -> None:
    study = search(f"sqlite:///{tmp_path / 'studies.db'}", trials=5)
    published = publish(study)
    shown = figures(study)
    assert set(shown) == set(published)
    assert {identifier.split("-")[1] for identifier in published} == {
        "correlation",
        "warmup",
        "candidates",
        "search",
    }
    # All scores have a panel, and the points are those of the figures for a notebook.
    for plot, prefix in (
        (visualization.plot_proxy_correlation, "zerocost-correlation"),
        (visualization.plot_warmup, "zerocost-warmup"),
        (visualization.plot_candidates, "zerocost-candidates"),
    ):
        whole = json.loads(plot(study).to_json())
        parts = [figure for identifier, figure in shown.items() if identifier.startswith(prefix)]

        def points(traces: list[dict[str, Any]]) -> list[str]:
            return sorted(
                json.dumps([trace.get("name"), trace["x"], trace["y"]]) for trace in traces
            )

        assert points([t for part in parts for t in part["data"]]) == points(whole["data"])
        for part in parts:
            assert part["layout"]["height"] == 450  # what the dashboard has room for
            # Nothing opaque over a title, and nothing at all over its words.
            assert part["layout"]["modebar"]["bgcolor"] == "rgba(0,0,0,0)"
            assert part["layout"]["title"]["pad"]["t"] >= TOOLBAR
    assert study_detail(study)["note"]["body"] == describe(study)


def test_other_studies_may_be_compared_with_it(study: optuna.Study) -> None:
    publish(study, curves={"this": study, "before": search(optuna.storages.InMemoryStorage())})
    names = [trace["name"] for trace in figures(study)["zerocost-search-curves"]["data"]]
    assert [name.partition(" (")[0] for name in names] == ["this", "before"]


def test_publishing_again_replaces(study: optuna.Study) -> None:
    first = publish(study)
    again = publish(study)
    assert first == again and set(figures(study)) == set(first)
    before = figures(study)
    study.optimize(objective, n_trials=2)
    publish(study)
    after = figures(study)
    assert set(after) == set(before)
    assert after["zerocost-correlation"] != before["zerocost-correlation"]
    assert study_detail(study)["note"]["body"] == describe(study)


def test_what_a_user_has_written_stays(study: optuna.Study) -> None:
    optuna_dashboard.save_note(study, "Our first run.")
    publish(study)
    assert optuna_dashboard.get_note(study) == f"Our first run.\n\n{describe(study)}"
    optuna_dashboard.save_note(study, f"{optuna_dashboard.get_note(study)}\n\nTo be repeated.")
    study.optimize(objective, n_trials=1)
    for _ in range(2):
        publish(study)
        expected = f"Our first run.\n\n{describe(study)}\n\nTo be repeated."
        assert optuna_dashboard.get_note(study) == expected


def test_the_note_says_what_happened_and_how_the_proxies_fare() -> None:
    study = search(optuna.storages.InMemoryStorage(), trials=9)
    text = describe(study)
    assert "**3** chosen from the warmup's pool" in text
    assert "**6** the best of many candidates: drawn by the base sampler" in text
    best = max(study.trials, key=lambda trial: trial.values[0])
    assert f"in trial {best.number}" in text
    for name in ("a", "b", "c"):
        assert f"| {name} | 9 |" in text
    assert "The scores have chosen these networks themselves" in text


def test_words_follow_the_interval() -> None:
    study = optuna.create_study(direction="minimize")
    for number in range(30):
        study.add_trial(
            create_trial(
                value=-float(number),
                user_attrs={
                    "zerocost:helps": float(number),
                    "zerocost:harms": -float(number),
                    "zerocost:idle": float(number * 11 % 30),
                    "zerocost:same": 1.0,
                    "zerocost:with|bar": 1.0,
                },
            )
        )
    rows = {line.split(" ")[1]: line for line in describe(study).split("\n") if "| 30 |" in line}
    assert "strong: better networks score higher" in rows["helps"]
    assert "strong: better networks score lower" in rows["harms"]
    assert "not told from chance" in rows["idle"]
    assert "undefined" in rows["same"]
    assert "with\\|bar" in rows
    # Nobody has chosen by these scores.
    assert "have chosen these networks" not in describe(study)


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"]])
def test_studies_with_nothing_to_show_are_published_too(directions: list[str]) -> None:
    study = optuna.create_study(directions=directions)
    assert set(figures(study)) == set()
    assert set(publish(study)) == set(figures(study)) != set()
    assert "No complete trial" in optuna_dashboard.get_note(study)
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"zerocost:a": 1.0}))
    publish(study)
    assert "No complete trial" in optuna_dashboard.get_note(study)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_each_objective_has_its_figures() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=make_sampler())
    study.set_metric_names(["accuracy", "latency"])
    study.optimize(lambda trial: (objective(trial), trial.params["n"]), n_trials=6)
    published = publish(study)
    assert "zerocost-correlation-objective-0" in published
    assert "zerocost-correlation-objective-1" in published
    assert "zerocost-search-curves-objective-1" in published
    axis = figures(study)["zerocost-correlation-objective-1"]["layout"]["yaxis"]
    assert axis["title"]["text"] == "latency" and axis["autorange"] == "reversed"
    note = optuna_dashboard.get_note(study)
    assert "fare: accuracy" in note and "fare: latency" in note


# The callback


def test_the_callback_publishes_every_so_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[int] = []
    monkeypatch.setattr(dashboard, "publish", lambda study: published.append(len(study.trials)))
    study = optuna.create_study(sampler=make_sampler())
    study.optimize(objective, n_trials=7, callbacks=[DashboardCallback(every=3)])
    study.optimize(objective, n_trials=3, callbacks=[DashboardCallback(every=3)])
    assert published == [3, 6, 9]


def test_the_search_goes_on_if_publishing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(study: optuna.Study) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(dashboard, "publish", fail)
    study = optuna.create_study(sampler=make_sampler())
    with pytest.warns(UserWarning, match="no space left.*The search goes on"):
        study.optimize(objective, n_trials=2, callbacks=[DashboardCallback(every=1)])
    assert len(study.trials) == 2


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_every_is_a_number_of_trials(every: Any) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        DashboardCallback(every=every)


@pytest.mark.parametrize("missing", ["plotly", "optuna_dashboard"])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{missing}.*optuna-zerocost\[dashboard\]"):
        publish(optuna.create_study())
    with pytest.raises(ImportError, match=r"optuna-zerocost\[dashboard\]"):
        DashboardCallback()
