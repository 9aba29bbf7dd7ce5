"""Scoring leaves everything as it was, also when it fails."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import NETWORKS, build, defined, is_defined


def identities(network: nn.Module) -> list[Any]:
    """Everything about a network that must not be replaced by an equal copy."""
    found: list[Any] = []
    for module in network.modules():
        found += [module, *module._parameters.values(), *module._buffers.values()]
        found += [
            parameter.grad for parameter in module._parameters.values() if parameter is not None
        ]
    return [id(item) for item in found]


def state(network: nn.Module) -> list[Any]:
    """Everything about a network that must keep its value."""
    found: list[Any] = [(name, module.training) for name, module in network.named_modules()]
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        gradient = None if tensor.grad is None else tensor.grad.tolist()
        found.append(
            (name, tensor.tolist(), tensor.dtype, tensor.device, tensor.requires_grad, gradient)
        )
        found.append((tensor.data_ptr(), tensor._version))
    for module in network.modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        found.append(([list(hook.items()) for hook in hooks], sorted(vars(module))))
    return found


def random_states() -> list[Any]:
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


def unsettled(name: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A network in the midst of training: gradients, mixed modes, hooks, running statistics."""
    network, batch = build(name)
    with torch.random.fork_rng():
        nn.functional.cross_entropy(network(batch[0].clone()), batch[1]).backward()
    modules = list(network.modules())
    for module in modules[::2]:
        module.training = False
    modules[-1].register_forward_hook(lambda module, arguments, output: None)
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


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("proxy", proxies.names())
def test_network_batch_and_random_states_are_left_alone(name: str, proxy: str) -> None:
    network, (inputs, targets) = unsettled(name)
    inputs_before, version = inputs.clone(), inputs._version
    before = identities(network), state(network), random_states()
    undefined = contextlib.nullcontext()
    if not is_defined(proxy, name):
        undefined = pytest.raises(proxies.ProxyError)  # type: ignore[assignment]
    with undefined:
        proxies.score_network(network, (inputs, targets), [proxy], seed=3)
    assert (identities(network), state(network), random_states()) == before
    assert torch.equal(inputs, inputs_before)
    assert (inputs._version, inputs.requires_grad) == (version, False)


RUN_THE_NETWORK = sorted(set(defined("residual")) - {"params", "l2_norm"})


@pytest.mark.parametrize("proxy", RUN_THE_NETWORK)
def test_a_module_that_raises_leaves_nothing_behind(proxy: str) -> None:
    network, batch = unsettled("residual")
    broken = nn.Sequential(*network[:-1], Fails(calls=0), network[-1])
    before = identities(broken), state(broken), random_states()
    with pytest.raises(proxies.PassError, match="broken module") as caught:
        proxies.score_network(broken, batch, [proxy])
    assert isinstance(caught.value.__cause__, RuntimeError)
    del caught
    broken[-2].calls = 0
    assert (identities(broken), state(broken), random_states()) == before


def test_a_loss_that_raises_leaves_nothing_behind() -> None:
    network, batch = unsettled("residual")
    before = identities(network), state(network), random_states()

    def broken(output: Tensor, targets: Tensor) -> Tensor:
        raise KeyError("no such label")

    with pytest.raises(proxies.PassError, match="KeyError.*no such label"):
        proxies.score_network(network, batch, proxies.names(), loss_fn=broken)
    assert (identities(network), state(network), random_states()) == before


def test_a_network_that_replaces_its_own_weights_gets_them_back() -> None:
    class Constrained(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.01)
            return super().forward(input)

    network = nn.Sequential(Constrained(5, 3))
    _, batch = build("mlp")
    before = identities(network), state(network)
    proxies.score_network(network, batch, ["snip", "synflow", "flops"])
    assert (identities(network), state(network)) == before


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


@pytest.mark.parametrize("proxy", defined("mlp"))
def test_a_network_may_write_into_its_inputs(proxy: str) -> None:
    network, (inputs, targets) = build("mlp")
    before = inputs.clone()
    writes = nn.Sequential(nn.ReLU(inplace=True), network)
    reads = nn.Sequential(nn.ReLU(), network)
    scores = proxies.score_network(writes, (inputs, targets), [proxy])
    assert torch.equal(inputs, before)
    assert scores == proxies.score_network(reads, (inputs, targets), [proxy])
