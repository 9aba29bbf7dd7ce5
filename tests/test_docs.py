"""The code in README and documentation runs, and the reference names all that is public."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import pathlib
import re
import xml.etree.ElementTree
from typing import Any

import optuna
import pytest
import torch

import optuna_zerocost
from optuna_zerocost.proxies import _registry
from tests.pages import ROOT, blocks, readers_own

PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))]


# Optuna up to 4.x calls TPE's constant liar experimental.
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimize = optuna.Study.optimize

    def a_few(study: optuna.Study, objective: Any, n_trials: int, **options: Any) -> None:
        optimize(study, objective, n_trials=min(n_trials, 3), **options)

    monkeypatch.setattr(optuna.Study, "optimize", a_few)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_registry, "_PROXIES", dict(_registry._PROXIES))  # pages add to it
    names = readers_own() if page == "README.md" else {}
    for line, code in blocks(page):
        # Line numbers in an error are those of the page.
        exec(compile("\n" * (line - 1) + code, ROOT / page, "exec"), names)


def test_the_scores_in_the_readme_are_what_comes_out() -> None:
    example, expected = next(
        (code, code.rpartition("\n# ")[2])
        for _, code in blocks("README.md")
        if "print(proxies.score_network(" in code
    )
    printed = io.StringIO()
    # It seeds the global generator, as a script does.
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(printed):
        exec(example, {})
    # Another release of torch may draw or round otherwise, but not by much.
    assert ast.literal_eval(printed.getvalue()) == pytest.approx(
        ast.literal_eval(expected), rel=0.02
    )


def test_the_pages_that_show_code_are_found() -> None:
    shown = {page for page in PAGES if blocks(page)}
    assert {"README.md", "docs/guide.md", "docs/recipes.md"} <= shown


def test_the_reference_names_all_that_is_public() -> None:
    reference = "\n".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    for name in optuna_zerocost.__all__:
        assert re.search(rf"\b{name}\b", reference), f"docs/api does not name {name}"


def test_the_figure_of_the_studies_shows_each_in_the_colour_of_the_text() -> None:
    specification = importlib.util.spec_from_file_location(
        "studies_figure", ROOT / "docs" / "studies_figure.py"
    )
    assert specification is not None and specification.loader is not None
    figure = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(figure)
    result = (ROOT / "benchmarks" / "results" / "studies.md").read_text(encoding="utf-8")
    found = figure.ratios(result)
    studies = re.findall(r"^## ([^:\n]+): \d+ trials", result, re.MULTILINE)
    assert sorted(one.study for one in found) == sorted(studies) != []
    assert all(one.low <= one.ratio <= one.high for one in found)
    texts = xml.etree.ElementTree.fromstring(figure.drawn(found)).findall("text")
    assert {study for study in studies} <= {text.text for text in texts}
    assert {text.get("fill") for text in texts} == {"currentColor"}
