"""Passes run once, compute only what is read, and take batches of many forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from optuna_zerocost.proxies import _loss_pass
from tests.proxies.networks import CLASSES, SAMPLES, build, build_any, defined

ALL = defined("mlp")


class Counted(nn.Module):
    """Counts its calls."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        return x


@pytest.mark.parametrize(
    ("asked", "forwards"),
    [
        (["params", "l2_norm"], 0),
        (["grad_norm", "plain", "snip", "grasp", "fisher", "jacob_cov"], 1),
        (["snip", "synflow"], 2),
        (["synflow", "logsynflow", "epe_nas", "naswot", "jacob_cov"], 2),
        (["zico"], 2),
        (["gradsign"], SAMPLES),
        (["ntk_condition", "linear_regions"], 1),
        (["swap"], 32),
    ],
)
def test_each_pass_runs_the_network_once(asked: list[str], forwards: int) -> None:
    network, batch = build("mlp")
    counted = nn.Sequential(Counted(), *network)
    Counted.calls = 0
    proxies.score_network(counted, batch, asked)
    assert Counted.calls == forwards


@pytest.mark.parametrize(
    ("asked", "derivatives"),
    [
        (["snip", "plain", "fisher"], [(False, False)]),
        (["jacob_cov"], [(False, False)]),
        (["snip", "jacob_cov"], [(True, False), (False, False)]),
        (["grasp"], [(True, True), (False, False)]),
        (["grasp", "jacob_cov", "fisher"], [(True, True), (True, False), (False, False)]),
    ],
)
def test_only_the_derivatives_that_are_read_are_computed(
    asked: list[str], derivatives: list[tuple[bool, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = torch.autograd.grad

    def recorded(*arguments: Any, retain_graph: bool, create_graph: bool, **rest: Any) -> Any:
        seen.append((retain_graph, create_graph))
        return original(*arguments, retain_graph=retain_graph, create_graph=create_graph, **rest)

    monkeypatch.setattr(_loss_pass.torch.autograd, "grad", recorded)
    network, batch = build("mlp")
    proxies.score_network(network, batch, asked)
    assert seen == derivatives


@pytest.mark.parametrize("asked", ["snip", "fisher"])
def test_layers_are_hooked_only_for_a_proxy_that_reads_their_outputs(asked: str) -> None:
    class Spies(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            hooked.append(len(layer._forward_hooks))
            return x

    hooked: list[int] = []
    layer = nn.Linear(5, CLASSES)
    _, batch = build("mlp")
    proxies.score_network(nn.Sequential(Spies(), layer), batch, [asked])
    assert hooked == [1 if asked == "fisher" else 0]


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 16), nn.Linear(2, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, left: Tensor, right: Tensor, scale: float = 1.0) -> Tensor:
        return self.head(torch.relu(self.left(left) + self.right(right)) * scale)


def test_inputs_may_be_a_tuple_or_a_mapping_or_pass_through_forward_fn() -> None:
    network = build_any(TwoInputs)
    _, (left, targets) = build("mlp")
    right = left[:, :2] + 1

    def forward(module: nn.Module, inputs: Tensor) -> Tensor:
        output: Tensor = module(inputs[:, :5], inputs[:, 5:])
        return output

    asked = [name for name in ALL if not name.startswith("az_")]  # it has no sequence of stages
    expected = proxies.score_network(network, ((left, right), targets), asked)
    keywords = {"right": right, "scale": 1.0, "left": left}
    joined = torch.cat([left, right], dim=1)
    for inputs, forward_fn in (([left, right], None), (keywords, None), (joined, forward)):
        scores = proxies.score_network(network, (inputs, targets), asked, forward_fn=forward_fn)
        assert scores == pytest.approx(expected, rel=1e-5)


def test_a_part_that_keeps_its_own_mode_keeps_it() -> None:
    modes = []

    class Frozen(nn.BatchNorm1d):
        def train(self, mode: bool = True) -> Frozen:
            return super().train(False)

        def forward(self, input: Tensor) -> Tensor:
            modes.append((self.training, layer.training))
            return super().forward(input)

    layer = nn.Linear(5, CLASSES)
    network = nn.Sequential(layer, Frozen(CLASSES))
    _, batch = build("mlp")
    network.eval()
    proxies.score_network(network, batch, ["snip"])
    assert modes == [(False, True)]
    assert not layer.training


def test_scores_are_python_floats_in_the_order_asked() -> None:
    network, batch = build("small_cnn")
    asked = list(reversed(defined("small_cnn")))
    scores = proxies.score_network(network, batch, asked)
    assert list(scores) == asked
    assert {type(value) for value in scores.values()} == {float}


def test_nothing_asked_is_nothing_scored() -> None:
    network, batch = build("mlp")
    assert proxies.score_network(network, batch, []) == {}


def test_a_compiled_network_scores_like_the_one_it_wraps() -> None:
    network, batch = build("mlp")
    compiled = torch.compile(network, backend="eager")
    assert proxies.score_network(compiled, batch, ["snip"]) == proxies.score_network(
        network, batch, ["snip"]
    )
