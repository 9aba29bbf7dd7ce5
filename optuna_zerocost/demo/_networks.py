"""The demo's space: small convolutional networks for 8×8 images, with conditional parameters.

The ways to go wrong are those of real spaces: saturating activations without normalisation, 1×1
kernels that never see a neighbour, four channels where thirty-two are needed. No single parameter
decides on its own. The linear layer sees 2×2 pixels since that spreads accuracy most: in first
trials the whole map made most networks good, and a single pixel left half of them below 30 %. How
accuracy spreads over random networks: ``zerocost-bench demo-survey``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from optuna.trial import BaseTrial
from torch import Tensor, nn

__all__ = ["build_model", "seeded_network", "suggest_training"]

_ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
_NORMALIZATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "batch": nn.BatchNorm2d,
    "group": lambda width: nn.GroupNorm(4, width),
}
_POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


class _Skip(nn.Module):
    """A block with its input, or a projection of it, added to its output."""

    def __init__(self, block: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.block, self.shortcut = block, shortcut

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.block(inputs) + self.shortcut(inputs)
        return outputs


def build_model(trial: BaseTrial) -> nn.Module:
    """Make the untrained network that ``trial`` describes, define-by-run.

    Returns:
        A network from images of shape (N, 1, 8, 8) to logits of shape (N, 10): 1 to 5 blocks
        (convolution, normalisation, activation), perhaps with skip connections and pooling.
    """
    depth = trial.suggest_int("depth", 1, 5)
    activation = trial.suggest_categorical("activation", list(_ACTIVATIONS))
    normalization = trial.suggest_categorical("normalization", list(_NORMALIZATIONS))
    skip = depth > 1 and trial.suggest_categorical("skip", [False, True])
    pooling = trial.suggest_categorical("pooling", ["none", *_POOLINGS])
    pooled_blocks = 0
    if pooling != "none":
        pooled_blocks = trial.suggest_int("pooled_blocks", 1, 2) if depth > 1 else 1

    layers: list[nn.Module] = []
    channels = 1
    for index in range(depth):
        width = trial.suggest_categorical(f"width_{index}", [4, 8, 16, 32])
        kernel = trial.suggest_categorical(f"kernel_{index}", [1, 3, 5])
        has_bias = normalization == "none"
        block: nn.Module = nn.Sequential(
            nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=has_bias),
            _NORMALIZATIONS[normalization](width),
            _ACTIVATIONS[activation](),
        )
        if skip and index > 0:  # one grey channel is not worth carrying along
            same = channels == width
            projection = nn.Identity() if same else nn.Conv2d(channels, width, 1, bias=False)
            block = _Skip(block, projection)
        layers.append(block)
        if index < pooled_blocks:
            layers.append(_POOLINGS[pooling](2))
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10)
    )


def seeded_network(trial: BaseTrial, seed: int) -> nn.Module:
    """Make the network with the weights that a ``ModelScorer`` of the same seed gives it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(trial)


def suggest_training(trial: BaseTrial) -> tuple[float, float]:
    """Choose learning rate and weight decay, both near good values: the architecture decides."""
    return (
        trial.suggest_float("learning_rate", 0.03, 0.15, log=True),
        trial.suggest_float("weight_decay", 1e-5, 1e-2, log=True),
    )
