"""A weight is a parameter that multiplies what flows, whatever the class of its layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import CLASSES, NETWORKS, SAMPLES, build, build_any

ASKED = ["snip", "plain", "grad_norm", "grasp", "synflow", "logsynflow", "l2_norm", "zico"]
ASKED += ["gradsign"]


class Transposed(nn.Module):
    """A linear layer as GPT-2 has it."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.kernel = nn.Parameter(layer.weight.detach().T.clone())
        self.bias = nn.Parameter(layer.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.kernel + self.bias


class Addmm(Transposed):
    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.kernel)


class Einsum(Transposed):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("ni,io->no", x, self.kernel) + self.bias


class Left(Transposed):
    def forward(self, x: Tensor) -> Tensor:
        return (self.kernel.T @ x.T).T + self.bias


class Functional(Transposed):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.kernel.t().contiguous(), self.bias)


class Product(Transposed):
    def forward(self, x: Tensor) -> Tensor:
        return (x[:, :, None] * self.kernel).sum(1) + self.bias


class Listed(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.kernels = nn.ParameterList([layer.weight.detach().clone()])
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.kernels[0], self.bias)


def perceptron(kind: Callable[[nn.Linear], nn.Module] = lambda layer: layer) -> nn.Module:
    first, second, head = nn.Linear(5, 16), nn.Linear(16, 8), nn.Linear(8, CLASSES)
    return nn.Sequential(kind(first), nn.ReLU(), kind(second), nn.ReLU(), head)


def vectors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(SAMPLES, 5, generator=generator), torch.arange(SAMPLES) % CLASSES


@pytest.mark.parametrize("kind", [Transposed, Addmm, Einsum, Left, Functional, Product, Listed])
def test_a_linear_layer_written_by_hand_scores_like_that_of_torch(
    kind: Callable[[nn.Linear], nn.Module],
) -> None:
    expected = proxies.score_network(build_any(perceptron), vectors(), ASKED)
    network = build_any(lambda: perceptron(kind))
    assert proxies.score_network(network, vectors(), ASKED) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", [Transposed, Einsum, Left, Functional])
def test_a_layer_written_by_hand_is_drawn_by_its_fan_in(
    kind: Callable[[nn.Linear], nn.Module],
) -> None:
    seen = []

    class Watches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weights = [p for p in network[0].parameters() if p.dim() > 1]
            seen.append((float(weights[0].detach().std()), network[0].bias.abs().max().item()))
            return x

    network = nn.Sequential(
        kind(nn.Linear(50, 400)), nn.ReLU(), Watches(), nn.Linear(400, CLASSES)
    )
    proxies.score_network(network, (torch.randn(SAMPLES, 50), None), ["linear_regions"])
    deviations, biases = zip(*seen, strict=True)
    assert deviations[-1] == pytest.approx((2 / 50) ** 0.5, rel=0.02)
    assert biases[-1] == 0.0


class Experts(nn.Module):
    """Each sample goes through the expert that a gate picks."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.weight = nn.Linear(5, 4), nn.Parameter(torch.randn(4, 5, 6))
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        chosen = self.gate(x).argmax(1)
        return self.head(torch.bmm(x[:, None], self.weight[chosen])[:, 0])


class EveryExpert(Experts):
    def forward(self, x: Tensor) -> Tensor:
        share = self.gate(x).softmax(1)
        mixed = torch.einsum("nk,kio->nio", share, self.weight)
        return self.head(torch.bmm(x[:, None], mixed)[:, 0])


class Adapted(nn.Linear):
    """A low-rank adapter beside a frozen weight."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.weight.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(2, inputs))
        self.up = nn.Parameter(torch.randn(outputs, 2))

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.weight + self.up @ self.down, self.bias)


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pairs, self.head = nn.Bilinear(5, 5, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.pairs(x, x)))


class Graph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 8))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        passed = torch.zeros(len(x), 8, dtype=x.dtype)
        passed.index_add_(0, torch.arange(len(x)).flip(0), x @ self.weight)
        return self.head(torch.relu(passed))


COUNTED: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "picked experts": (Experts, ["weight"]),
    "mixed experts": (EveryExpert, ["weight"]),
    "low rank": (
        lambda: nn.Sequential(Adapted(5, 8), nn.ReLU(), Adapted(8, CLASSES)),
        ["0.down", "0.up", "2.down", "2.up"],
    ),
    "bilinear": (Pairs, ["pairs.weight"]),
    "graph": (Graph, ["weight"]),
}


@pytest.mark.parametrize("case", COUNTED)
def test_weights_of_other_layers_are_read(case: str) -> None:
    make, names = COUNTED[case]
    network = build_any(make)
    found: dict[str, Any] = {}

    def note(measured: proxies.Measured) -> float:
        found.update({item.name: item.gradient for item in measured[proxies.WEIGHT_GRADIENTS]})
        return 0.0

    proxy = proxies.Proxy("noted", note, "maximize", (proxies.WEIGHT_GRADIENTS,), "none")
    scores = proxies.score_network(network, vectors(), [proxy, "synflow", "gradsign"])
    assert set(names) <= set(found)
    twin = build_any(make).train().requires_grad_()
    nn.functional.cross_entropy(twin(vectors()[0]), vectors()[1]).backward()
    parameters = dict(twin.named_parameters())
    for name, gradient in found.items():
        assert torch.allclose(gradient, parameters[name].grad, atol=1e-6), name
    assert scores.coverage is not None
    assert not set(names) & set(scores.coverage.unread)


class Tables(nn.Module):
    """Two-dimensional parameters that are looked up, added, put in front, or scale a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(11, 8))
        self.places = nn.Parameter(torch.randn(1, 7, 8))
        self.first = nn.Parameter(torch.randn(1, 1, 8))
        self.scale = nn.Parameter(torch.rand(1, 1, 8))
        self.unused = nn.Parameter(torch.randn(8, 8))
        self.body, self.head = nn.Linear(8, 64), nn.Linear(64, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words[tokens]
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(torch.relu(self.body(x * self.scale)).mean(1))


def test_tables_and_scales_are_no_weights() -> None:
    network = build_any(Tables)
    batch = (torch.randint(0, 11, (SAMPLES, 6)), torch.arange(SAMPLES) % CLASSES)
    scores = proxies.score_network(network, batch, ["l2_norm", "snip"])
    weights = (network.body.weight, network.head.weight)
    assert scores["l2_norm"] == pytest.approx(sum(float(w.detach().norm()) for w in weights))
    assert scores.coverage is not None
    assert scores.coverage.read == sum(w.numel() for w in weights)
    assert scores.coverage.of == sum(p.numel() for p in network.parameters())
    assert {"words", "places", "first", "scale", "unused"} <= set(scores.coverage.unread)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_torch_layers_run_no_more_often_than_before(name: str) -> None:
    network, _ = build(name)
    assert proxies.Structure.of(network).candidates == ()


class LeftOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unknown = nn.Parameter(torch.randn(40, 5))
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        distances = torch.cdist(x, self.unknown)
        return self.head(x) + distances.mean(1, keepdim=True)


def test_it_is_said_when_most_parameters_are_not_read() -> None:
    network = build_any(LeftOut)
    message = r"snip, l2_norm reads 15 of 218 parameters of LeftOut.*'unknown' \(200\)"
    with pytest.warns(proxies.CoverageWarning, match=message):
        scores = proxies.score_network(network, vectors(), ["snip", "l2_norm", "params"])
    assert str(scores.coverage) == "reads 15 of 218 parameters"


def test_nothing_is_said_where_no_weight_is_read_or_only_embeddings_are_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = proxies.score_network(build_any(LeftOut), vectors(), ["params", "jacob_cov"])
        assert scores.coverage is None
        words = nn.Sequential(nn.Embedding(1000, 8), nn.Flatten(), nn.Linear(16, CLASSES))
        tokens = torch.ones(SAMPLES, 2, dtype=torch.long)
        scores = proxies.score_network(words, (tokens, None), ["synflow"])
        assert scores.coverage is not None and scores.coverage.of > 8000
