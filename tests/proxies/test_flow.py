"""Flows of positive weights, which synflow and logsynflow read."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.kinds import SAMPLES, prepared
from tests.proxies.networks import CLASSES, build, build_any, preactivation
from tests.proxies.twins import TWINS


@pytest.mark.parametrize("proxy", ["synflow", "logsynflow"])
def test_a_flow_around_an_activation_in_place_equals_the_twin_without_one(proxy: str) -> None:
    _, batch = build("in_place")
    network, other = build_any(preactivation), build_any(lambda: preactivation(inplace=False))
    expected = TWINS[proxy](other, batch, 0)
    assert proxies.score_network(network, batch, [proxy])[proxy] == pytest.approx(expected)


def test_synflow_depends_on_the_shape_of_the_inputs_only() -> None:
    network, (inputs, _) = build("residual")
    expected = proxies.score_network(network, (inputs, None))
    assert proxies.score_network(network, (100 * inputs[:2] - 7, None)) == expected


@given(factor=st.floats(0.5, 3.0), signs=st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_synflow_is_homogeneous_and_blind_to_signs(factor: float, signs: int) -> None:
    network = build_any(
        lambda: nn.Sequential(
            nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, CLASSES, bias=False)
        )
    )
    batch = (torch.zeros(2, 5), None)
    before = proxies.score_network(network, batch)["synflow"]
    generator = torch.Generator().manual_seed(signs)
    with torch.no_grad():
        for weight in network.parameters():
            weight *= torch.randint(0, 2, weight.shape, generator=generator) * 2 - 1
        network[0].weight *= factor
    after = proxies.score_network(network, batch)["synflow"]
    assert after == pytest.approx(factor * before, rel=1e-5)  # the factor is rounded to float32


def test_synflow_of_a_chain_is_its_flow_once_for_each_layer() -> None:
    """Without biases R is linear in each weight, so Σ W⊙∂R/∂W = R for each of them."""
    network = build_any(
        lambda: nn.Sequential(
            nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, CLASSES, bias=False)
        )
    )
    first, second = (weight.detach().double().abs() for weight in network.parameters())
    flow = float((second @ first).sum())
    score = proxies.score_network(network, (torch.zeros(1, 4), None))["synflow"]
    assert score == pytest.approx(2 * flow)


def test_normalisation_is_bypassed_for_synflow_even_where_it_could_not_run() -> None:
    """BatchNorm without running statistics cannot normalise one sample with 1×1 maps."""
    bare = build_any(lambda: nn.Sequential(nn.Linear(5, 6), nn.Linear(6, CLASSES)))
    norm = nn.BatchNorm1d(6, track_running_stats=False)
    normalised = nn.Sequential(bare[0], norm, bare[1])
    batch = (torch.zeros(1, 5), None)
    for proxy in ("synflow", "flops"):
        expected = proxies.score_network(bare, batch, [proxy])
        assert proxies.score_network(normalised, batch, [proxy]) == expected


def test_logsynflow_of_a_small_flow_is_nearly_synflow() -> None:
    network = build_any(lambda: nn.Linear(4, CLASSES, bias=False))
    with torch.no_grad():
        network.weight *= 1e-3
    batch = (torch.zeros(1, 4), None)
    scores = proxies.score_network(network, batch, ["synflow", "logsynflow"])
    # Each gradient is the input, 1.
    assert scores["logsynflow"] == pytest.approx(math.log(2) * scores["synflow"])


def test_a_flow_starts_at_the_embedding() -> None:
    """The tokens and the embedding's values do not matter, only its width does."""
    network, batch, _ = prepared("bag of words")
    expected = proxies.score_network(network, batch, ["synflow", "logsynflow"])
    with torch.no_grad():
        network[0].weight.zero_()
    assert proxies.score_network(network, (batch[0] * 0, None), expected) == expected
    layers = nn.Sequential(*list(network)[1:])
    ones = (torch.ones(SAMPLES, 16), None)
    assert proxies.score_network(layers, ones, expected) == expected


def test_queries_and_keys_add_nothing_to_a_flow() -> None:
    network, batch, _ = prepared("attention of one layer")
    expected = proxies.score_network(network, batch, ["synflow", "logsynflow"])
    with torch.no_grad():
        network.attention.q_proj_weight.mul_(3.0)
        network.attention.k_proj_weight.mul_(3.0)
    assert proxies.score_network(network, batch, expected) == expected


@pytest.mark.parametrize("seed", range(4))
def test_the_flow_of_a_deep_transformer_is_not_lost_in_rounding_errors(seed: int) -> None:
    def make() -> nn.Module:
        layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        return nn.Sequential(nn.Linear(8, 64), encoder, nn.Linear(64, CLASSES))

    network = build_any(make, seed)
    batch = (torch.zeros(1, 6, 8), None)
    expected = proxies.score_network(network, batch, ["synflow"])["synflow"]
    # One position attends to itself alone, so that there is nothing for softmax to weigh.
    alone = proxies.score_network(network, (torch.zeros(1, 1, 8), None), ["synflow"])["synflow"]
    assert expected == pytest.approx(6 * alone, rel=1e-9)


class _Attention(torch.autograd.Function):
    """Attention with a backward of its own, which no graph shows."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, gradient.mean(1, keepdim=True).expand_as(gradient)


class Attends(nn.Module):
    """Attention between positions that differ, written in one of many ways."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.project = nn.Linear(8, 24, bias=False)
        self.head = nn.Linear(8, CLASSES)
        self.places = nn.Parameter(torch.randn(6, 8))
        if kind == "module":
            self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attend(x))

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x + self.places).chunk(3, dim=-1)
        if self.kind == "fused":
            return nn.functional.scaled_dot_product_attention(q, k, v)
        if self.kind == "own function":
            return _Attention.apply(q, k, v)
        if self.kind == "uniform":
            return v.mean(1, keepdim=True).expand_as(v)
        scores = q @ k.transpose(1, 2) / 8**0.5
        if self.kind == "constant":
            return torch.softmax(scores, dim=-1).detach() @ v
        if self.kind == "softmax":
            return torch.softmax(scores, dim=-1) @ v
        if self.kind == "functional":
            return nn.functional.softmax(scores, dim=-1) @ v
        if self.kind == "module":
            return self.softmax(scores) @ v
        return scores.softmax(-1) @ v


@pytest.mark.parametrize(
    ("kind", "same_as"),
    [
        ("fused", "uniform"),
        ("own function", "uniform"),
        ("softmax", "constant"),
        ("functional", "constant"),
        ("module", "constant"),
        ("method", "constant"),
    ],
)
def test_attention_is_held_constant_in_a_flow_however_it_is_written(
    kind: str, same_as: str
) -> None:
    batch = (torch.zeros(1, 6, 8), None)
    network, expected = (build_any(lambda name=name: Attends(name)) for name in (kind, same_as))
    score = proxies.score_network(network, batch, ["synflow"])["synflow"]
    assert score == pytest.approx(proxies.score_network(expected, batch, ["synflow"])["synflow"])
