"""The second derivatives that are written out, against those that torch finds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

from optuna_zerocost import proxies
from optuna_zerocost.proxies import _registry, _second_derivatives
from optuna_zerocost.proxies._random import SeededRandomState
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


class Shared(nn.Module):
    """Convolutions that share weights, with each other and with what is no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.third = nn.Conv2d(6, 6, 3, padding="same")
        self.third.weight = self.second.weight
        self.fourth = nn.Conv2d(6, 6, 1)
        self.last = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = torch.tanh(self.second(self.second(x)))
        x = torch.tanh(self.third(x)) * self.second.weight.square().mean()
        x = torch.tanh(self.fourth(x)) + torch.tanh(F.conv2d(x, self.fourth.weight.abs()))
        output: Tensor = self.last(x.mean((2, 3)))
        return output


class Overwriting(nn.Module):
    """A convolution's output is overwritten by an operation that is no module's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x[:, ::2] = x[:, ::2] * 2
        return self.last(F.elu_(x)).flatten(1)


class Checkpointed(nn.Module):
    """A part is run again when it is differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(), nn.SiLU())
        self.last = nn.Conv2d(6, 5, 6)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.last(checkpoint(self.part, x, use_reentrant=False)).flatten(1)
        return output


def plain_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=4, stride=2),
        nn.BatchNorm2d(8, affine=False),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def overwriting_network() -> nn.Module:
    """The convolutions' outputs are overwritten by what follows them."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 5, 6), nn.ELU(inplace=True),
        nn.Flatten(),
    )  # fmt: skip


def network_in_place() -> nn.Module:
    """Only what normalisation puts out is overwritten, and what a linear layer does."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 4, 6),
        nn.Flatten(),
        nn.Linear(4, 6),
        nn.ELU(inplace=True),
        nn.Linear(6, 5),
    )


def parametrised_network() -> nn.Module:
    return nn.Sequential(
        weight_norm(nn.Conv2d(3, 8, 3)), nn.Tanh(), nn.Conv2d(8, 5, 6), nn.Flatten()
    )


def frozen_network() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 5, 6), nn.Flatten())
    return network.requires_grad_(False)


def linear_network() -> nn.Module:
    """Its first convolution adds nothing to the second derivative but for the softmax."""
    return nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten(), nn.Linear(4, 5))


def volumes_and_sequences() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3)),
        nn.Conv3d(1, 4, 3, bias=False),
        nn.Flatten(2),
        nn.BatchNorm1d(4),
        nn.GELU(),
        nn.Conv1d(4, 5, 3, dilation=2),
        nn.GELU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
    )


NETWORKS: list[Callable[[], nn.Module]] = [
    plain_network,
    overwriting_network,
    network_in_place,
    parametrised_network,
    frozen_network,
    linear_network,
    volumes_and_sequences,
    Shared,
    Overwriting,
    Checkpointed,
]


def grasp_by_torch(network: nn.Module, batch: tuple[Tensor, Tensor]) -> float:
    """Return −Σ W⊙(Hg) over the weights of layers, by torch alone."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    network.train().requires_grad_(True)
    with parametrize.cached(), SeededRandomState(0):
        weights = list({id(layer.weight): layer.weight for layer in layers}.values())
        loss = F.cross_entropy(network(batch[0]), batch[1])
        first = torch.autograd.grad(loss, weights, create_graph=True)
        agreement = torch.stack([(g * g.detach()).sum() for g in first]).sum()
        second = torch.autograd.grad(agreement, weights)
    pairs = zip(weights, second, strict=True)
    return -sum(float((weight.detach() * product).sum()) for weight, product in pairs)


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("others", [(), ("snip", "fisher", "jacob_cov")])
def test_grasp_is_what_torch_alone_makes_of_it(
    build: Callable[[], nn.Module], others: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    network = build().double()
    for parameter in network.parameters():
        parameter.data.mul_(3)  # or some parts would be too small to be missed
    batch = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 5
    found = proxies.score_network(network, batch, ["grasp", *others])
    assert found["grasp"] == proxies.score_network(network, batch, ["grasp"])["grasp"]
    assert found["grasp"] == pytest.approx(grasp_by_torch(network, batch), rel=1e-9)
    for name in others:
        alone = proxies.score_network(network, batch, [name])[name]
        assert found[name] == pytest.approx(alone, rel=1e-12)


def test_the_vector_can_be_read_besides_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_PROXIES", dict(_registry._PROXIES))

    @proxies.register(
        "summed_products", reads=(proxies.GRADIENT_PRODUCTS,), summary="-Σ W⊙(Hg)", fails="never"
    )
    def _summed(measured: proxies.Measured) -> float:
        products = measured[proxies.GRADIENT_PRODUCTS]
        return -sum(float((item.weight * item.gradient).sum()) for item in products)

    torch.manual_seed(0)
    network = Shared().double()
    batch = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 5
    alone = proxies.score_network(network, batch, ["grasp"])
    both = proxies.score_network(network, batch, ["summed_products", "grasp"])
    assert both["grasp"] == alone["grasp"] == pytest.approx(both["summed_products"], rel=1e-9)


def test_only_the_derivatives_that_are_wanted_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each convolution's backward: whether it gave the derivative by x, by W and by b."""
    seen: list[list[bool]] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            operation = getattr(torch.ops.aten, name)
            if name != "convolution_backward":
                return operation

            def noted(*arguments: Any) -> Any:
                seen.append(arguments[-1])
                return operation(*arguments)

            return noted

    monkeypatch.setattr(_second_derivatives, "_aten", Watched())
    layers = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
    weights = [layer.weight for layer in layers]
    quick = QuickSecondDerivatives(weights)
    x = torch.randn(2, 3, 6, 6, requires_grad=True)
    with quick:
        # The input is no leaf, as where a network begins by scaling it.
        value = layers[1](torch.tanh(layers[0](x / 2))).square().sum()

    def derivatives(of: Tensor, by: list[Tensor], **settings: bool) -> tuple[Tensor, ...]:
        seen.clear()
        with quick.differentiating(by):
            return torch.autograd.grad(of, by, retain_graph=True, **settings)

    derivatives(value, [x])
    assert seen == [[True, False, False]] * 2
    first = derivatives(value, weights, create_graph=True)
    assert seen == [[True, True, False], [False, True, False]]
    agreement = torch.stack([(g * g.detach()).sum() for g in first]).sum()
    number = derivatives(agreement, [quick.scale])[0]
    assert not any(by_weight for _, by_weight, _ in seen)
    products = derivatives(agreement, weights)
    assert sum(by_weight for _, by_weight, _ in seen) == 3
    wanted = sum(float((w.detach() * p).sum()) for w, p in zip(weights, products, strict=True))
    assert float(number) == pytest.approx(wanted, rel=1e-5)


def test_what_is_not_plain_is_left_to_torch() -> None:
    class Marked(Tensor):
        """A kind of tensor that knows operations of its own."""

    layer, x = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 5, 5)
    with QuickSecondDerivatives(copies=False):
        assert "_Convolution" in type(layer(x).grad_fn).__name__
        assert isinstance(layer(x.as_subclass(Marked)), Marked)
        assert "_Convolution" not in type(layer(x.as_subclass(Marked)).grad_fn).__name__
        assert layer.double()(x.double()).dtype == torch.float64
        assert layer.bfloat16()(x.bfloat16()).grad_fn.name() == "ConvolutionBackward0"
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.float()(x).dtype == torch.bfloat16
