"""What may know what: proxies without Optuna, samplers without torch."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "optuna_zerocost"

# what shows studies to people: nothing that runs them may need it
SHOWING = tuple(
    f"optuna_zerocost.{name}"
    for name in ("analysis", "cli", "commands", "dashboard", "demo", "visualization")
)

# folder or module → what must not be imported by it, at any place in its source
FORBIDDEN = {
    "proxies": ("optuna", "optuna_zerocost.scoring", "optuna_zerocost.samplers", *SHOWING),
    "scoring": ("optuna_zerocost.samplers", *SHOWING),
    "samplers": ("torch", "optuna_zerocost.proxies", *SHOWING),
    "pruners": ("torch", "optuna_zerocost.proxies", *SHOWING),
}
# The samplers' networks, which are imported when there is something to learn.
NETWORKS = ("_relation_network.py",)


def imported_by(file: pathlib.Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            module = node.module or ""
            names.update({module, *(f"{module}.{alias.name}" for alias in node.names)})
    return names


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_no_source_of_a_layer_imports_what_it_must_not_know(layer: str) -> None:
    files = sorted((PACKAGE / layer).rglob("*.py"))
    assert files
    for file in files:
        for name in imported_by(file):
            for forbidden in FORBIDDEN[layer]:
                if forbidden == "torch" and file.name in NETWORKS:
                    continue
                assert not f"{name}.".startswith(f"{forbidden}."), f"{file} imports {name}"


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
