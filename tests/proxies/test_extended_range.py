"""The flow of networks that are too deep for float64."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from optuna_zerocost import proxies
from optuna_zerocost.proxies import _flow_pass
from optuna_zerocost.proxies._extended_range import ExtendedRange
from tests.proxies.networks import CLASSES, NETWORKS, build, build_any, preactivation
from tests.proxies.twins import TWINS

IMAGE = (torch.zeros(1, 3, 6, 6), None)


class Deep(nn.Module):
    """Residual blocks with biases, an addition in place, a concatenation and a gate."""

    def __init__(self, exponents: list[int]) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in exponents)
        self.gate = nn.Linear(2, 1)
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            for block, exponent in zip(self.blocks, exponents, strict=True):
                block.weight *= 2.0**exponent
            self.gate.bias.fill_(1e9)  # so it is open, whatever the sum

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            out = torch.relu(block(x)).clone()
            out += x
            x = out
        joined = torch.cat([x, 2 * x], dim=1)
        return self.head(joined * torch.sigmoid(self.gate(x)))


Weights = list[list[Fraction]]


def absolute(tensor: Tensor) -> Weights:
    rows = tensor.detach().abs().reshape(len(tensor), -1).tolist()
    return [[Fraction(value) for value in row] for row in rows]


def exact_flow(layers: list[tuple[Weights, Weights]]) -> Fraction:
    """R of ``Deep``, with an open gate, in exact arithmetic."""

    def linear(layer: tuple[Weights, Weights], x: list[Fraction]) -> list[Fraction]:
        weight, bias = layer
        return [
            sum((w * value for w, value in zip(row, x, strict=True)), offset)
            for row, (offset,) in zip(weight, bias, strict=True)
        ]

    first, *blocks, head = layers
    x = linear(first, [Fraction(1), Fraction(1)])
    for block in blocks:
        x = [new + old for new, old in zip(linear(block, x), x, strict=True)]
    return sum(linear(head, [*x, *(2 * value for value in x)]), Fraction(0))


def logarithm(number: Fraction) -> float:
    return math.log(number.numerator) - math.log(number.denominator)


def exact_scores(network: Deep) -> tuple[Fraction, float]:
    """Synflow and logsynflow. R is linear in each weight, so its slope is R(1) − R(0)."""
    modules = [network.first, *network.blocks, network.head]
    layers = [(absolute(layer.weight), absolute(layer.bias)) for layer in modules]
    synflow, logsynflow = Fraction(0), 0.0
    for weight, _ in layers:
        for row in weight:
            for index, value in enumerate(row):
                slopes = []
                for probe in (1, 0):
                    row[index] = Fraction(probe)
                    slopes.append(exact_flow(layers))
                row[index] = value
                slope = slopes[0] - slopes[1]
                synflow += value * slope
                logsynflow += float(value) * logarithm(slope + 1)
    return synflow, logsynflow


@settings(max_examples=25, deadline=None)
@given(exponents=st.lists(st.integers(-100, 100), min_size=1, max_size=18), seed=st.integers(0, 9))
def test_a_flow_equals_exact_arithmetic_whatever_its_size(exponents: list[int], seed: int) -> None:
    network = build_any(lambda: Deep(exponents), seed)
    synflow, logsynflow = exact_scores(network)
    batch = (torch.zeros(1, 2), None)
    score = proxies.score_network(network, batch, ["logsynflow"])["logsynflow"]
    assert score == pytest.approx(logsynflow, rel=1e-9)
    if synflow < 2**1023:
        score = proxies.score_network(network, batch, ["synflow"])["synflow"]
        assert score == pytest.approx(float(synflow), rel=1e-9)
    elif synflow > 2**1024:
        power = logarithm(synflow) / math.log(10)
        with pytest.raises(proxies.UndefinedScoreError, match="use logsynflow") as caught:
            proxies.score_network(network, batch, ["synflow"])
        assert f"10^{power:.0f}," in str(caught.value)


def test_what_grows_beyond_float64_and_shrinks_again_is_exact() -> None:
    """Without biases, scaling layers by powers of two whose product is 1 changes no bit."""

    def make() -> nn.Module:
        layers: list[nn.Module] = [nn.Conv2d(3, 4, 3, padding=1, bias=False)]
        for _ in range(24):
            layers += [nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
            layers += [nn.Conv2d(4, 4, 3, padding=1, bias=False)]
        return nn.Sequential(
            *layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, CLASSES, bias=False)
        )

    plain, scaled = build_any(make), build_any(make)
    convolutions = [layer for layer in scaled if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for layer in convolutions[:12]:
            layer.weight *= 2.0**100
        for layer in convolutions[12:24]:
            layer.weight *= 2.0**-100
    scores = proxies.score_network(plain, IMAGE, ["synflow"])
    assert proxies.score_network(scaled, IMAGE, ["synflow"]) == scores


@pytest.fixture
def always_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score every network in extended range, with a scale from the first layers on."""
    monkeypatch.setattr(_flow_pass, "_LARGE", 0.0)
    small = functools.partial(ExtendedRange, largest=1.0)
    monkeypatch.setattr(_flow_pass, "ExtendedRange", small)


@pytest.mark.parametrize(
    "name", [*(name for name in NETWORKS if name != "parametrised"), "preactivation"]
)
@pytest.mark.parametrize("proxy", ["synflow", "logsynflow"])
def test_ordinary_networks_score_the_same_in_extended_range(
    name: str, proxy: str, always_extended: None
) -> None:
    network, batch = build("in_place" if name == "preactivation" else name)
    if name == "preactivation":
        network = build_any(preactivation)
    if name == "attention":
        unsupported = f"multi_head_attention_forward.*{proxy}"
        with pytest.raises(proxies.UndefinedScoreError, match=unsupported):
            proxies.score_network(network, batch, [proxy])
        return
    score = proxies.score_network(network, batch, [proxy])[proxy]
    if name == "preactivation":
        network = build_any(lambda: preactivation(inplace=False))
    assert score == pytest.approx(TWINS[proxy](network, batch, 0), rel=1e-12)


class Through(nn.Module):
    """Linear layers with huge weights, and an operation between them."""

    def __init__(self, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.operation = operation
        self.layers = nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(12)))
        self.head = nn.Linear(3, CLASSES)
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.fill_(2.0**120)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.operation(self.layers(x)))


VECTORS = (torch.zeros(1, 3), None)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: torch.relu_(x),
        lambda x: nn.functional.silu(x, True),
        lambda x: nn.functional.hardswish(x, inplace=True),
        lambda x: nn.functional.gelu(x),
        lambda x: nn.functional.elu(x, 2.0),
        lambda x: nn.functional.leaky_relu(x, 0.2, inplace=True),
        lambda x: x - 1,
        lambda x: 1 + x.view(-1).reshape(1, 3),
        lambda x: torch.add(x, 1, alpha=3),
        lambda x: torch.cat([torch.ones_like(x), x], 1)[:, 3:],
        lambda x: torch.stack([x, torch.ones(1, 3).double()]).amax(0),
        lambda x: torch.maximum(x, torch.ones_like(x)),
        lambda x: nn.functional.pad(x, (0, 1))[:, :3],
        lambda x: x.transpose(0, 1).contiguous().T,
        lambda x: torch.cat(x.chunk(3, dim=1), dim=1).expand(1, 3) / 1,
        lambda x: x @ torch.eye(3).double(),
        lambda x: x.mul_(2.0**-900) * 2.0**900,
        lambda x: x * torch.tanh(x) * torch.sigmoid(x),
        lambda x: x * nn.functional.hardtanh(1 * x, -1.0, 1.0, True) * nn.functional.relu6(x) / 6,
    ],
)
def test_what_is_the_identity_for_huge_positive_values_changes_nothing(
    operation: Callable[[Tensor], Tensor],
) -> None:
    identity = build_any(lambda: Through(lambda x: x))
    network = build_any(lambda: Through(operation))
    expected = proxies.score_network(identity, VECTORS, ["logsynflow"])["logsynflow"]
    score = proxies.score_network(network, VECTORS, ["logsynflow"])["logsynflow"]
    assert score == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (torch.sqrt, "sqrt"),
        (lambda x: x / x.sum(), "div"),
        (lambda x: torch.div(x, 3, rounding_mode="floor"), "div"),
        (lambda x: nn.functional.pad(x, (0, 1), value=1.0)[:, :3], "pad"),
        (lambda x: torch.where(x > 0, x, 0), "gt"),
        (lambda x: torch.softmax(x, dim=1), "softmax"),
        (lambda x: x[:, :1].mul_(x[:, 1:2]).expand(1, 3), "in place on a part"),
    ],
)
def test_an_operation_whose_effect_on_the_scale_is_not_known_is_named(
    operation: Callable[[Tensor], Tensor], name: str
) -> None:
    with pytest.raises(proxies.UndefinedScoreError, match=f"'.*{name}.*' is not available"):
        proxies.score_network(Through(operation), VECTORS, ["logsynflow"])


def test_a_proxy_of_ones_own_is_not_handed_gradients_beyond_float64() -> None:
    def largest(measured: proxies.Measured) -> float:
        return max(float(item.gradient.max()) for item in measured[proxies.FLOW_GRADIENTS])

    own = proxies.Proxy("largest", largest, "maximize", (proxies.FLOW_GRADIENTS,), "max ∂R/∂W")
    with pytest.raises(proxies.UndefinedScoreError, match="largest.*SCALED_FLOW_GRADIENTS"):
        proxies.score_network(Through(torch.relu), VECTORS, [own])
    # One gradient of 12 layers is that of 11, here in range, though near its end.
    network = Through(torch.relu)
    with torch.no_grad():
        for layer in network.layers:
            layer.weight.fill_(2.0**80)
    score = proxies.score_network(network, VECTORS, [own])["largest"]
    head = network.head.weight.detach().abs().double().sum(0).max()
    flow_of_head = 3.0**12 * 2.0 ** (12 * 80)
    assert score == pytest.approx(max(flow_of_head, flow_of_head / 2**80 * float(head)))


def test_an_infinite_buffer_is_not_a_matter_of_range() -> None:
    network = nn.Sequential(nn.Linear(3, 3), Shifted())
    with pytest.raises(proxies.UndefinedScoreError, match="inf, also in a wider range"):
        proxies.score_network(network, VECTORS, ["synflow"])


class Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(math.inf))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift
