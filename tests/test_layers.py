"""The rooms of the package: which folder may import which, and by what door."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "optuna_zerocost"

CORE = ("proxies", "records", "scoring", "rankings", "algorithms", "samplers", "pruners")
# folder or module → what of the package it may import, besides itself and _compat
ARROWS: dict[str, tuple[str, ...]] = {
    "_compat": (),
    "proxies": (),
    "records": (),
    "scoring": ("proxies", "records"),
    "rankings": ("records",),
    "algorithms": ("records",),
    "samplers": ("records", "scoring", "rankings", "algorithms"),
    "pruners": ("records", "scoring", "rankings"),
    "proxy_table": ("proxies",),
    "analysis": ("records", "rankings"),
    "_words": ("analysis",),
    "visualization": ("records", "analysis", "_words"),
    "dashboard": ("records", "analysis", "_words", "visualization"),
    "demo": ("analysis", "dashboard"),
    "commands": (*CORE, "analysis", "dashboard", "_words"),
    "cli": ("commands", "demo", "proxy_table"),
}
# package → rooms that must do without it
ABSENT = {
    "optuna": ("proxies",),
    "torch": ("records", "rankings", "algorithms", "samplers", "pruners", "analysis"),
    "plotly": (*CORE, "analysis"),
    "optuna_dashboard": (*CORE, "analysis", "visualization"),
}
# The samplers' networks, which are imported when there is something to learn.
NETWORKS = ("relation_network.py",)

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: pathlib.Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def tree_of(file: pathlib.Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports_of(file: pathlib.Path) -> Iterator[tuple[str, str | None]]:
    """Yield (module, name) of each import at any place of the source."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            yield from ((node.module or "", alias.name) for alias in node.names)


def own_imports_of(file: pathlib.Path) -> Iterator[str]:
    """Yield the modules of the package that ``file`` imports, with their whole names."""
    for module, name in imports_of(file):
        if module.split(".")[0] != PACKAGE.name:
            continue
        whole = f"{module}.{name}"
        path = PACKAGE.parent.joinpath(*whole.split("."))
        is_module = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
        yield whole if name is not None and is_module else module


def test_every_folder_and_module_has_its_arrows() -> None:
    rooms = {room_of(file) for file in FILES} - {"__init__"}
    assert rooms == set(ARROWS)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    allowed = {room, "_compat" if room != "proxies" else room, *ARROWS[room]}
    for file in FILES:
        if room_of(file) == room:
            for module in own_imports_of(file):
                _, _, inside = module.partition(".")
                assert not inside or inside.split(".")[0] in allowed, f"{file} imports {module}"


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_is_entered_by_its_face(room: str) -> None:
    """Underscore modules and names are imported in their own folder only."""
    for file in FILES:
        if room_of(file) in (room, "__init__"):
            continue
        for module, name in imports_of(file):
            parts = module.split(".")
            if parts[:2] != [PACKAGE.name, room]:
                continue
            assert not any(part.startswith("_") for part in parts[2:]), f"{file}: {module}"
            assert name is None or not name.startswith("_"), f"{file}: {name} of {module}"


def test_no_file_leads_back_to_itself() -> None:
    names = {
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): file
        for file in FILES
    }
    del names[PACKAGE.name]  # it names everything, and imports nothing until it is asked for
    graph = {
        name: {module for module in own_imports_of(file) if module in names and module != name}
        for name, file in names.items()
    }
    # A folder's face imports its files, which never import their own face.
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", ABSENT)
def test_a_room_does_without_a_package(package: str) -> None:
    for file in FILES:
        if room_of(file) in ABSENT[package] and file.name not in NETWORKS:
            for module, _ in imports_of(file):
                assert module.split(".")[0] != package, f"{file} imports {module}"


def test_no_two_files_of_one_name() -> None:
    names = [file.name for file in FILES if file.name != "__init__.py"]
    assert sorted(set(names)) == sorted(names)


def test_no_file_is_long() -> None:
    for file in FILES:
        assert len(file.read_text().splitlines()) <= 450, file


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import optuna_zerocost", ["torch", "optuna"]),
        ("import optuna_zerocost.proxies", ["optuna"]),
        ("from optuna_zerocost import ZeroCostSampler, Warmup, Vote", ["torch"]),
        ("from optuna_zerocost import ReinforceSampler", ["torch"]),
        ("import optuna_zerocost.analysis", ["torch"]),
        ("import optuna_zerocost.visualization", ["torch", "plotly"]),
        ("import optuna_zerocost.dashboard", ["torch", "plotly", "optuna_dashboard"]),
        ("from optuna_zerocost import ZeroCostPruner, Pareto", ["torch"]),
        ("from optuna_zerocost import RelationPredictorSampler as S; S()", ["torch"]),
    ],
)
def test_importing_one_layer_does_not_load_another(statement: str, absent: list[str]) -> None:
    code = f"{statement}\nimport sys\nprint([m for m in {absent} if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import optuna_zerocost

    for name in optuna_zerocost.__all__:
        assert getattr(optuna_zerocost, name).__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        optuna_zerocost.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("scoring", name) for name in ("Candidate", "History", "Learned", "RankSum", "Vote")),
        *(("scoring", name) for name in ("ByScore", "Pareto", "Ranking", "Sources")),
        ("samplers", "AgingEvolutionSampler"),
        ("samplers", "ReinforceSampler"),
        ("samplers", "RelationPredictorSampler"),
    ],
)
def test_what_scripts_import_from_where_it_was_is_still_there(module: str, name: str) -> None:
    import optuna_zerocost

    old = importlib.import_module(f"optuna_zerocost.{module}")
    assert getattr(old, name) is getattr(optuna_zerocost, name)
