"""The second derivatives that are written out, against those that torch finds."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from optuna_zerocost import proxies
from optuna_zerocost.proxies import _loss_pass
from optuna_zerocost.proxies._second_derivatives import QuickSecondDerivatives

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (3, 4, 9)),
    "2d": (lambda: nn.Conv2d(4, 6, 3, padding=(1, 0), bias=False), (3, 4, 6, 5)),
    "2d, grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=2), (3, 4, 6, 6)),
    "2d, depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, stride=2), (3, 4, 7, 7)),
    "2d, circular": (lambda: nn.Conv2d(4, 5, 3, padding=1, padding_mode="circular"), (3, 4, 6, 6)),
    "2d, same": (lambda: nn.Conv2d(4, 5, 3, padding="same"), (3, 4, 6, 6)),
    "2d, one sample": (lambda: nn.Conv2d(4, 5, 3), (4, 6, 6)),
    "3d": (lambda: nn.Conv3d(2, 3, 2), (3, 2, 4, 4, 4)),
    "BatchNorm of vectors": (lambda: nn.BatchNorm1d(5), (7, 5)),
    "BatchNorm of sequences": (lambda: nn.BatchNorm1d(5, affine=False), (3, 5, 4)),
    "BatchNorm of images": (lambda: nn.BatchNorm2d(4, momentum=None), (3, 4, 3, 3)),
    "BatchNorm without statistics": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        (3, 4, 3, 3),
    ),
    "BatchNorm in eval mode": (lambda: nn.BatchNorm2d(4).eval(), (3, 4, 3, 3)),
    "BatchNorm of volumes": (lambda: nn.BatchNorm3d(2), (3, 2, 2, 3, 2)),
}


def derivatives(layer: nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the first derivatives of a function of the output, and those of one of theirs."""
    variables = [x, *layer.parameters()]
    y = layer(x)
    value = (torch.sin(y) * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()
    first = torch.autograd.grad(value, variables, create_graph=True)
    weighed = [
        (torch.cos(g) * torch.linspace(1, 2, g.numel(), dtype=g.dtype).view_as(g)).sum()
        for g in first
    ]
    second = torch.autograd.grad(torch.stack(weighed).sum(), variables)
    return [y, *(g.detach() for g in first)], list(second)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives_are_those_of_torch(kind: str, dtype: torch.dtype) -> None:
    build, shape = LAYERS[kind]
    torch.manual_seed(0)
    layer = build().to(dtype)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    twin = copy.deepcopy(layer)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    wanted = derivatives(twin, x)
    with QuickSecondDerivatives():
        found = derivatives(layer, x)
    for ours, theirs in zip(found[0], wanted[0], strict=True):
        assert torch.equal(ours, theirs)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    for ours, theirs in zip(found[1], wanted[1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(layer.buffers(), twin.buffers(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["2d, grouped", "BatchNorm of images", "BatchNorm of vectors"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_gradient_alone_can_be_differentiated(kind: str, part: int) -> None:
    """Of the second derivative's inputs all but one are absent then."""
    build, shape = LAYERS[kind]
    torch.manual_seed(1)
    layer = build().double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def second() -> list[Tensor]:
        variables = [x, *layer.parameters()]
        first = torch.autograd.grad(layer(x).sin().sum(), variables, create_graph=True)
        found = torch.autograd.grad((first[part] ** 3).sum(), variables, allow_unused=True)
        pairs = zip(found, variables, strict=True)
        return [torch.zeros_like(v) if gradient is None else gradient for gradient, v in pairs]

    wanted = second()
    with QuickSecondDerivatives():
        found = second()
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_torch_refuses_is_refused_in_its_words() -> None:
    def refused(call: Callable[[], Any]) -> str:
        with pytest.raises((ValueError, RuntimeError)) as seen:
            call()
        return str(seen.value)

    layer = nn.Conv2d(3, 4, 5)
    calls: list[Callable[[], Any]] = [
        lambda: nn.BatchNorm1d(4)(torch.ones(1, 4)),
        lambda: layer(torch.ones(1, 3, 2, 2)),
        lambda: F.conv2d(torch.ones(1, 3, 8, 8), torch.ones(4, 2, 3, 3)),
        lambda: F.conv2d(torch.ones(1, 3, 8, 8), layer.weight.double()),
    ]
    for call in calls:
        wanted = refused(call)
        with QuickSecondDerivatives():
            assert refused(call) == wanted


def test_a_third_derivative_raises_instead_of_lacking_a_part() -> None:
    layer = nn.Conv2d(1, 1, 2).double()
    x = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    with QuickSecondDerivatives():
        value = (layer(x) ** 4).sum()
    first = torch.autograd.grad(value, layer.weight, create_graph=True)[0]
    second = torch.autograd.grad((first**2).sum(), layer.weight, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()


def test_grasp_is_what_torch_alone_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=4, stride=2),
        nn.BatchNorm2d(8, affine=False),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).double()
    batch = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 5
    names = ["grasp", "snip", "fisher", "jacob_cov"]
    found = proxies.score_network(network, batch, names)
    monkeypatch.setattr(_loss_pass, "QuickSecondDerivatives", contextlib.nullcontext)
    wanted = proxies.score_network(network, batch, names)
    assert found == pytest.approx(wanted, rel=1e-10)
    assert found["snip"] == wanted["snip"]


def test_what_is_not_plain_is_left_to_torch() -> None:
    class Marked(Tensor):
        """A kind of tensor that knows operations of its own."""

    layer, x = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 5, 5)
    with QuickSecondDerivatives():
        assert "_Convolution" in type(layer(x).grad_fn).__name__
        assert isinstance(layer(x.as_subclass(Marked)), Marked)
        assert "_Convolution" not in type(layer(x.as_subclass(Marked)).grad_fn).__name__
        assert layer.double()(x.double()).dtype == torch.float64
        assert layer.bfloat16()(x.bfloat16()).grad_fn.name() == "ConvolutionBackward0"
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.float()(x).dtype == torch.bfloat16
