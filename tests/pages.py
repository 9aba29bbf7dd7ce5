"""The code of README and documentation, and what their readers are to have made themselves."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import torch
from torch import nn

ROOT = pathlib.Path(__file__).parents[1]

# <!-- not run: a reason --> before a block leaves it out.
BLOCK = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n+)?^```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks(page: str) -> list[tuple[int, str]]:
    """Return first line and code of each block, without those that are marked."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start("code")) + 1, found["code"])
        for found in BLOCK.finditer(text)
        if not found["mark"]
    ]


def train_and_validate(network: nn.Module, learning_rate: float) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) * learning_rate


def make_network(depth: int, width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(4, width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def readers_own() -> dict[str, Any]:
    """Return what the README leaves to its reader."""
    return {
        "inputs": torch.randn(8, 4, generator=torch.Generator().manual_seed(0)),
        "targets": torch.arange(8) % 3,
        "make_network": make_network,
        "network": make_network(1, 8),
        "train_and_validate": train_and_validate,
    }
