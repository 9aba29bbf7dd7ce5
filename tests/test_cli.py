"""The command line: what it says, and with which exit code."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from optuna_zerocost import demo
from optuna_zerocost.cli import main


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help_is_no_error(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    assert "demo" in capsys.readouterr().out


def test_demo_help_names_every_option_and_its_default(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    text = capsys.readouterr().out
    for option in ("--trials N", "--seeds K", "--seed S", "--storage URL", "--jobs J"):
        assert option in text
    assert text.count("default:") == 5


def test_commands_load_no_heavy_library_before_they_run():
    check = (
        "import sys, optuna_zerocost.cli; "
        "print({'torch', 'optuna', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["demonstrate"], "demonstrate"),
        (["demo", "--trials", "0"], "'0' is not an integer of at least 1"),
        (["demo", "--trials", "many"], "'many' is not an integer of at least 1"),
        (["demo", "--seeds", "0"], "'0' is not an integer of at least 1"),
        (["demo", "--seed", "-1"], "'-1' is not an integer of at least 0"),
        (["demo", "--epochs", "3"], "--epochs"),
    ],
)
def test_wrong_arguments_are_named_with_exit_code_2(arguments, named, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert named in capsys.readouterr().err


def test_without_scikit_learn_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["demo"]) == 1
    shown = capsys.readouterr()
    assert 'pip install "optuna-zerocost[demo]"' in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out
    assert not os.listdir()  # nor is there a database with nothing in it


def test_bad_storage_is_one_line(capsys):
    assert main(["demo", "--storage", "no-such-thing"]) == 1
    shown = capsys.readouterr()
    assert "'no-such-thing'" in shown.err and "sqlite:///" in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_interrupted_says_where_the_rest_is(monkeypatch, capsys):
    def interrupt(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupt)
    assert main(["demo"]) == 130
    assert "sqlite:///zerocost-demo.db" in capsys.readouterr().err


def test_bench_hands_over_to_the_package_of_the_experiments(monkeypatch, capsys):
    entry = importlib.metadata.EntryPoint(
        "bench", "zerocost_bench.command:main", "optuna_zerocost.commands"
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_named: [entry])
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "search", "--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: optuna-zerocost bench search") and "--algorithms" in shown


def test_bench_says_how_to_get_the_experiments(monkeypatch, capsys):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_named: [])
    assert main(["bench", "search", "--seeds", "3"]) == 1
    shown = capsys.readouterr()
    assert "pip install ./benchmarks" in shown.err and shown.err.count("\n") == 1
