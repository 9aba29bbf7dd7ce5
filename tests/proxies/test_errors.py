"""An error says what was seen, why it is wrong, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from optuna_zerocost import proxies
from tests.proxies.networks import build

X, Y = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3


def mlp() -> nn.Module:
    return build("mlp")[0]


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


class OnceDifferentiable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Once.apply(x)


def with_nan() -> nn.Module:
    network = mlp()
    with torch.no_grad():
        network[0].weight[0, 0] = float("nan")
    return network


def constant() -> nn.Module:
    network = mlp()
    nn.init.zeros_(network[0].weight)
    return network


def inference_network() -> nn.Module:
    with torch.inference_mode():
        return nn.Linear(5, 3)


def exploding() -> nn.Module:
    layers = [nn.Linear(32, 32) for _ in range(300)]
    for layer in layers:
        nn.init.constant_(layer.weight, 100.0)
    return nn.Sequential(nn.Linear(5, 32), *layers, nn.Linear(32, 3))


def pruned() -> nn.Module:
    network = mlp()
    prune.identity(network[0], "weight")
    return network


class Transposed(nn.Module):
    """Puts time first, as recurrent networks like it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layer(x.transpose(0, 1))).mean(0)


class Summed(nn.Linear):
    """Adds up the logits of all samples."""

    def __init__(self) -> None:
        super().__init__(5, 3)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).sum(0)


class Ignorant(nn.Module):
    """Normalises and pools what does not depend on the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(torch.zeros_like(x)).mean((2, 3)))


class Parallel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.constant = (nn.Linear(5, 4) for _ in range(3))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.left(x) + self.right(x))
        return self.head(hidden + self.constant(torch.ones_like(x)))


class Falling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return -5 * self.layer(x)


class Pair(nn.Linear):
    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        output = super().forward(input)
        return output, -output


class Second(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[1]


class Overflows(nn.Module):
    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        return x * 10 ** (20 * self.power)


def overflowing(power: float) -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 4),
        nn.Tanh(),
        nn.Sequential(Overflows(power), nn.Linear(4, 4)),
        nn.Linear(4, 3),
    )


class Moved(nn.Module):
    """A part of it was left on another device."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.register_buffer("offset", torch.zeros(3, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.offset


CASES: dict[str, tuple[Callable[[], nn.Module], Any, list[str], type[Exception], str]] = {
    "unknown name": (mlp, (X, Y), ["synflw"], proxies.UnknownProxyError, "did you mean 'synflow'"),
    "one string": (mlp, (X, Y), "snip", proxies.UnknownProxyError, r"\['snip'\]"),  # type: ignore[dict-item]
    "no labels": (mlp, (X, None), ["snip"], proxies.LabelsError, "no labels, and snip"),
    "labels absent": (mlp, (X,), ["fisher"], proxies.LabelsError, "no labels, and fisher"),
    "class too high": (mlp, (X, Y + 1), ["snip"], proxies.LabelsError, "class 3.*0 to 2"),
    "class below zero": (mlp, (X, Y - 1), ["snip"], proxies.LabelsError, "class -1.*0 to 2"),
    "too few labels": (mlp, (X, Y[:4]), ["snip"], proxies.LabelsError, r"\(4,\).*6 samples"),
    "bare tensor": (mlp, X, ["params"], proxies.BatchError, r"\(inputs, targets\)"),
    "triple": (mlp, (X, Y, Y), ["params"], proxies.BatchError, "length 3"),
    "no tensor": (mlp, ({"x": 3}, Y), ["params"], proxies.BatchError, "without any tensor"),
    "no sample": (mlp, (X[:0], Y[:0]), ["snip"], proxies.BatchError, "no sample"),
    "nan inputs": (mlp, (X * float("nan"), Y), ["snip"], proxies.BatchError, "30 of 30"),
    "one sample": (mlp, (X[:1], Y[:1]), ["jacob_cov"], proxies.BatchError, "at least two"),
    "one value a channel": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        (X[:1], Y[:1]),
        ["snip"],
        proxies.BatchError,
        "BatchNorm.*at least two",
    ),
    "integers": (
        lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 3)),
        (torch.ones(6, 2, dtype=torch.long), Y),
        ["jacob_cov"],
        proxies.BatchError,
        "integers.*jacob_cov",
    ),
    "nan weight": (with_nan, (X, Y), ["synflow"], proxies.NetworkError, r"'0\.weight' holds 1"),
    "lazy": (lambda: nn.LazyLinear(3), (X, Y), ["params"], proxies.NetworkError, "once before"),
    "meta": (lambda: mlp().to("meta"), (X, Y), ["snip"], proxies.NetworkError, "meta device"),
    "layer of several outputs": (
        lambda: nn.Sequential(Pair(5, 4), Second(), nn.Linear(4, 3)),
        (X, Y),
        ["fisher"],
        proxies.NetworkError,
        "a Pair put out a tuple.*fisher",
    ),
    "meta in part": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3, device="meta")),
        (X, Y),
        ["synflow"],
        proxies.NetworkError,
        r"'1\.weight' is on the meta device",
    ),
    "meta batch": (
        mlp,
        (X.to("meta"), Y),
        ["snip"],
        proxies.BatchError,
        "meta.*network is on cpu",
    ),
    "meta labels": (mlp, (X, Y.to("meta")), ["snip"], proxies.BatchError, "meta.*real tensors"),
    "meta buffer": (
        lambda: Moved(),
        (X, Y),
        ["synflow"],
        proxies.NetworkError,
        "'offset' is on the meta device",
    ),
    "inference": (inference_network, (X, Y), ["snip"], proxies.NetworkError, "inference_mode"),
    "no weights": (nn.Tanh, (X, Y), ["synflow"], proxies.NetworkError, "no weight that synflow"),
    "pruned": (pruned, (X, Y), ["snip"], proxies.NetworkError, r"'0\.weight'.*parametrizations"),
    "no module": (lambda: torch.tanh, (X, Y), ["snip"], proxies.NetworkError, "nn.Module"),  # type: ignore[dict-item,return-value]
    "tuple": (lambda: nn.LSTM(5, 3), (X, Y), ["snip"], proxies.OutputError, "tuple.*forward_fn"),
    "dead": (constant, (X, Y), ["jacob_cov"], proxies.UndefinedScoreError, "constant for 6 of 6"),
    "overflow": (exploding, (X, Y), ["synflow"], proxies.UndefinedScoreError, "float64.*synflow"),
    "loss": (exploding, (X, Y), ["snip"], proxies.UndefinedScoreError, "loss is.*snip"),
    "equal samples": (
        mlp,
        (X[:1].repeat(3, 1), Y[:3]),
        ["naswot"],
        proxies.UndefinedScoreError,
        "samples 0 and 1 switch the same",
    ),
    "few units": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)),
        (torch.randn(12, 5, generator=torch.Generator().manual_seed(1)) * 9, None),
        ["naswot"],
        proxies.UndefinedScoreError,
        r"samples \d+ and \d+ switch",
    ),
    "time first": (
        lambda: Transposed(),
        (torch.randn(6, 4, 5), None),
        ["naswot"],
        proxies.NetworkError,
        r"shape \(4, 6, 8\).*batch_first",
    ),
    "no classes": (
        mlp,
        (X, torch.rand(6, 3)),
        ["epe_nas"],
        proxies.LabelsError,
        "float32.*6 samples",
    ),
    "no gradient twice": (
        mlp,
        proxies.Minibatches((X, Y), (X, Y)),
        ["zico"],
        proxies.UndefinedScoreError,
        "minibatches are equal",
    ),
    "one half": (mlp, (X[:1], Y[:1]), ["zico"], proxies.BatchError, "halves.*Minibatches"),
    "labels without rows": (
        mlp,
        (X, torch.arange(12) % 3),
        ["gradsign"],
        proxies.BatchError,
        r"\(12,\).*6 samples",
    ),
    "normalised alone": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        (X, Y),
        ["gradsign"],
        proxies.BatchError,
        "BatchNorm.*leave out gradsign",
    ),
    "normalised in halves of one": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        (X[:2], Y[:2]),
        ["zico"],
        proxies.BatchError,
        "for zico.*BatchNorm.*four samples, of which zico",
    ),
    "overflow of input gradients": (
        lambda: overflowing(5.0),
        (X, None),
        ["jacob_cov"],
        proxies.UndefinedScoreError,
        "jacob_cov.*NaN or infinite for 6 of 6.*first output.*'2.0' \\(Overflows",
    ),
    "overflow within classes": (
        lambda: overflowing(5.0),
        (X, Y),
        ["epe_nas"],
        proxies.UndefinedScoreError,
        "epe_nas.*'2.0' \\(Overflows",
    ),
    "overflow of a kernel": (
        lambda: overflowing(5.0),
        (X, None),
        ["ntk_condition"],
        proxies.UndefinedScoreError,
        "ntk_condition.*'2.0' \\(Overflows",
    ),
    "overflow of a stage": (
        lambda: overflowing(5.0),
        (X, None),
        ["az_expressivity"],
        proxies.UndefinedScoreError,
        "the stage '2', of which az_expressivity",
    ),
    "overflow between stages": (
        lambda: overflowing(5.0),
        (X, None),
        ["az_progressivity"],
        proxies.UndefinedScoreError,
        "az_progressivity.*'2.0' \\(Overflows",
    ),
    "overflow of gradients between stages": (
        lambda: overflowing(5.0),
        (X, None),
        ["az_trainability"],
        proxies.UndefinedScoreError,
        "az_trainability.*NaN or infinite",
    ),
    "overflow of maps": (
        lambda: nn.Sequential(nn.Conv1d(4, 3, 1), Overflows(5.0), nn.Flatten(), nn.Linear(15, 3)),
        (torch.ones(6, 4, 5) + torch.rand(6, 4, 5), None),
        ["meco"],
        proxies.UndefinedScoreError,
        "meco.*first output that is not finite is that of '1' \\(Overflows",
    ),
    "falling flow": (
        Falling,
        (X, None),
        ["logsynflow"],
        proxies.UndefinedScoreError,
        r"'layer\.weight'.*use synflow",
    ),
    "no activation": (
        lambda: nn.Linear(5, 3),
        (X, Y),
        ["swap"],
        proxies.NetworkError,
        "no ReLU-like.*swap",
    ),
    "no normalisation": (mlp, (X, Y), ["zen"], proxies.NetworkError, "no BatchNorm.*zen"),
    "no pooling": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        (X, Y),
        ["zen"],
        proxies.NetworkError,
        "never pools.*flattens",
    ),
    "no noise": (
        lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 3)),
        (torch.ones(6, 2, dtype=torch.long), Y),
        ["zen"],
        proxies.BatchError,
        "integers.*zen",
    ),
    "noise is ignored": (
        lambda: Ignorant(),
        (torch.ones(6, 3, 4, 4), Y),
        ["zen"],
        proxies.UndefinedScoreError,
        "noise.*ignores its inputs",
    ),
    "kernel of equals": (
        mlp,
        (X[:1].repeat(3, 1), Y[:3]),
        ["ntk_condition"],
        proxies.UndefinedScoreError,
        "3 samples is singular.*equal",
    ),
    "kernel of one": (mlp, (X[:1], None), ["ntk_condition"], proxies.BatchError, "at least two"),
    "kernel without rows": (
        lambda: Summed(),
        (X, None),
        ["ntk_condition"],
        proxies.OutputError,
        r"shape \(3,\).*6 samples",
    ),
    "one stage": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)),
        (X, None),
        ["az_progressivity"],
        proxies.UndefinedScoreError,
        "one stage.*'0'",
    ),
    "one stage for gradients": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)),
        (X, None),
        ["az_trainability"],
        proxies.NetworkError,
        "has 1 at its top level, '0'",
    ),
    "parallel stages": (
        lambda: Parallel(),
        (X, None),
        ["az_trainability"],
        proxies.UndefinedScoreError,
        "'right' does not depend on 'left'",
    ),
    "constant stage": (
        lambda: Parallel(),
        (torch.ones(6, 5), None),
        ["az_expressivity", "linear_regions"],
        proxies.UndefinedScoreError,
        "'constant' are constant",
    ),
    "stages that crop": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
        ),
        (torch.ones(6, 3, 6, 6), None),
        ["az_trainability"],
        proxies.UndefinedScoreError,
        r"\(6, 6\) positions to \(4, 4\).*pad",
    ),
    "parametrised": (
        lambda: build("parametrised")[0],
        (X, Y),
        ["linear_regions"],
        proxies.NetworkError,
        r"'0\.weight' is parametrised.*linear_regions",
    ),
    "once differentiable": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), OnceDifferentiable(), nn.Linear(4, 3)),
        (X, Y),
        ["snip", "grasp"],
        proxies.SecondDerivativeError,
        "no second derivative, which is read by grasp",
    ),
    "wrong shape": (
        mlp,
        (X[:, :4], Y),
        ["snip"],
        proxies.PassError,
        "loss pass.*snip.*RuntimeError",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_message(case: str) -> None:
    make, batch, asked, kind, message = CASES[case]
    with pytest.raises(kind, match=f"(?s){message}") as caught:
        proxies.score_network(make(), batch, asked)
    assert type(caught.value) is kind
    assert isinstance(caught.value, proxies.ProxyError)


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no such thing")


def test_an_error_of_the_network_names_the_layer() -> None:
    network = nn.Sequential(nn.Linear(5, 3), nn.ModuleDict({"inner": nn.Sequential(Raises())}))
    network[1].forward = network[1]["inner"].forward  # type: ignore[method-assign]
    with pytest.raises(proxies.PassError, match=r"in the layer '1\.inner\.0' \(Raises\)"):
        proxies.score_network(network, (X, Y), ["snip"])


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "another exception": (lambda _: {}["absent"], proxies.ProxyFunctionError, "mine.*KeyError"),
    "no number": (lambda _: None, proxies.ProxyFunctionError, "mine failed with TypeError"),
    "a logarithm of 0": (lambda _: math.log(0), proxies.UndefinedScoreError, "mine has no value"),
    "division by 0": (lambda _: 1 / 0, proxies.UndefinedScoreError, "mine.*ZeroDivision"),
    "an overflow": (lambda _: math.exp(1e9), proxies.UndefinedScoreError, "mine.*OverflowError"),
    "no decomposition": (
        lambda _: torch.linalg.eigvalsh(torch.full((3, 3), float("nan"))).sum(),
        proxies.UndefinedScoreError,
        "mine.*LinAlgError",
    ),
    "at a layer": (
        lambda measured: [_raise(item) for item in measured[proxies.WEIGHT_GRADIENTS]],
        proxies.ProxyFunctionError,
        "mine failed about '0.weight'.*ValueError: too strange",
    ),
}


def _raise(item: Any) -> None:
    raise ValueError(f"too strange: {item.weight.shape}")


@pytest.mark.parametrize("case", FUNCTIONS)
def test_whatever_a_proxy_raises_is_a_typed_error_that_names_it(case: str) -> None:
    function, kind, message = FUNCTIONS[case]
    proxy = proxies.Proxy("mine", function, "maximize", (proxies.WEIGHT_GRADIENTS,), "none")
    with pytest.raises(kind, match=message) as caught:
        proxies.score_network(mlp(), (X, Y), ["snip", proxy, "jacob_cov"])
    assert caught.value.__cause__ is not None
    assert "snip" not in str(caught.value)


def test_an_operation_that_torch_cannot_differentiate_twice() -> None:
    def unsupported(output: Tensor, targets: Tensor) -> Tensor:
        log_probabilities = output.log_softmax(1).unsqueeze(1).expand(-1, 2, -1).transpose(0, 1)
        lengths = torch.ones(len(output), dtype=torch.long)
        labels = targets[:, None] % 2 + 1
        return nn.functional.ctc_loss(log_probabilities, labels, 2 * lengths, lengths)

    network = mlp()
    scores = proxies.score_network(network, (X, Y), ["snip"], loss_fn=unsupported)
    assert scores["snip"] > 0
    with pytest.raises(proxies.SecondDerivativeError, match="read by grasp") as caught:
        proxies.score_network(network, (X, Y), ["grasp"], loss_fn=unsupported)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_loss_of_several_numbers() -> None:
    with pytest.raises(proxies.OutputError, match="mean over the batch"):
        proxies.score_network(mlp(), (X, Y), ["snip"], loss_fn=lambda output, targets: output)


def test_an_output_of_integers() -> None:
    def predict(network: nn.Module, inputs: Tensor) -> Tensor:
        classes: Tensor = network(inputs).argmax(1)
        return classes

    with pytest.raises(proxies.OutputError, match="int64.*logits"):
        proxies.score_network(mlp(), (X, Y), ["synflow"], forward_fn=predict)


@pytest.mark.parametrize("proxy", ["params", "jacob_cov", "flops"])
def test_a_network_without_weights_is_fine_where_none_is_read(proxy: str) -> None:
    assert set(proxies.score_network(nn.Tanh(), (X, None), [proxy])) == {proxy}


def test_labels_of_a_regression_are_not_classes() -> None:
    scores = proxies.score_network(
        mlp(), (X, torch.full((6, 3), 40.0)), ["snip"], loss_fn=nn.functional.mse_loss
    )
    assert scores["snip"] > 0


def test_ignored_labels_are_not_out_of_range() -> None:
    targets = Y.clone()
    targets[0] = -100
    assert proxies.score_network(mlp(), (X, targets), ["snip"])["snip"] > 0


def test_one_minibatch_is_not_several() -> None:
    with pytest.raises(proxies.BatchError, match="given 1.*at least two pairs"):
        proxies.Minibatches((X, Y))


@pytest.mark.parametrize(("mu", "sigma"), [(float("nan"), 1.0), (1e6, 0.0), (1e6, -1.0)])
def test_reg_swap_wants_a_positive_sigma(mu: float, sigma: float) -> None:
    with pytest.raises(proxies.ProxyDefinitionError, match="positive sigma"):
        proxies.reg_swap(mu=mu, sigma=sigma)
