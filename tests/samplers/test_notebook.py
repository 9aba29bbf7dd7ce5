"""What a notebook shows: a bar, figures, an explanation, and each warning once."""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import create_trial
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler
from optuna_zerocost.samplers._progress import progress_bar
from optuna_zerocost.samplers._told import Explanation

CELLS = [
    """
import optuna
from optuna_zerocost import Warmup, ZeroCostSampler, visualization
def scorer(trial):
    return {"size": float(trial.suggest_int("n", 0, 500))}
sampler = ZeroCostSampler(scorer, base_sampler=optuna.samplers.RandomSampler(seed=0), seed=0)
study = optuna.create_study(sampler=sampler)
study.optimize(lambda trial: trial.suggest_int("n", 0, 500) / 500, n_trials=12)
""",
    "sampler.explain(study)",
    "visualization.plot_proxy_correlation(study)",
]


def test_a_notebook_is_executed() -> None:
    for package in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(package, reason=f"{package} executes the notebook; not installed")
    import nbclient
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    search, explanation, figure = (cell.outputs for cell in notebook.cells)
    shown = [str(output.get("data", output.get("text"))) for output in search]
    assert any("warmup: scoring untrained networks" in text for text in shown)
    assert not any("Warning" in text for text in shown)
    assert "<ul><li>size:" in explanation[0].data["text/html"]
    assert "size: ρ" in explanation[0].data["text/plain"]
    assert "application/vnd.plotly.v1+json" in figure[0].data


@pytest.mark.parametrize("is_shown", [True, False])
def test_the_bar_is_shown_in_a_notebook_though_it_is_no_terminal(
    is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disabled() -> bool:
        with progress_bar(total=3, desc="d", unit="u", is_shown=is_shown) as bar:
            return bool(bar.disable)

    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    assert disabled()
    for config, is_notebook in (({}, False), ({"IPKernelApp": {}}, True)):
        shell = types.SimpleNamespace(config=config)
        module = types.SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", module)  # type: ignore[arg-type]
        assert disabled() == (not is_shown or not is_notebook)


def test_an_explanation_is_text_and_html() -> None:
    text = "Two <scores>:\n- a & b: fine.\n- c: also.\nThat is all."
    explanation = Explanation(text)
    assert explanation == text and f"{explanation}" == text
    assert explanation._repr_html_() == (
        "<p>Two &lt;scores&gt;:</p>\n"
        "<ul><li>a &amp; b: fine.</li><li>c: also.</li></ul>\n<p>That is all.</p>"
    )


def test_an_explanation_counts_the_trials_that_have_scores() -> None:
    sampler = ZeroCostSampler(lambda trial: {"size": 1.0}, ranking="size")
    study = optuna.create_study()
    for number in range(52):
        scores = {"zerocost:size": float(number % 7)} if number < 12 else {}
        study.add_trial(create_trial(value=float(number), user_attrs=scores))
    assert "12 of 52 complete trials have scores." in sampler.explain(study)
    scored = optuna.create_study()
    scored.add_trials(study.trials[:12])
    assert "12 of" not in sampler.explain(scored)


def test_what_a_builder_warns_of_is_shown_once() -> None:
    def build_model(trial: Any) -> nn.Module:
        warnings.warn("this layer is deprecated", stacklevel=1)
        return nn.Linear(4, trial.suggest_int("width", 2, 40))

    def objective(trial: Any) -> float:
        return trial.suggest_int("width", 2, 40) / 40

    batch = (torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2)
    scorer = ModelScorer(build_model, batch, proxies=["jacob_cov"])
    sampler = ZeroCostSampler(scorer, ranking="jacob_cov", warmup=Warmup(20, 2), moves=4, seed=0)
    study = optuna.create_study(sampler=sampler)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        study.optimize(objective, n_trials=6)
    assert len([w for w in shown if "deprecated" in str(w.message)]) == 1
