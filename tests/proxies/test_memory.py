"""Memory that a pass takes, and the error where there is not enough."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import SAMPLES, build, defined
from tests.proxies.test_untouched import RUN_THE_NETWORK
from tests.proxies.untouched import everything

MORE_THAN_THERE_IS = 2**55  # bytes, which no allocator has


def refused_by_the_allocator() -> None:
    torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8)


def refused_by_an_accelerator() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has …")


def refused_by_numpy() -> None:
    raise MemoryError


class Exhausts(nn.Module):
    """Passes on its input, and then asks for more memory than there is."""

    def __init__(self, refuse: Callable[[], None] = refused_by_the_allocator) -> None:
        super().__init__()
        self.refuse = refuse
        self.kept: list[weakref.ref[Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        result = x * 1
        self.kept.append(weakref.ref(result))
        self.refuse()
        return result


class _ExhaustsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, differentiations: int) -> Tensor:
        ctx.differentiations = differentiations
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if ctx.differentiations == 1:
            refused_by_the_allocator()
        return _ExhaustsBackward.apply(gradient, ctx.differentiations - 1), None


class ExhaustsBackward(nn.Module):
    """The identity, whose first or second derivative asks for more memory than there is."""

    def __init__(self, differentiations: int) -> None:
        super().__init__()
        self.differentiations = differentiations

    def forward(self, x: Tensor) -> Tensor:
        return _ExhaustsBackward.apply(x, self.differentiations)


ONE_SAMPLE_AT_A_TIME = {"synflow", "logsynflow", "flops", "gradsign"}


@pytest.mark.parametrize(
    ("proxy", "refuse"),
    [
        *((proxy, refused_by_the_allocator) for proxy in RUN_THE_NETWORK),
        ("snip", refused_by_an_accelerator),
        ("snip", refused_by_numpy),
    ],
)
def test_the_error_says_what_takes_the_memory_and_nothing_stays_behind(
    proxy: str, refuse: Callable[[], None]
) -> None:
    network, batch = build("residual")
    exhausting = nn.Sequential(*network[:-1], Exhausts(refuse), network[-1])
    before = everything(exhausting)
    with pytest.raises(proxies.OutOfMemoryError, match="never split") as caught:
        proxies.score_network(exhausting, batch, [proxy])
    assert everything(exhausting) == before
    message = str(caught.value)
    assert proxies.describe(proxy).source.name in message
    assert f"(for {proxy})" in message
    assert f"{SAMPLES} samples" in message or proxy in ONE_SAMPLE_AT_A_TIME
    assert ("second derivatives" in message) == (proxy == "grasp")
    assert "\n" not in message
    # The exception is still held, and with it its traceback, but not what the network computed.
    assert [kept() for kept in exhausting[-2].kept] == [None] * len(exhausting[-2].kept)


@pytest.mark.parametrize(
    ("differentiations", "proxy"), [(1, "snip"), (1, "synflow"), (2, "grasp")]
)
def test_a_derivative_without_memory_is_not_taken_for_one_that_does_not_exist(
    differentiations: int, proxy: str
) -> None:
    network, batch = build("residual")
    exhausting = nn.Sequential(*network, ExhaustsBackward(differentiations))
    with pytest.raises(proxies.OutOfMemoryError, match=f"for {proxy}"):
        proxies.score_network(exhausting, batch, [proxy])


def test_a_proxy_may_run_out_of_memory_in_its_own_arithmetic() -> None:
    def greedy(measured: proxies.Measured) -> float:
        return float(torch.empty(MORE_THAN_THERE_IS, dtype=torch.uint8).sum())

    proxy = proxies.Proxy("greedy", greedy, "maximize", (proxies.WEIGHT_GRADIENTS,), "none")
    network, batch = build("residual")
    with pytest.raises(proxies.OutOfMemoryError, match=r"loss pass \(for greedy\)"):
        proxies.score_network(network, batch, [proxy])


def test_other_errors_are_not_called_a_lack_of_memory() -> None:
    network, (inputs, targets) = build("residual")
    with pytest.raises(proxies.PassError) as caught:
        proxies.score_network(network, (inputs[:, :2], targets), ["snip"])
    assert type(caught.value) is proxies.PassError


def kept_for_backward(function: Callable[[], object]) -> int:
    """Return the number of bytes that ``function`` makes torch keep for derivatives."""
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function()
    return sum(sizes)


def of_one_pass() -> list[str]:
    return [
        name
        for name in defined("residual")
        if proxies.describe(name).source == proxies.describe("snip").source
    ]


def test_only_second_derivatives_keep_more_than_one_plain_forward() -> None:
    network, (inputs, targets) = build("residual")
    asked = of_one_pass()
    assert [name for name in asked if proxies.describe(name).needs_second_derivatives] == ["grasp"]
    others = [name for name in asked if name != "grasp"]

    def by_hand() -> None:
        # Of an input that is differentiated, so that the first layer keeps its weight too.
        differentiated = inputs.clone().requires_grad_()
        nn.functional.cross_entropy(network.train()(differentiated.clone()), targets)

    plain = kept_for_backward(by_hand)
    scored = kept_for_backward(lambda: proxies.score_network(network, (inputs, targets), others))
    with_grasp = kept_for_backward(
        lambda: proxies.score_network(network, (inputs, targets), asked)
    )
    assert plain == scored < with_grasp
