"""Two packages: what users install holds no experiment, and every experiment is a command."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import optuna_zerocost
import zerocost_bench
from zerocost_bench.command import EXPERIMENTS, main

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[2]
ABOUT: dict[str, Any] = tomllib.loads((REPOSITORY / "benchmarks" / "pyproject.toml").read_text())


def test_the_package_knows_nothing_of_the_experiments() -> None:
    assert optuna_zerocost.__file__ is not None
    for file in Path(optuna_zerocost.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.startswith("zerocost_bench") for name in names), file


def test_the_experiments_know_faces_only() -> None:
    """A module or name with an underscore is nothing that others import."""
    assert zerocost_bench.__file__ is not None
    for file in Path(zerocost_bench.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "optuna_zerocost"
            ):
                imported = ".".join([node.module or "", *(alias.name for alias in node.names)])
                private = [p for p in imported.split(".") if p.startswith("_") and p[1:2] != "_"]
                assert not private, (file, imported)


@pytest.mark.parametrize("table", ["scripts", "entry-points"])
def test_installed_commands_lead_somewhere(table: str) -> None:
    found = ABOUT["project"][table]
    targets = found.values() if table == "scripts" else found["optuna_zerocost.commands"].values()
    for target in targets:
        module, _, name = target.partition(":")
        assert getattr(importlib.import_module(module), name) is main


def test_the_data_are_part_of_the_package() -> None:
    folder = REPOSITORY / "benchmarks" / "zerocost_bench"
    (pattern,) = ABOUT["tool"]["setuptools"]["package-data"]["zerocost_bench"]
    assert set(folder.glob(pattern)) == set(folder.rglob("*.npz")) != set()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: zerocost-bench {name} [-h]") and "options:" in shown


def test_every_module_of_an_experiment_is_a_command() -> None:
    modules = (REPOSITORY / "benchmarks" / "zerocost_bench" / "experiments").glob("[!_]*.py")
    assert {file.stem.replace("_", "-") for file in modules} == set(EXPERIMENTS)
