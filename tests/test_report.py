"""The command ``optuna-zerocost report``."""

from __future__ import annotations

import csv
import html.parser
import io
import os
import pathlib
import socket
import subprocess
import sys

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from optuna_zerocost import Learned, Warmup, ZeroCostSampler, _words, analysis
from optuna_zerocost.cli import main

# It would end a script or a tag, if it were not escaped, and needs quotes in CSV.
HOSTILE = '</script><b>"x", &'


def objective(trial: optuna.Trial) -> float:
    n = trial.suggest_int("n", 0, 500)
    if trial.number == 7:
        raise ValueError("out of memory")
    return float(n) + trial.suggest_float("rate", 0, 1)


def scorer(trial: optuna.trial.BaseTrial) -> dict[str, float]:
    n = trial.suggest_int("n", 0, 500)
    return {"useful": float(n), HOSTILE: float(-n), "idle": float(n * 7 % 11)}


def search(storage: str, name: str = "s", *, ranking: object = "useful") -> optuna.Study:
    memory = optuna.storages.InMemoryStorage()  # a search is quicker there
    study = optuna.create_study(
        study_name=name,
        storage=memory,
        direction="maximize",
        sampler=ZeroCostSampler(
            scorer,
            base_sampler=optuna.samplers.RandomSampler(seed=0),
            ranking=ranking,  # type: ignore[arg-type]
            warmup=None if isinstance(ranking, Learned) else Warmup(candidates=20, trials=3),
            moves=4,
            seed=0,
        ),
    )
    study.optimize(objective, n_trials=14, catch=(ValueError,))
    study.ask()  # and never told
    optuna.copy_study(from_study_name=name, from_storage=memory, to_storage=storage)
    return study


@pytest.fixture
def storage(tmp_path: pathlib.Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


def report(capsys: pytest.CaptureFixture[str], storage: str, *more: str, name: str = "s") -> str:
    assert main(["report", "--study", name, "--storage", storage, *more]) == 0
    return capsys.readouterr().out


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def assert_fits(text: str) -> None:
    assert max(map(len, text.splitlines())) <= 80


# Text


def test_the_text_says_what_the_analysis_finds(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = search(storage)
    text = report(capsys, storage)
    assert_fits(text)
    best = study.best_trial
    assert f"{best.value:.5g} in trial {best.number}" in text
    assert f"n = {best.params['n']}" in text
    assert "15 trials (13 complete, 1 fail, 1 running)" in text
    for brought in analysis.contributions(study):
        told = next(line for line in text.splitlines() if line.startswith(f"{brought.source}  "))
        assert told.split() == [
            brought.source,
            str(brought.networks),
            f"{brought.median:.5g}",
            f"{brought.best:.5g}",
            str(brought.improvements),
        ]
    for found in analysis.correlations(study):
        told = next(line for line in text.splitlines() if line.startswith(f"{found.score}  "))
        assert f"{found.spearman.value:.2f}".replace("-", "−") in told


def test_long_names_are_cut_and_numbers_are_not(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = optuna.create_study(study_name="s" * 100, storage=storage)
    for value in range(5):
        study.add_trial(
            create_trial(value=value * 1e-30, user_attrs={f"zerocost:{'long' * 40}": value + 0.5})
        )
    text = report(capsys, storage, name="s" * 100)
    assert_fits(text)
    assert "longlon" in text and "…" in text and "−1.00 (" in text


def test_a_pipe_whose_encoding_has_no_greek_gets_the_report(storage: str) -> None:
    search(storage)
    ran = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from optuna_zerocost.cli import main; sys.exit(main())",
            *("report", "--study", "s", "--storage", storage),
        ],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    text = ran.stdout.decode("ascii")
    assert "Spearman \\u03c1" in text and ran.stderr == b""


def test_what_the_ranking_has_learned_is_told(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = search(storage, ranking=Learned("useful", "idle"))
    text = report(capsys, storage)
    assert_fits(text)
    assert "What the ranking has learned" in text
    # Most of what it chooses among is not the base sampler's.
    origins = [trial.user_attrs.get("zerocost:origin") for trial in study.trials]
    assert "searched" in origins
    told = f"{origins.count('searched')} {_words._ORIGINS['searched']}"
    assert told in " ".join(text.split())
    assert "What the ranking has learned" in report(capsys, storage, "--format", "html")
    search(storage, "fixed")
    assert "What the ranking has learned" not in report(capsys, storage, name="fixed")


# CSV


def test_the_csv_has_what_the_analysis_finds(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = search(storage)
    found = rows(report(capsys, storage, "--format", "csv"))
    expected = analysis.scores_of(study)
    assert [int(row["number"]) for row in found] == [trial.number for trial in study.trials]
    for row, trial, original in zip(found, expected, study.trials, strict=True):
        assert row["state"] == trial.state.name
        assert row["source"] == (trial.source or "")
        assert row["value"] == ("" if trial.value is None else repr(trial.value))
        for name in analysis.score_names(expected):
            told = row[f"score_{name}"]
            assert (float(told) if told else None) == trial.scores.get(name)
        for name in ("n", "rate"):
            told = row[f"params_{name}"]
            assert (float(told) if told else None) == original.params.get(name)
    curve = [float(row["best_so_far"]) for row in found if row["best_so_far"]]
    assert curve == analysis.search_curve(study)
    assert [row["number"] for row in found if not row["value"]] == ["7", "14"]


def test_a_file_has_what_the_standard_output_would_have(
    storage: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search(storage)
    file = tmp_path / "report.csv"
    assert report(capsys, storage, "--format", "csv", "--output", str(file)) == ""
    assert file.read_text(encoding="utf-8") == report(capsys, storage, "--format", "csv")


# HTML


class Page(html.parser.HTMLParser):
    """The tags, the links to other files, and what a reader sees outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.identifiers: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._silent = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent = tag in ("script", "style")
        named = dict(attrs)
        self.identifiers += [named["id"] or ""] if "id" in named else []
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data


def test_the_page_needs_no_other_file_and_has_the_figures(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = search(storage, HOSTILE)
    page = Page(report(capsys, storage, "--format", "html", name=HOSTILE))
    assert page.links == []
    assert "link" not in page.tags and "iframe" not in page.tags
    for figure in ("correlation", "warmup", "candidates", "search-curves"):
        assert any(each.startswith(f"zerocost-{figure}") for each in page.identifiers)
    assert f"{study.best_value:.5g}" in page.text


def test_names_stay_text_in_the_page(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    search(storage, HOSTILE)
    text = report(capsys, storage, "--format", "html", name=HOSTILE)
    page = Page(text)
    assert "b" not in page.tags
    assert page.text.count(HOSTILE) >= 3  # the heading, the table, the list
    assert "</script><b>" not in text


@pytest.mark.parametrize(
    "name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]
)
def test_no_cell_is_a_formula(name: str, storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    study = optuna.create_study(study_name="formulas", storage=storage)
    params = {"choice": name, "rate": -0.5, "n": -3, "number": "-1e3", "flag": True, "none": None}
    study.add_trial(
        create_trial(
            value=-2.0,
            params=params,
            distributions={key: CategoricalDistribution([value]) for key, value in params.items()},
            user_attrs={"zerocost:a": -1.5, "zerocost:source": name},
        )
    )
    (row,) = csv.DictReader(
        io.StringIO(report(capsys, storage, "--format", "csv", name="formulas"))
    )
    assert row["params_choice"] == row["source"] == f"'{name}"
    assert row["value"] == "-2.0" and row["score_a"] == "-1.5"
    assert [row[f"params_{key}"] for key in params][1:] == ["-0.5", "-3", "-1e3", "True", ""]


def test_the_report_counts_the_networks_that_have_scores(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = optuna.create_study(study_name="some", storage=storage)
    for number in range(52):
        scores = {"zerocost:size": float(number % 7)} if number < 12 else {}
        study.add_trial(create_trial(value=float(number), user_attrs=scores))
    assert "12 of 52 trained networks have scores." in report(capsys, storage, name="some")


# Studies with little in them


@pytest.mark.parametrize("form", ["text", "csv", "html"])
@pytest.mark.parametrize("directions", [["maximize"], ["minimize", "maximize"]])
@pytest.mark.parametrize("content", ["nothing", "failed", "one", "no scores"])
def test_there_is_a_report_on_any_study(
    storage: str,
    directions: list[str],
    content: str,
    form: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = optuna.create_study(study_name="s", storage=storage, directions=directions)
    values = [0.5] * len(directions)
    scores = {"zerocost:a": 1.0}
    if content == "failed":
        study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=scores))
    elif content == "one":
        study.add_trial(create_trial(values=values, user_attrs=scores))
    elif content == "no scores":
        for _ in range(3):
            study.add_trial(
                create_trial(
                    values=values,
                    params={"lr": 0.1},
                    distributions={"lr": FloatDistribution(0, 1)},
                )
            )
    text = report(capsys, storage, "--format", form)
    if form == "csv":
        assert len(rows(text)) == len(study.trials)
    elif content in ("nothing", "failed"):
        assert "No network is trained yet." in text
    elif content == "no scores":
        assert "No trained network has a score" in text
    else:
        assert "undefined" in text


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_each_objective_has_its_own_direction(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = optuna.create_study(
        study_name="s", storage=storage, directions=["maximize", "minimize"]
    )
    study.set_metric_names(["accuracy", "latency"])
    for n in range(8):
        study.add_trial(
            create_trial(
                values=[n, n],
                params={"n": n},
                distributions={"n": IntDistribution(0, 9)},
                user_attrs={"zerocost:n": float(n)},
            )
        )
    text = report(capsys, storage)
    first, second = text.split("Best so far: latency")
    assert "Best so far: accuracy" in first
    assert "7 in trial 7" in first and "higher" in first
    assert "0 in trial 0" in second and "lower" in second
    found = rows(report(capsys, storage, "--format", "csv"))
    assert [(row["values_0"], row["values_1"]) for row in found] == [
        (f"{n}.0", f"{n}.0") for n in range(8)
    ]
    assert "best_so_far" not in found[0]


# Help


def test_the_help_is_as_wide_as_a_terminal_and_knows_no_default_of_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main(["report", "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert_fits(text)
    assert "(default: text)" in text and "None" not in text


# Mistakes


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["report", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("optuna-zerocost: error: ")
    return captured.err


def test_a_missing_study_names_those_that_are_there(
    storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    optuna.create_study(study_name="digits", storage=storage)
    error = fails(capsys, "--study", "digit", "--storage", storage)
    assert "'digit'" in error and "'digits'" in error


@pytest.mark.parametrize("url", ["sqlite:///{folder}/none/nas.db", "{folder}/none/nas.log"])
def test_a_missing_file_is_not_made(
    url: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = fails(capsys, "--study", "s", "--storage", url.format(folder=tmp_path))
    assert f"no file '{tmp_path}/none/nas." in error
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_down_is_told_without_its_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and nobody listens
        url = f"postgresql://me:secret@127.0.0.1:{closed.getsockname()[1]}/nas"
        error = fails(capsys, "--study", "s", "--storage", url)
    assert "cannot be used" in error and "secret" not in error


@pytest.mark.parametrize(
    ("dialect", "package"),
    [("psycopg", "psycopg[binary]"), ("psycopg2", "psycopg2-binary"), ("mysqldb", "mysqlclient")],
)
def test_a_missing_driver_is_named(
    dialect: str,
    package: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = {"mysqldb": "MySQLdb"}.get(dialect, dialect)
    monkeypatch.setitem(sys.modules, module, None)
    database = "mysql" if dialect == "mysqldb" else "postgresql"
    url = f"{database}+{dialect}://me@127.0.0.1/nas"
    error = fails(capsys, "--study", "s", "--storage", url)
    assert f'pip install "{package}"' in error


def test_a_server_that_goes_away_meanwhile_is_told_in_one_line(
    storage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(**_: object) -> None:
        raise OperationalError(
            "SELECT 1", {}, Exception("server closed the connection\n\tIt was busy.")
        )

    optuna.create_study(study_name="s", storage=storage)
    monkeypatch.setattr(optuna, "copy_study", gone)
    error = fails(capsys, "--study", "s", "--storage", storage)
    assert "server closed the connection" in error


def test_a_file_that_is_no_database_is_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.db"
    file.write_text("This is not a database, but it is long enough to be taken for one." * 20)
    error = fails(capsys, "--study", "s", "--storage", f"sqlite:///{file}")
    assert str(file) in error and "not a database" in error


def test_an_output_that_cannot_be_written_is_named(
    storage: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optuna.create_study(study_name="s", storage=storage)
    file = str(tmp_path / "none" / "report.txt")
    assert file in fails(capsys, "--study", "s", "--storage", storage, "--output", file)


def test_figures_without_plotly_name_the_extra(
    storage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    optuna.create_study(study_name="s", storage=storage)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    error = fails(capsys, "--study", "s", "--storage", storage, "--format", "html")
    assert "optuna-zerocost[visualization]" in error
    assert "No network is trained yet." in report(capsys, storage)


def test_a_form_that_there_is_not_is_refused(storage: str) -> None:
    with pytest.raises(SystemExit) as error:
        main(["report", "--study", "s", "--storage", storage, "--format", "pdf"])
    assert error.value.code == 2
