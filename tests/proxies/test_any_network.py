"""Every proxy on every kind of network: a number, or an error that says what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from tests.proxies.networks import CLASSES, build_any
from tests.proxies.test_untouched import identities, random_states, state

SAMPLES = 4


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    targets: Callable[[], Any] = lambda: torch.arange(SAMPLES) % CLASSES
    loss_fn: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy
    forward_fn: Callable[[nn.Module, Any], Tensor] | None = None


def images() -> Tensor:
    return torch.randn(SAMPLES, 3, 8, 8)


def sequences() -> Tensor:
    return torch.randn(SAMPLES, 6, 8)


def tokens() -> Tensor:
    return torch.randint(0, 11, (SAMPLES, 6))


def image_network(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        *layers,
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
    )


class Volumes(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(2, 6, 3, padding=1),
            nn.BatchNorm3d(6),
            nn.ReLU(),
            nn.ConvTranspose3d(6, 4, 2, stride=2, groups=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(4, CLASSES),
        )


class Signals(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(8, 12, 3, padding=1, groups=2),
            nn.BatchNorm1d(12),
            nn.ReLU(),
            nn.ConvTranspose1d(12, 6, 2, stride=2),
            nn.GELU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(6, CLASSES),
        )


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, kdim=8, vdim=6, batch_first=True)
        self.values = nn.Linear(8, 6)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        attended, _ = self.attention(x, x, self.values(x))
        return self.head(torch.nn.functional.silu(self.norm(x + attended)).mean(1))


class TokenEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(11, 8, max_norm=1.0), nn.Embedding(6, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.size(1), device=tokens.device)
        return self.head(self.encoder(self.words(tokens) + self.places(places)).mean(1))


class TokenRecurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], frozen: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8).requires_grad_(not frozen)
        self.recurrent = kind(8, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        output = self.recurrent(self.words(tokens))[0]
        return self.head(output[:, -1]), output


class BagOfWords(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.EmbeddingBag(11, 16), nn.Linear(16, 32), nn.Mish(), nn.Linear(32, 3))


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        hidden = self.layer(self.words(tokens), src_key_padding_mask=mask == 0)
        return {"logits": self.head(hidden.mean(1)), "hidden": hidden}


class Tied(nn.Module):
    """Predicts the next token with the weight of its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.recurrent = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 11)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.recurrent(self.words(tokens))[0]).transpose(1, 2)


class Segmentation(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(inplace=True),
            nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1),
            nn.PReLU(),
            nn.Conv2d(8, CLASSES, 1),
        )


class Squeezed(nn.Module):
    """Squeeze-and-excitation in place, functional pooling, a frozen stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
        self.norm = nn.BatchNorm2d(8)
        self.down, self.up = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.hardswish(self.norm(self.stem(x)), inplace=True)
        gate = torch.sigmoid(self.up(nn.functional.relu(self.down(x.mean((2, 3), keepdim=True)))))
        x = x * gate
        return self.head(nn.functional.dropout(x.mean((2, 3)), 0.2, self.training))


def first(network: nn.Module, inputs: Any) -> Tensor:
    output: Tensor = network(inputs)[0]
    return output


def logits(network: nn.Module, inputs: Any) -> Tensor:
    output: Tensor = network(**inputs)["logits"]
    return output


def lazy() -> nn.Module:
    network = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))
    network(images())
    return network


CASES: dict[str, Case] = {
    "batch norm": Case(lambda: image_network(nn.BatchNorm2d(8), nn.ReLU(inplace=True)), images),
    "group norm": Case(lambda: image_network(nn.GroupNorm(2, 8), nn.SiLU(inplace=True)), images),
    "instance norm": Case(lambda: image_network(nn.InstanceNorm2d(8), nn.GELU()), images),
    "layer norm": Case(lambda: image_network(nn.LayerNorm((8, 8, 8)), nn.ELU()), images),
    "depthwise": Case(
        lambda: image_network(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6()), images
    ),
    "grouped": Case(
        lambda: image_network(nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4), nn.CELU()), images
    ),
    "dropout": Case(
        lambda: image_network(nn.Dropout2d(0.3), nn.Softplus(), nn.BatchNorm2d(8)), images
    ),
    "convolutions in 3 dimensions": Case(Volumes, lambda: torch.randn(SAMPLES, 2, 4, 4, 4)),
    "convolutions in 1 dimension": Case(Signals, lambda: torch.randn(SAMPLES, 8, 6)),
    "attention": Case(SelfAttention, sequences),
    "transformer": Case(TokenEncoder, tokens),
    "LSTM": Case(lambda: TokenRecurrent(nn.LSTM), tokens, forward_fn=first),
    "GRU": Case(lambda: TokenRecurrent(nn.GRU, frozen=True), tokens, forward_fn=first),
    "RNN": Case(lambda: TokenRecurrent(nn.RNN), tokens, forward_fn=first),
    "bag of words": Case(BagOfWords, tokens),
    "mapping": Case(
        Masked,
        lambda: {"tokens": tokens(), "mask": torch.ones(SAMPLES, 6, dtype=torch.long)},
        forward_fn=logits,
    ),
    "language model": Case(Tied, tokens, lambda: torch.randint(0, 11, (SAMPLES, 6))),
    "segmentation": Case(Segmentation, images, lambda: torch.randint(0, CLASSES, (SAMPLES, 8, 8))),
    "regression": Case(
        lambda: nn.Sequential(
            nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 24), nn.SELU(), nn.Linear(24, 1)
        ),
        lambda: torch.randn(SAMPLES, 8),
        lambda: torch.randn(SAMPLES, 1),
        nn.functional.mse_loss,
    ),
    "several labels": Case(
        lambda: nn.Sequential(nn.Linear(8, 24), nn.Hardswish(), nn.Linear(24, CLASSES)),
        lambda: torch.randn(SAMPLES, 8),
        lambda: torch.rand(SAMPLES, CLASSES).round(),
        nn.functional.binary_cross_entropy_with_logits,
    ),
    "squeeze and excitation": Case(Squeezed, images),
    "lazy": Case(lazy, images),
}

NO_BATCH_NORM = {"zen"}
INTEGERS = {"jacob_cov", "epe_nas", "zen"}
NO_ACTIVATION = {"naswot", "swap", "linear_regions"}
ONE_STAGE = {"az_progressivity", "az_trainability"}
WITHOUT_VALUE: dict[str, set[str]] = {
    "batch norm": set(),
    "group norm": NO_BATCH_NORM,
    "instance norm": NO_BATCH_NORM,
    "layer norm": NO_BATCH_NORM,
    "depthwise": NO_BATCH_NORM,
    "grouped": NO_BATCH_NORM,
    "dropout": set(),
    "convolutions in 3 dimensions": set(),
    "convolutions in 1 dimension": set(),
    "attention": NO_BATCH_NORM,
    "transformer": INTEGERS,
    "LSTM": INTEGERS | NO_ACTIVATION,
    "GRU": INTEGERS | NO_ACTIVATION,
    "RNN": INTEGERS | NO_ACTIVATION,
    "bag of words": INTEGERS | {"meco"},
    "mapping": INTEGERS,
    "language model": INTEGERS | NO_ACTIVATION | {"logsynflow"},  # its flow through gates falls
    "segmentation": {"epe_nas", "zen"},
    "regression": {"epe_nas", "zen", "meco"},
    "several labels": {"epe_nas", "zen", "meco"} | ONE_STAGE,
    "squeeze and excitation": set(),
    "lazy": NO_BATCH_NORM | ONE_STAGE,
}


def prepared(name: str) -> tuple[nn.Module, tuple[Any, Any], dict[str, Any]]:
    case = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batch = case.inputs(), case.targets()
    return build_any(case.make), batch, {"loss_fn": case.loss_fn, "forward_fn": case.forward_fn}


@pytest.mark.parametrize("proxy", proxies.names())
@pytest.mark.parametrize("name", CASES)
def test_a_number_or_an_error_that_says_what_to_do(name: str, proxy: str) -> None:
    network, batch, functions = prepared(name)
    before = identities(network), state(network), random_states()
    if proxy in WITHOUT_VALUE[name]:
        with pytest.raises(proxies.ProxyError, match=proxy) as caught:
            proxies.score_network(network, batch, [proxy], **functions)
        assert type(caught.value) not in (proxies.ProxyError, proxies.PassError)
        assert caught.value.__cause__ is None
    else:
        score = proxies.score_network(network, batch, [proxy], **functions)[proxy]
        assert type(score) is float
        assert math.isfinite(score)
    assert (identities(network), state(network), random_states()) == before


@pytest.mark.parametrize("name", CASES)
def test_all_at_once_are_the_same_bits_as_each_alone(name: str) -> None:
    asked = sorted(set(proxies.names()) - WITHOUT_VALUE[name] - {"grasp"})
    network, batch, functions = prepared(name)
    together = proxies.score_network(network, batch, asked, **functions)
    for proxy in asked:
        alone = proxies.score_network(network, batch, [proxy], **functions)
        assert together[proxy] == alone[proxy]


def test_a_flow_starts_at_the_embedding() -> None:
    """The tokens and the embedding's values do not matter, only its width does."""
    network, batch, _ = prepared("bag of words")
    expected = proxies.score_network(network, batch, ["synflow", "logsynflow"])
    with torch.no_grad():
        network[0].weight.zero_()
    assert proxies.score_network(network, (batch[0] * 0, None), expected) == expected
    layers = nn.Sequential(*list(network)[1:])
    ones = (torch.ones(SAMPLES, 16), None)
    assert proxies.score_network(layers, ones, expected) == expected


def test_queries_and_keys_add_nothing_to_a_flow() -> None:
    network, batch, _ = prepared("attention")
    expected = proxies.score_network(network, batch, ["synflow", "logsynflow"])
    with torch.no_grad():
        network.attention.q_proj_weight.mul_(3.0)
        network.attention.k_proj_weight.mul_(3.0)
    assert proxies.score_network(network, batch, expected) == expected


@pytest.mark.parametrize("seed", range(4))
def test_the_flow_of_a_deep_transformer_is_not_lost_in_rounding_errors(seed: int) -> None:
    def make() -> nn.Module:
        layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        return nn.Sequential(nn.Linear(8, 64), encoder, nn.Linear(64, CLASSES))

    network = build_any(make, seed)
    batch = (torch.zeros(1, 6, 8), None)
    expected = proxies.score_network(network, batch, ["synflow"])["synflow"]
    # One position attends to itself alone, so that there is nothing for softmax to weigh.
    alone = proxies.score_network(network, (torch.zeros(1, 1, 8), None), ["synflow"])["synflow"]
    assert expected == pytest.approx(6 * alone, rel=1e-9)


class _Attention(torch.autograd.Function):
    """Attention with a backward of its own, which no graph shows."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        return None, None, gradient.mean(1, keepdim=True).expand_as(gradient)


class Attends(nn.Module):
    """Attention between positions that differ, written in one of many ways."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.project = nn.Linear(8, 24, bias=False)
        self.head = nn.Linear(8, CLASSES)
        self.places = nn.Parameter(torch.randn(6, 8))
        if kind == "module":
            self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attend(x))

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x + self.places).chunk(3, dim=-1)
        if self.kind == "fused":
            return nn.functional.scaled_dot_product_attention(q, k, v)
        if self.kind == "own function":
            return _Attention.apply(q, k, v)
        if self.kind == "uniform":
            return v.mean(1, keepdim=True).expand_as(v)
        scores = q @ k.transpose(1, 2) / 8**0.5
        if self.kind == "constant":
            return torch.softmax(scores, dim=-1).detach() @ v
        if self.kind == "softmax":
            return torch.softmax(scores, dim=-1) @ v
        if self.kind == "functional":
            return nn.functional.softmax(scores, dim=-1) @ v
        if self.kind == "module":
            return self.softmax(scores) @ v
        return scores.softmax(-1) @ v


@pytest.mark.parametrize(
    ("kind", "same_as"),
    [
        ("fused", "uniform"),
        ("own function", "uniform"),
        ("softmax", "constant"),
        ("functional", "constant"),
        ("module", "constant"),
        ("method", "constant"),
    ],
)
def test_attention_is_held_constant_in_a_flow_however_it_is_written(
    kind: str, same_as: str
) -> None:
    batch = (torch.zeros(1, 6, 8), None)
    network, expected = (build_any(lambda name=name: Attends(name)) for name in (kind, same_as))
    score = proxies.score_network(network, batch, ["synflow"])["synflow"]
    assert score == pytest.approx(proxies.score_network(expected, batch, ["synflow"])["synflow"])


def test_an_embedding_that_limits_norms_is_left_as_it_was_and_scored_as_it_runs() -> None:
    network = build_any(
        lambda: nn.Sequential(nn.Embedding(9, 4, max_norm=0.5), nn.Flatten(), nn.Linear(8, 3))
    )
    batch = (torch.arange(6).reshape(3, 2), torch.arange(3))
    before = network[0].weight.tolist()
    score = proxies.score_network(network, batch, ["snip"])["snip"]
    assert network[0].weight.tolist() == before
    nn.functional.cross_entropy(network(batch[0]), batch[1]).backward()
    weight = network[2].weight
    assert weight.grad is not None
    assert score == pytest.approx(float((weight.detach() * weight.grad).abs().sum()), rel=1e-5)
