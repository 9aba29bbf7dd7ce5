"""The code in README and documentation runs, and the reference names all that is public."""

from __future__ import annotations

import ast
import contextlib
import io
import pathlib
import re
from typing import Any

import optuna
import pytest
import torch
from torch import nn

import optuna_zerocost
from optuna_zerocost.proxies import _registry

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))]

# <!-- not run: a reason --> before a block leaves it out.
BLOCK = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n+)?^```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks(page: str) -> list[tuple[int, str]]:
    """Return first line and code of each block, without those that are marked."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start("code")) + 1, found["code"])
        for found in BLOCK.finditer(text)
        if not found["mark"]
    ]


def train_and_validate(network: nn.Module, learning_rate: float) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) * learning_rate


def make_network(depth: int, width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(4, width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def readers_own() -> dict[str, Any]:
    """Return what the README leaves to its reader."""
    return {
        "inputs": torch.randn(8, 4, generator=torch.Generator().manual_seed(0)),
        "targets": torch.arange(8) % 3,
        "make_network": make_network,
        "network": make_network(1, 8),
        "train_and_validate": train_and_validate,
    }


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
