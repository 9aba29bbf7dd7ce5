"""Scoring leaves everything as it was, also when it fails.

That it does so for every proxy on every kind of network is tested in ``test_any_network.py``.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import build, defined
from tests.proxies.untouched import everything, unsettle


def unsettled() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    network, batch = build("residual")
    unsettle(network, batch, {})
    return network, batch


class Fails(nn.Module):
    """Passes on its input until it has been called ``calls`` times."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls < 0:
            raise RuntimeError("broken module")
        return x


RUN_THE_NETWORK = sorted(set(defined("residual")) - {"params", "l2_norm"})


@pytest.mark.parametrize("proxy", RUN_THE_NETWORK)
def test_a_module_that_raises_leaves_nothing_behind(proxy: str) -> None:
    network, batch = unsettled()
    broken = nn.Sequential(*network[:-1], Fails(calls=0), network[-1])
    before = everything(broken)
    with pytest.raises(proxies.PassError, match="broken module") as caught:
        proxies.score_network(broken, batch, [proxy])
    assert isinstance(caught.value.__cause__, RuntimeError)
    del caught
    broken[-2].calls = 0
    assert everything(broken) == before


def test_a_loss_that_raises_leaves_nothing_behind() -> None:
    network, batch = unsettled()
    before = everything(network)

    def broken(output: Tensor, targets: Tensor) -> Tensor:
        raise KeyError("no such label")

    with pytest.raises(proxies.PassError, match="KeyError.*no such label"):
        proxies.score_network(network, batch, proxies.names(), loss_fn=broken)
    assert everything(network) == before


def test_a_network_that_replaces_its_own_weights_gets_them_back() -> None:
    class Constrained(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.01)
            return super().forward(input)

    network = nn.Sequential(Constrained(5, 3))
    _, batch = build("mlp")
    before = everything(network)
    proxies.score_network(network, batch, ["snip", "synflow", "flops"])
    assert everything(network) == before


def test_a_buffer_that_a_forward_adds_is_gone_again() -> None:
    class Caches(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            self.register_buffer("cache", input.detach())
            return super().forward(input)

    network = nn.Sequential(Caches(5, 3))
    _, batch = build("mlp")
    proxies.score_network(network, batch, ["snip"])
    assert dict(network.named_buffers()) == {}


def test_scoring_works_within_no_grad_and_inference_mode() -> None:
    network, batch = build("in_place")
    asked = defined("in_place")
    expected = proxies.score_network(network, batch, asked)
    with torch.no_grad():
        assert proxies.score_network(network, batch, asked) == expected
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        inside = (batch[0].clone(), batch[1].clone())
        assert proxies.score_network(network, inside, asked) == expected
        assert torch.is_inference_mode_enabled()


def test_a_graph_that_was_built_before_can_still_be_differentiated() -> None:
    network, (inputs, targets) = build("residual")
    loss = nn.functional.cross_entropy(network(inputs), targets)
    proxies.score_network(network, (inputs, targets), defined("residual"))
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_network_may_write_into_its_inputs() -> None:
    network, (inputs, targets) = build("mlp")
    before = inputs.clone()
    writes = nn.Sequential(nn.ReLU(inplace=True), network)
    reads = nn.Sequential(nn.ReLU(), network)
    scores = proxies.score_network(writes, (inputs, targets), defined("mlp"))
    assert torch.equal(inputs, before)
    assert scores == proxies.score_network(reads, (inputs, targets), defined("mlp"))
