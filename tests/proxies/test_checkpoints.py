"""Networks that compute parts of the forward anew in the backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from optuna_zerocost import proxies

BATCH = (torch.randn(6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3)


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.block, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.reentrant = reentrant

    def part(self, x: Tensor) -> Tensor:
        return torch.relu(self.block(x))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        if self.reentrant is None:
            return self.head(self.part(x))
        return self.head(checkpoint(self.part, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("name", ["snip", "grasp", "fisher", "jacob_cov", "synflow", "swap"])
def test_checkpoints_change_nothing(name: str) -> None:
    expected = proxies.score_network(Checkpointed(None), BATCH, [name])
    assert proxies.score_network(Checkpointed(False), BATCH, [name]) == expected


@pytest.mark.parametrize("name", ["snip", "gradsign", "zico", "synflow", "ntk_condition"])
def test_reentrant_checkpoints_are_refused_with_the_cure(name: str) -> None:
    with pytest.raises(proxies.PassError, match=f"{name}.*Call it with use_reentrant=False"):
        proxies.score_network(Checkpointed(True), BATCH, [name])
