"""A space of more than thirty parameters, most of which matter little."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zerocost_bench.studies.digit_studies import CLASSES, DigitsStudy
from zerocost_bench.studies.study import Architecture, Training
from zerocost_bench.studies.training import accuracy, digits, fit, optimizer_named

__all__ = ["ManyParameters"]

_BLOCKS = 4
_MOMENTUM = {"SGD", "RMSprop"}


class _Block(nn.Module):
    """A convolution with what comes around it, and a way past it where asked for."""

    def __init__(self, channels: int, block: Architecture) -> None:
        super().__init__()
        width, kernel = block["width"], block["kernel"]
        activation: Callable[[], nn.Module] = getattr(nn, block["activation"])
        self.way = nn.Sequential(
            nn.Conv2d(channels, width, kernel, padding=kernel // 2),
            nn.BatchNorm2d(width) if block["norm"] else nn.Identity(),
            activation(),
            nn.Dropout2d(block["dropout"]),
        )
        self.past = nn.Conv2d(channels, width, 1) if block["past"] else None

    def forward(self, images: Tensor) -> Tensor:
        """Return images with as many pixels."""
        found: Tensor = self.way(images)
        return found if self.past is None else found + self.past(images)


class ManyParameters(DigitsStudy):
    """Convolutional networks of four blocks, each with choices of its own, and a whole recipe."""

    name = "many"
    title = "digits, 38 parameters of networks and of their training"
    epochs = 3
    proxies = ("synflow", "snip", "params")

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for six parameters of each block, and three of the head."""
        blocks = [
            {
                "width": trial.suggest_int(f"width{block}", 4, 16),
                "kernel": trial.suggest_categorical(f"kernel{block}", [1, 3, 5]),
                "activation": trial.suggest_categorical(
                    f"activation{block}", ["ReLU", "Tanh", "SiLU"]
                ),
                "norm": trial.suggest_categorical(f"norm{block}", [True, False]),
                "past": trial.suggest_categorical(f"past{block}", [True, False]),
                "dropout": trial.suggest_float(f"dropout{block}", 0.0, 0.4),
            }
            for block in range(_BLOCKS)
        ]
        return {
            "blocks": blocks,
            "pooling": trial.suggest_categorical("pooling", ["mean", "max"]),
            "pixels": trial.suggest_int("pixels", 1, 3),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        }

    def suggest_training(self, trial: Any) -> Training:
        """Ask for eleven parameters."""
        return {
            "optimizer": trial.suggest_categorical("optimizer", ["SGD", "Adam", "RMSprop"]),
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "momentum": trial.suggest_float("momentum", 0.0, 0.95),
            "wd": trial.suggest_float("wd", 1e-6, 1e-2, log=True),
            "batch": trial.suggest_categorical("batch", [40, 80, 160]),
            "smoothing": trial.suggest_float("smoothing", 0.0, 0.2),
            "rise": trial.suggest_float("rise", 0.0, 0.3),
            "fall": trial.suggest_categorical("fall", ["none", "linear", "cosine"]),
            "clip": trial.suggest_float("clip", 0.1, 10.0, log=True),
            "gain": trial.suggest_float("gain", 0.5, 2.0, log=True),
            "noise": trial.suggest_float("noise", 0.0, 0.3),
        }

    def make_network(self, architecture: Architecture) -> nn.Module:
        """Stack the blocks, pool, and classify."""
        pool = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}[architecture["pooling"]]
        pixels = architecture["pixels"]
        stack: list[nn.Module] = []
        channels = 1
        for block in architecture["blocks"]:
            stack.append(_Block(channels, block))
            channels = block["width"]
        return nn.Sequential(
            *stack,
            pool(pixels),
            nn.Flatten(),
            nn.Dropout(architecture["dropout"]),
            nn.Linear(channels * pixels**2, CLASSES),
        )

    def make_optimizer(self, network: nn.Module, training: Training) -> torch.optim.Optimizer:
        """Return the optimizer; Adam's first decay takes the place of a momentum."""
        kind = training["optimizer"]
        named: dict[str, Any] = {"lr": training["lr"], "weight_decay": training["wd"]}
        if kind in _MOMENTUM:
            named["momentum"] = training["momentum"]
        else:
            named["betas"] = (training["momentum"], 0.999)
        return optimizer_named(kind, network, **named)

    def train(self, architecture: Architecture, training: Training) -> float:
        """Return the validation accuracy after the last epoch."""
        network = self.make_network(architecture)
        with torch.no_grad():
            for weight in network.parameters():
                if weight.dim() > 1:
                    weight.mul_(training["gain"])
        optimizer = self.make_optimizer(network, training)

        def clip(step: int, steps: int) -> None:
            nn.utils.clip_grad_norm_(network.parameters(), training["clip"])

        def set_rate(step: int, steps: int) -> None:
            for group in optimizer.param_groups:
                group["lr"] = training["lr"] * _share_of_rate(training, step / steps)

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            return nn.functional.cross_entropy(
                outputs, targets, label_smoothing=training["smoothing"]
            )

        samples = digits()
        known = samples[: self.training_samples]
        noise = training["noise"] * torch.randn_like(known.inputs)
        fit(
            network,
            type(known)(known.inputs + noise, known.targets),
            optimizer,
            epochs=self.epochs,
            batch=training["batch"],
            loss=loss,
            each_step=(clip, set_rate),
        )
        return accuracy(network, samples[self.validation_from :])


def _share_of_rate(training: Training, done: float) -> float:
    """Return by what the learning rate is multiplied when a share of the training is done."""
    rise: float = training["rise"]
    if done < rise:
        return (done + 0.02) / (rise + 0.02)
    left = 1 - (done - rise) / (1 - rise)
    if training["fall"] == "linear":
        return left
    return math.sin(math.pi / 2 * left) ** 2 if training["fall"] == "cosine" else 1.0
