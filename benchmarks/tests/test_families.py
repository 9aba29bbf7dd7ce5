"""The table of families: a value or a typed error for each proxy, and a page that says so."""

from __future__ import annotations

import pytest

from optuna_zerocost import proxies
from zerocost_bench import families, outcomes
from zerocost_bench.experiments import families as experiment
from zerocost_bench.model_zoo import Settings


@pytest.mark.filterwarnings("ignore::optuna_zerocost.proxies.CoverageWarning")
@pytest.mark.filterwarnings("ignore::optuna_zerocost.proxies.ConstantScoreWarning")
def test_each_proxy_has_a_value_or_a_typed_error() -> None:
    chosen, settings = ["detection", "tabular MLP"], Settings(batch=4)
    table = outcomes.Table(None, chosen)
    for name in chosen:
        subject = families.load(name, settings)
        for names in outcomes.passes():
            table.add(outcomes.outcomes_of(name, subject, names, settings.seed))
    for name in chosen:
        assert not table.missing(name, proxies.names())
    for outcome in table.sorted():
        kind = getattr(proxies, outcome.error or "ProxyError")
        assert bool(outcome.value) != bool(outcome.error), outcome
        assert issubclass(kind, proxies.ProxyError), outcome
    page = experiment.report("zerocost-bench families", table, chosen, settings)
    (row,) = (line for line in page.splitlines() if line.startswith("| detection | Output"))
    assert row.count("|") == len(proxies.names()) + 2
    assert "forward_fn" in page and "BUG |" not in page


@pytest.mark.parametrize("name", families.available())
def test_each_network_learns_from_its_minibatch(name: str) -> None:
    """A network whose loss its weights do not move would make a table of nothing."""
    subject = families.load(name, Settings(batch=4))
    scores = proxies.score_network(
        subject.network, subject.batch, ["grad_norm"], loss_fn=subject.loss_fn
    )
    assert scores["grad_norm"] > 0
