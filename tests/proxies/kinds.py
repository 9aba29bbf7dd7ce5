"""Networks of every kind that users bring, each with a minibatch, a loss and what has no value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost import proxies
from optuna_zerocost.proxies import BatchError, LabelsError, NetworkError, UndefinedScoreError
from tests.proxies.networks import CLASSES, NETWORKS, UNDEFINED, build, build_any

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
    "depthwise convolution": Case(
        lambda: image_network(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6()), images
    ),
    "grouped": Case(
        lambda: image_network(nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4), nn.CELU()), images
    ),
    "dropout of channels": Case(
        lambda: image_network(nn.Dropout2d(0.3), nn.Softplus(), nn.BatchNorm2d(8)), images
    ),
    "convolutions in 3 dimensions": Case(Volumes, lambda: torch.randn(SAMPLES, 2, 4, 4, 4)),
    "convolutions in 1 dimension": Case(Signals, lambda: torch.randn(SAMPLES, 8, 6)),
    "attention of one layer": Case(SelfAttention, sequences),
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

KINDS = (*NETWORKS, *CASES)

# Where a proxy has no value, and the error that says so.
Errors = dict[str, type[proxies.ProxyError]]
NO_BATCH_NORM: Errors = {"zen": NetworkError}
INTEGERS: Errors = dict.fromkeys(("jacob_cov", "epe_nas", "zen"), BatchError)
NO_ACTIVATION: Errors = dict.fromkeys(("naswot", "swap", "linear_regions"), NetworkError)
NO_CLASSES: Errors = {"epe_nas": LabelsError, "zen": NetworkError}
NO_MAPS: Errors = {"meco": NetworkError}
ONE_STAGE: Errors = {"az_progressivity": UndefinedScoreError, "az_trainability": NetworkError}
WITHOUT_VALUE: dict[str, Errors] = {
    "group norm": NO_BATCH_NORM,
    "instance norm": NO_BATCH_NORM,
    "layer norm": NO_BATCH_NORM,
    "depthwise convolution": NO_BATCH_NORM,
    "grouped": NO_BATCH_NORM,
    "attention of one layer": NO_BATCH_NORM,
    "transformer": INTEGERS,
    "LSTM": INTEGERS | NO_ACTIVATION,
    "GRU": INTEGERS | NO_ACTIVATION,
    "RNN": INTEGERS | NO_ACTIVATION,
    "bag of words": INTEGERS | NO_MAPS,
    "mapping": INTEGERS,
    # The flow through its gates falls.
    "language model": INTEGERS | NO_ACTIVATION | {"logsynflow": UndefinedScoreError},
    "segmentation": NO_CLASSES,
    "regression": NO_CLASSES | NO_MAPS,
    "several labels": NO_CLASSES | NO_MAPS | ONE_STAGE,
    "lazy": NO_BATCH_NORM | ONE_STAGE,
}


def without_value(kind: str) -> Errors:
    """Return the proxies that have no value for a kind of network, with their errors."""
    if kind in NETWORKS:
        return {proxy: errors[kind] for proxy, errors in UNDEFINED.items() if kind in errors}
    return WITHOUT_VALUE.get(kind, {})


def prepared(kind: str) -> tuple[nn.Module, tuple[Any, Any], dict[str, Any]]:
    """Return a network, a minibatch, and the functions with which it is scored."""
    if kind in NETWORKS:
        return *build(kind), {}
    case = CASES[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batch = case.inputs(), case.targets()
    return build_any(case.make), batch, {"loss_fn": case.loss_fn, "forward_fn": case.forward_fn}
