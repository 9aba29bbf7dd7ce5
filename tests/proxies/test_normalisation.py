"""Of a normalisation layer that does more, the normalising alone is bypassed in a flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import CLASSES, SAMPLES, build_any

ASKED = ["synflow", "logsynflow", "flops"]


class Conditional(nn.BatchNorm2d):
    """Scales by an embedding of a label, which it takes as a second argument."""

    def __init__(self) -> None:
        super().__init__(4, affine=False)
        self.scale = nn.Embedding(CLASSES, 4)

    def forward(self, input: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(input) * self.scale(label)[:, :, None, None]


class Added(nn.LayerNorm):
    """Adds a residual first, and returns that as well."""

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Any:
        total = input if residual is None else input + residual
        return super().forward(total), total


class ChannelsLast(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1))


class ByFunction(nn.GroupNorm):
    """Normalises by the function, and has an activation and a scale of its own."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.act, self.slope = nn.SiLU(), nn.Parameter(torch.full((1,), 3.0))

    def forward(self, input: Tensor) -> Tensor:
        normal = nn.functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        return self.act(normal) * self.slope


class ByHand(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        mean = input.mean((0, 2, 3), keepdim=True)
        return (input - mean) / (input - mean).square().mean((0, 2, 3), keepdim=True).sqrt()


class WithBypassed(nn.Module):
    """A network around a layer, or around what remains of it without the normalising."""

    def __init__(self, layer: Callable[[], nn.Module], use: Callable[..., Tensor]) -> None:
        super().__init__()
        self.stem, self.layer = nn.Conv2d(3, 4, 3), layer()
        self.head, self.use = nn.Linear(4, CLASSES), use

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.head(torch.relu(self.use(self.layer, self.stem(x), label)))


def pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def pair(layer: nn.Module, x: Tensor, label: Tensor) -> Tensor:
    normal, total = layer(x.flatten(2).mean(2), residual=2 * x.flatten(2).mean(2))
    return normal + total


CASES: dict[str, tuple[Any, Any, Any]] = {
    "argument": (
        Conditional,
        lambda layer, x, label: pooled(layer(x, label)),
        lambda _, x, label: pooled(x),
    ),
    "keyword": (
        Conditional,
        lambda layer, x, label: pooled(layer(x, label=label)),
        lambda _, x, label: pooled(x),
    ),
    "several outputs": (lambda: Added(4), pair, lambda _, x, label: 6 * pooled(x)),
    "layout": (
        lambda: ChannelsLast(4),
        lambda layer, x, label: layer(x).mean((1, 2)),
        lambda _, x, label: pooled(x),
    ),
    "activation": (
        lambda: ByFunction(2, 4),
        lambda layer, x, label: pooled(layer(x)),
        lambda _, x, label: 3 * pooled(nn.functional.silu(x)),
    ),
    "by hand": (
        lambda: ByHand(4),
        lambda layer, x, label: pooled(layer(x)),
        lambda _, x, label: pooled(x),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_subclass_does_beside_normalising_stays(case: str) -> None:
    layer, use, remains = CASES[case]
    network = build_any(lambda: WithBypassed(layer, use))
    expected = build_any(lambda: WithBypassed(layer, remains))
    batch = ((torch.randn(SAMPLES, 3, 6, 6), torch.arange(SAMPLES) % CLASSES), None)
    forward = network.layer.forward.__func__
    scores = proxies.score_network(network, batch, ASKED)
    assert scores == pytest.approx(proxies.score_network(expected, batch, ASKED), rel=1e-12)
    assert network.layer.forward.__func__ is forward


def test_a_function_that_normalises_elsewhere_stays() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(5, CLASSES, bias=False), Added(CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.layer_norm(self.norm(self.layer(x))[0], (CLASSES,)).abs()

    network, batch = build_any(Functional), (torch.ones(1, 5), None)
    before = proxies.score_network(network, batch)["synflow"]
    with torch.no_grad():
        network.layer.weight *= 100
    # The output of a normalisation does not change with the size of the weights.
    assert proxies.score_network(network, batch)["synflow"] == pytest.approx(before, rel=0.01)


def test_draws_keep_a_subclass_own_parameters() -> None:
    """Normalisation scales by 1 and shifts by 0; of other parameters nothing is known."""
    seen = []

    class Watches(ByFunction):
        def forward(self, input: Tensor) -> Tensor:
            values = (self.slope, self.weight.sum(), self.bias.sum())
            seen.append(tuple(float(value.detach()) for value in values))
            return super().forward(input)

    network = nn.Sequential(nn.Linear(5, 4), Watches(2, 4), nn.ReLU(), nn.Linear(4, CLASSES))
    proxies.score_network(network, (torch.randn(SAMPLES, 5), None), ["linear_regions"])
    assert seen == [(3.0, 4.0, 0.0)]
