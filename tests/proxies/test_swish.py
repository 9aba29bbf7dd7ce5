"""Swish that is written by hand counts as the activation that it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies


class Activated(nn.Module):
    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(6, 8), nn.Linear(8, 32), nn.Linear(32, 3)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(self.second(torch.tanh(self.first(x)))))


def scores(activation: Callable[[Tensor], Tensor]) -> dict[str, float]:
    x = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    asked = ["naswot", "swap", "linear_regions"]
    return proxies.score_network(Activated(activation), (x, torch.arange(6) % 3), asked)


@pytest.mark.parametrize(
    "by_hand",
    [
        lambda x: x * torch.sigmoid(x),
        lambda x: x.sigmoid() * x,
        lambda x: torch.mul(x, nn.functional.sigmoid(x)),
        lambda x: x * nn.Sigmoid()(1.702 * x),
        lambda x: x.mul_(torch.sigmoid(x * 1.0)),
    ],
)
def test_swish_by_hand_has_the_codes_of_silu(by_hand: Callable[[Tensor], Tensor]) -> None:
    assert scores(by_hand) == scores(nn.functional.silu)


@pytest.mark.parametrize(
    "gate",
    [
        torch.sigmoid,
        lambda x: x * torch.sigmoid(x + 1),
        lambda x: x * torch.sigmoid(-1 * x),
        lambda x: 2 * x,
    ],
)
def test_other_products_are_no_activations(gate: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(proxies.NetworkError, match="ReLU-like activation"):
        scores(gate)
