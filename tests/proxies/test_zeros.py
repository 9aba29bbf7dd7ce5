"""A score that is 0 for every architecture of a kind is said to be one."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.untouched import everything

BATCH = (torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3)


class Standardised(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean((1, 2, 3), keepdim=True)


def network(width: int, *around: nn.Module, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *around[:1],
        nn.Conv2d(3, width, 3, bias=bias),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 3),
        *around[1:],
    )


def zero_initialised(width: int) -> nn.Sequential:
    made = network(width)
    nn.init.zeros_(made[-1].weight)
    return made


KINDS: dict[str, tuple[Callable[[int], nn.Module], str]] = {
    "softmax": (lambda width: network(width, nn.Identity(), nn.Softmax(1)), "ends in a softmax"),
    "zero": (zero_initialised, r"all values of '4.weight' are 0"),
    "inputs": (lambda width: network(width, Standardised(), bias=False), "inputs are normalised"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_for_every_architecture_is_said_to_be_one(kind: str) -> None:
    build, message = KINDS[kind]
    for width in (4, 16):
        made = build(width)
        before = everything(made)
        expected = f"(?s)synflow of Sequential came out as 0.*{message}"
        with pytest.warns(proxies.ConstantScoreWarning, match=expected):
            assert proxies.score_network(made, BATCH, ["synflow"])["synflow"] == 0.0
        assert everything(made) == before


def test_it_names_the_scores_that_are_zero() -> None:
    with pytest.warns(proxies.ConstantScoreWarning, match="snip, plain, logsynflow of"):
        proxies.score_network(
            zero_initialised(4), BATCH, ["snip", "grad_norm", "plain", "logsynflow"]
        )


def test_a_network_that_lets_nothing_through_deserves_its_zero() -> None:
    cut = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Threshold(1e9, 0.0), nn.Linear(4, 3)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert proxies.score_network(cut, BATCH, ["synflow"])["synflow"] == 0.0
        logits = network(4, nn.Identity(), nn.LogSoftmax(1))
        assert proxies.score_network(logits, BATCH, ["snip"])["snip"] > 0.0
