"""Small networks of many kinds, and a minibatch for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost import proxies

CLASSES = 3
SAMPLES = 6


class Residual(nn.Module):
    """A block with BatchNorm, a skip connection and an addition in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.other_norm = nn.BatchNorm2d(channels, affine=False, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.other_norm(self.second(torch.relu(self.norm(self.first(x)))))
        out += x
        return torch.relu(out)


class DeadBranch(nn.Module):
    """One layer is called and does not reach the output, one is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(5, 7)
        self.dead = nn.Linear(7, 7)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.features(x))
        self.dead(hidden)
        return self.head(hidden)


class Shared(nn.Module):
    """One layer called twice, and a second layer that holds the same weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.tied = nn.Linear(5, 5)
        self.tied.weight = self.first.weight
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tied(torch.tanh(self.first(torch.tanh(self.first(x))))))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(5, 4, num_layers=2, batch_first=True)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x)).mean(1))


class PreActivation(nn.Module):
    """Normalisation and activation come first, and the activation overwrites what it is given.

    The shortcut reads what precedes the normalisation, which is a tensor of its own.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.norm, self.activation = nn.BatchNorm2d(4), activation
        self.conv, self.gate = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(self.activation(self.norm(x)))
        return x + out * torch.sigmoid(self.gate(out.mean((2, 3), keepdim=True)))


def small_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    )


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        Residual(4),
        Residual(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, CLASSES),
    )


def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 1, bias=True),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.ReLU6(),
        nn.Conv2d(6, 8, 3, groups=2),
        nn.ConvTranspose2d(8, 6, 3, groups=2),
        nn.SiLU(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    )


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 9), nn.ReLU(), nn.Linear(9, 9), nn.GELU(), nn.Linear(9, 3))


def conv1d() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(5, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Flatten(), nn.Linear(12, CLASSES)
    )


def in_place(inplace: bool = True) -> nn.Module:
    """Activations in place right behind layers, also where the overwritten value matters."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ELU(inplace=inplace),
        nn.Conv2d(4, 4, 3),
        nn.Hardswish(inplace=inplace),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )


def preactivation(inplace: bool = True) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        PreActivation(nn.ReLU(inplace=inplace)),
        PreActivation(nn.SiLU(inplace=inplace)),
        PreActivation(nn.ReLU(inplace=inplace)),
        nn.Flatten(),
        nn.Linear(64, CLASSES),
    )


def frozen() -> nn.Module:
    network = mlp()
    network[2].requires_grad_(False)
    return network


def dropout() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 24), nn.LayerNorm(24), nn.Dropout(0.5), nn.GELU(), nn.Linear(24, CLASSES)
    )


def parametrised() -> nn.Module:
    return nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 9)), nn.Tanh(), nn.Linear(9, CLASSES)
    )


IMAGES, VECTORS, SEQUENCES = (3, 6, 6), (5,), (4, 5)

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "small_cnn": (small_cnn, IMAGES),
    "residual": (residual, IMAGES),
    "depthwise": (depthwise, IMAGES),
    "mlp": (mlp, VECTORS),
    "mlp_on_sequences": (lambda: nn.Sequential(Attention().embed, Pooled()), SEQUENCES),
    "conv1d": (conv1d, (5, 4)),
    "in_place": (in_place, IMAGES),
    "dead_branch": (DeadBranch, VECTORS),
    "shared": (Shared, VECTORS),
    "frozen": (frozen, VECTORS),
    "dropout": (dropout, VECTORS),
    "parametrised": (parametrised, VECTORS),
    "recurrent": (Recurrent, SEQUENCES),
    "attention": (Attention, SEQUENCES),
}


class Pooled(nn.Module):
    """Linear layers on a sequence, then the mean over its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(8, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(x))).mean(1)


def build(name: str, seed: int = 0) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Return a network and a minibatch for it, both determined by ``seed``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        make, shape = NETWORKS[name]
        network = make()
        inputs = torch.randn(SAMPLES, *shape)
        return network, (inputs, torch.arange(SAMPLES) % CLASSES)


def build_any(make: Callable[[], nn.Module], seed: int = 0) -> Any:
    """Return what ``make`` builds under ``seed``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


_VECTORS_ONLY = ("mlp", "dead_branch", "shared", "frozen", "dropout", "parametrised", "recurrent")
_NO_ACTIVATION = ("mlp_on_sequences", "dead_branch", "shared", "parametrised", "recurrent")
_ONE_STAGE = ("mlp_on_sequences", "conv1d", "dropout", "parametrised", "recurrent")

# Where a proxy has no value, and the error that says so.
UNDEFINED: dict[str, dict[str, type[proxies.ProxyError]]] = {
    "meco": dict.fromkeys(_VECTORS_ONLY, proxies.NetworkError),
    "naswot": dict.fromkeys(_NO_ACTIVATION, proxies.NetworkError),
    "zen": dict.fromkeys(set(NETWORKS) - {"residual"}, proxies.NetworkError),
    "swap": dict.fromkeys(_NO_ACTIVATION, proxies.NetworkError),
    "linear_regions": dict.fromkeys(_NO_ACTIVATION, proxies.NetworkError),
    "ntk_condition": {"parametrised": proxies.NetworkError},
    "az_expressivity": {"parametrised": proxies.NetworkError},
    "az_progressivity": {
        **dict.fromkeys(_ONE_STAGE, proxies.UndefinedScoreError),
        "parametrised": proxies.NetworkError,
    },
    "az_trainability": {
        "depthwise": proxies.UndefinedScoreError,  # 6×6 positions become 4×4
        **dict.fromkeys(_ONE_STAGE, proxies.NetworkError),
    },
}


def is_defined(proxy: str, network_name: str) -> bool:
    """Return whether a proxy has a value for a network."""
    return network_name not in UNDEFINED.get(proxy, {})


def defined(network_name: str) -> list[str]:
    """Return the proxies that have a value for a network."""
    return [name for name in proxies.names() if is_defined(name, network_name)]
