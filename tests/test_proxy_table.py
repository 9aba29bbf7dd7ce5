"""The table of proxies: a row for each, from its own metadata, in three forms."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import pytest

from optuna_zerocost import proxies, proxy_table
from optuna_zerocost.cli import main


def test_every_proxy_has_a_complete_row() -> None:
    table = proxy_table.rows()
    assert sorted(row.name for row in table) == sorted(proxies.names())
    for row in table:
        described = proxies.describe(row.name)
        assert (row.better == "higher") == (described.direction == "maximize")
        assert row.formula == described.summary and row.fails == described.fails != ""
        assert ("labels" in row.needs) == described.needs_labels
        assert row.cost is not None and row.cost > 0
    of_passes = [row.source for row in table]
    assert of_passes == sorted(of_passes)  # those that share a pass stand together


def test_a_cost_that_was_not_measured_is_none() -> None:
    assert [row.cost for row in proxy_table.rows({"snip": 1.0}) if row.cost] == [1.0]


def test_the_command_prints_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["proxies"]) == 0
    output = capsys.readouterr().out
    for name in proxies.names():
        assert f"\n{name} " in output
    assert "Tanaka" in output and "fails: " in output


def test_the_command_prints_csv_and_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["proxies", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["proxy"] for row in rows} == set(proxies.names())
    assert main(["proxies", "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = {line.replace("\\|", "").count("|") for line in lines}
    assert cells == {9} and len(lines) == 2 + len(proxies.names())


def test_a_reader_that_has_seen_enough_gets_no_stack_trace() -> None:
    code = "from optuna_zerocost.cli import main; raise SystemExit(main(['proxies'] ))"
    command = f'"{sys.executable}" -c "{code}" | head -n 1'
    run = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert run.stdout.startswith("proxy") and run.stderr == ""


def test_an_unknown_form_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["proxies", "--format", "xml"])
    assert stopped.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
