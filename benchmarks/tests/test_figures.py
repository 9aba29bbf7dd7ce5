"""Key figures: quoted as they were measured, and no older than the code."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from zerocost_bench import key_figures
from zerocost_bench.command import main
from zerocost_bench.key_figures import Result, digest_of, load, problems, record_figures, save


def test_documentation_quotes_what_was_measured() -> None:
    found = problems(load())
    assert not found, "\n".join(found)


def test_the_file_is_written_as_it_is_read(tmp_path: Path) -> None:
    save(load(), tmp_path / "figures.toml")
    assert (tmp_path / "figures.toml").read_text() == key_figures.FILE.read_text()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: Any) -> Path:
    """A repository with one result, one page that quotes it, and one record."""
    for folder in ("docs", "benchmarks/results", "tests/recorded"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(key_figures, "REPOSITORY", tmp_path)
    monkeypatch.setattr(key_figures, "RESULTS", tmp_path / "benchmarks" / "results")
    (tmp_path / "benchmarks" / "results" / "trust.md").write_text("| a | 0.930 | -0.04 | 12 |")
    (tmp_path / "README.md").write_text(
        "A score agrees with\naccuracy (.93), grasp with −0.04, after 12 trainings\n"
        "([measured](experiments/trust.md)).\n\nWhat 13 other networks say is in no file."
    )
    record = {"versions": {"torch": "2.13"}, "studies": [{"value": 1.23456789}]}
    (tmp_path / "tests" / "recorded" / "studies.json").write_text(json.dumps(record))
    return tmp_path


@pytest.fixture
def result(repository: Path) -> Result:
    words = "accuracy ({.rho:.2f}), grasp with {grasp}, after {needed} trainings"
    return Result(
        page="trust.md",
        command="zerocost-bench trust",
        commit="abc1234",
        date="2026-01-02",
        measured=("search",),
        digests=(digest_of("search"),),
        figures={"rho": 0.93, "grasp": -0.04, "needed": 12},
        quoted=(("README.md", words),),
    )


def test_what_fits_together_is_no_problem(result: Result) -> None:
    assert problems({"trust": result}) == []


def test_a_figure_that_the_result_does_not_have_is_found(result: Result) -> None:
    figures = {**result.figures, "needed": 14}
    found = problems({"trust": dataclasses.replace(result, figures=figures)})
    assert "needed is 14" in found[0] and "does not say" in found[1] and "14" in found[1]


def test_another_text_is_found(result: Result, repository: Path) -> None:
    page = repository / "README.md"
    page.write_text(page.read_text().replace(".93", ".94"))
    found = problems({"trust": result})
    assert "README.md does not say" in found[0]
    assert "the numbers beside a link to trust" in found[1]


def test_numbers_beside_a_link_must_be_recorded(result: Result, repository: Path) -> None:
    (repository / "docs" / "limits.md").write_text(
        "Words alone ([measured](experiments/trust.md)).\n\n- It took 15 more\n"
        "  (`benchmarks/results/trust.md`).\n- Another point."
    )
    (found,) = problems({"trust": result})
    assert found.startswith("docs/limits.md: the numbers beside a link to trust")


def test_a_result_that_is_older_than_the_code_is_found(result: Result, repository: Path) -> None:
    file = repository / "tests" / "recorded" / "studies.json"
    # Last digits and releases of other packages tell nothing.
    file.write_text(json.dumps({"versions": {}, "studies": [{"value": 1.2345}]}))
    assert problems({"trust": result}) == []
    file.write_text(json.dumps({"versions": {}, "studies": [{"value": 1.25}]}))
    (found,) = problems({"trust": result})
    assert "2026-01-02 (abc1234)" in found and "figures --update trust" in found
    assert problems({"trust": key_figures.valid_now(result)}) == []
    assert problems({"trust": dataclasses.replace(result, measured=(), digests=())}) == []


def test_an_experiment_stores_its_figures(result: Result, repository: Path) -> None:
    file = repository / "benchmarks" / "results" / "figures.toml"
    save({"trust": result}, file)
    record_figures("trust", "zerocost-bench trust --seeds 2", {"needed": 13, "other": 5}, file)
    stored = load(file)["trust"]
    assert stored.figures == {"rho": 0.93, "grasp": -0.04, "needed": 13}
    assert stored.command == "zerocost-bench trust --seeds 2" and stored.date > result.date
    assert stored.quoted == result.quoted


def test_the_command_checks_and_names_unknown_results(capsys: Any) -> None:
    assert main(["figures", "--check"]) == 0
    assert "all as measured" in capsys.readouterr().out
    assert main(["figures", "--update", "luck"]) == 1
    assert "no result is called luck" in capsys.readouterr().err
