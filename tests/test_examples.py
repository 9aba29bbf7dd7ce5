"""Every example runs, with few trials, and is as short as its reader was promised."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
import os
import pathlib
import re
import runpy
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import optuna
import pytest

import optuna_zerocost

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
REGISTRY = ROOT / "optunahub-registry" / "package"

ARGUMENTS = {
    "before.py": ["3"],
    "after.py": ["10"],
    "inline.py": ["8"],
    "lstm.py": ["6"],
    "own_proxy.py": ["10"],
    "pruning.py": ["12"],
    "ray_tune.py": ["5"],
    "small_device.py": ["8"],
    "two_objectives.py": ["12"],
    "two_workers.py": ["sqlite:///shared.db", "4"],
    "with_ignite.py": ["7"],
    "with_lightning.py": ["7"],
    "with_skorch.py": ["7"],
    "with_transformers.py": ["5"],
    "without_torch.py": ["7"],
}
# Packages that an example imports and the test extra leaves out, with the reason.
NOT_INSTALLED_FOR_TESTS = {
    "lightning": "Lightning is left out of the test extra: pip install lightning",
    "ray": "ray is too large for the test extra: pip install 'ray[tune]'",
}


def environment(folder: pathlib.Path) -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",  # small tensors: threads would only wait
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),  # where Ray Tune writes its results
        "HF_REGISTRY_OFFLINE": "1",  # a download would be an error
    }


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *arguments]


def check(run: subprocess.CompletedProcess[str]) -> str:
    """Return what a run that went well has printed."""
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()
    assert "Traceback" not in run.stderr
    return run.stdout


def run_in(folder: pathlib.Path, arguments: list[str]) -> str:
    """Run a command, and return what it has printed, if it went well."""
    run = subprocess.run(
        arguments,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return check(run)


def imported_by(file: pathlib.Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def require_imports_of(file: pathlib.Path) -> None:
    for package in sorted(imported_by(file)):
        if importlib.util.find_spec(package) is None:
            pytest.skip(NOT_INSTALLED_FOR_TESTS.get(package, f"{package} is not installed"))


def test_every_example_is_run() -> None:
    assert {file.name for file in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example(name: str, tmp_path: pathlib.Path) -> None:
    require_imports_of(EXAMPLES / name)
    run_in(tmp_path, command(name, *ARGUMENTS[name]))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_example_is_about_one_screen(name: str) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 75


def test_the_table_of_examples_has_each_once() -> None:
    table = re.findall(r"^\| \[`(\w+\.py)`\]\(\1\)", read(EXAMPLES / "README.md"), re.MULTILINE)
    assert sorted(table) == sorted(ARGUMENTS)


def read(file: pathlib.Path) -> str:
    return file.read_text(encoding="utf-8")


def changes(before: str, after: str) -> list[str]:
    """Return the lines of a diff that are removed or added, blank ones aside."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if re.match(r"[+-](?![+-]{2} )\s*\S", line)]


def test_an_existing_script_changes_in_a_few_lines() -> None:
    """They are the ones that the README of the examples shows."""
    changed = changes(read(EXAMPLES / "before.py"), read(EXAMPLES / "after.py"))
    assert 0 < len(changed) <= 5
    shown = re.search(r"```diff\n(.*?)```", read(EXAMPLES / "README.md"), re.DOTALL)
    assert shown is not None
    assert [line for line in shown[1].splitlines() if line.startswith(("+", "-"))] == changed


class _Without(ast.NodeTransformer):
    """Takes out of a script what it has of this package."""

    NAMES = ("scorer", "sampler")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:  # noqa: N802
        return None if node.module == "optuna_zerocost" else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:  # noqa: N802
        is_ours = any(isinstance(t, ast.Name) and t.id in self.NAMES for t in node.targets)
        return None if is_ours else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:  # noqa: N802
        text = ast.unparse(node)
        is_ours = text.startswith(("report_network(", "print(sampler."))
        return None if is_ours else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:  # noqa: N802
        node.keywords = [word for word in node.keywords if word.arg != "sampler"]
        return self.generic_visit(node)


def before_and_after(name: str) -> tuple[str, str]:
    """Return a script as it was without this package, and as it is, both in one form."""
    source = read(EXAMPLES / name)
    before, after = (
        ast.unparse(_Without().visit(ast.parse(source))),
        ast.unparse(ast.parse(source)),
    )
    return before.replace("'", '"') + "\n", after.replace("'", '"') + "\n"


@pytest.mark.parametrize(
    "name",
    ["inline.py", "with_ignite.py", "with_lightning.py", "with_skorch.py", "with_transformers.py"],
)
def test_the_script_of_a_framework_was_a_script_before(name: str, tmp_path: pathlib.Path) -> None:
    """Without the few lines of this package it is a script that runs as it is."""
    before, after = before_and_after(name)
    assert 5 <= len(changes(before, after)) <= 7
    assert "zerocost" not in before
    require_imports_of(EXAMPLES / name)
    script = tmp_path / "before.py"
    script.write_text(before, encoding="utf-8")
    run_in(tmp_path, [sys.executable, str(script), "2"])


def test_the_line_inside_an_objective_is_shown() -> None:
    shown = re.findall(r"```diff\n(.*?)```", read(EXAMPLES / "README.md"), re.DOTALL)[1]
    changed = changes(*before_and_after("with_ignite.py"))
    assert [line for line in shown.splitlines() if line.startswith(("+", "-"))] == changed


def test_two_workers_share_a_journal(tmp_path: pathlib.Path) -> None:
    workers = [
        subprocess.Popen(
            command("two_workers.py", "journal.log", "6"),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for worker in workers:
            out, err = worker.communicate(timeout=300)
            check(subprocess.CompletedProcess(worker.args, worker.returncode, out, err))
    finally:
        for worker in workers:
            worker.kill()
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal.log"))
    study = optuna.load_study(study_name="shared", storage=optuna.storages.JournalStorage(backend))
    assert [trial.number for trial in study.trials] == list(range(12))
    assert all(trial.state.is_finished() for trial in study.trials)
    trained = [
        {name: value for name, value in trial.params.items() if name != "learning_rate"}
        for trial in study.trials
    ]
    assert all(trained.count(architecture) == 1 for architecture in trained)


def front_matter(text: str) -> Mapping[str, str]:
    _, header, _ = text.split("---\n", 2)
    return dict(re.findall(r"^(\w+): (.+)$", header, re.MULTILINE))


class TestOptunaHub:
    """The folder ``optunahub-registry`` has the layout of OptunaHub's registry."""

    def test_the_package_loads_and_hands_on_what_is_installed(self) -> None:
        optunahub = pytest.importorskip("optunahub", reason="OptunaHub loads the package")
        module = optunahub.load_local_module("samplers/zerocost", registry_root=str(REGISTRY))
        assert "ZeroCostSampler" in module.__all__
        for name in module.__all__:
            assert getattr(module, name) is getattr(optuna_zerocost, name)

    def test_it_has_what_its_readme_names(self) -> None:
        optunahub = pytest.importorskip("optunahub", reason="OptunaHub loads the package")
        module = optunahub.load_local_module("samplers/zerocost", registry_root=str(REGISTRY))
        text = read(REGISTRY / "samplers/zerocost/README.md")
        apis = text.partition("## APIs")[2].partition("## Installation")[0]
        assert [name for name in module.__all__ if f"`{name}" not in apis] == []
        signature = re.search(r"`ZeroCostSampler\((.+)\)`", apis)
        assert signature is not None
        named = re.findall(r"(\w+)(?:=[^,]+)?(?:,|$)", signature[1])
        assert named == list(inspect.signature(module.ZeroCostSampler).parameters)

    def test_its_example_runs(self, capsys: Any) -> None:
        pytest.importorskip("optunahub", reason="OptunaHub loads the package")
        runpy.run_path(str(REGISTRY / "samplers/zerocost/example.py"), run_name="__main__")
        assert "loss" in capsys.readouterr().out

    def test_its_files_are_those_that_the_registry_asks_for(self) -> None:
        folder = REGISTRY / "samplers" / "zerocost"
        present = {file.name for file in folder.iterdir() if file.is_file()}
        assert present == {
            "README.md",
            "LICENSE",
            "__init__.py",
            "example.py",
            "requirements.txt",
        }
        headings = re.findall(r"^## (.+)$", read(folder / "README.md"), re.MULTILINE)
        assert headings == ["Abstract", "APIs", "Installation", "Example", "Others"]
        assert read(folder / "LICENSE") == read(ROOT / "LICENSE")
        fields = front_matter(read(folder / "README.md"))
        assert list(fields) == [
            "author",
            "title",
            "description",
            "tags",
            "optuna_versions",
            "license",
        ]
        assert fields["tags"].startswith("[sampler, ")
        assert fields["license"] == "MIT License"
