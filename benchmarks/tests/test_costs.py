"""The cost of a proxy: cheap is told from dear, and the command prints what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from zerocost_bench.command import main
from zerocost_bench.costs import measure_costs
from zerocost_bench.experiments import costs


def test_measuring_gives_every_cost_and_tells_cheap_from_dear() -> None:
    costs = measure_costs(["params", "synflow", "grasp"], batch_size=8, repeats=1)
    assert 0 < costs["params"] < costs["grasp"]
    assert 0 < costs["synflow"] < costs["grasp"]


def test_the_command_prints_those_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costs", "--proxies", "params,flops", "--repeats", "1", "--format", "csv"]) == 0
    names = [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert names[0] == "proxy" and set(names[1:]) == {"flops", "params"}


def test_an_interrupt_leaves_no_stack_trace(monkeypatch: Any, capsys: Any) -> None:
    def interrupt(*_arguments: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(costs, "measure_costs", interrupt)
    assert main(["costs"]) == 130
    assert capsys.readouterr().err.startswith("zerocost-bench: interrupted")
