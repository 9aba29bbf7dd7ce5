"""Four families of networks on scikit-learn's handwritten digits, trained for a few epochs."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zerocost_bench.studies.study import Architecture, Training, TrainingStudy
from zerocost_bench.studies.training import Samples, accuracy, digits, fit, optimizer_named

__all__ = ["Convolutional", "Dense", "DigitsStudy", "Recurrent", "Transformer"]

CLASSES = 10


class DigitsStudy(TrainingStudy):
    """A study that trains on the first digits and validates on the last.

    Attributes:
        epochs: Of a training.
        training_samples: The first of the digits.
        validation_from: The place of the first digit that is validated on.
    """

    epochs: int
    training_samples: int = 900
    validation_from: int = 900
    floor = 0.5 / (1797 - 900)

    def arranged(self, samples: Samples) -> Samples:
        """Return digits of shape (samples, 1, 8, 8) as the networks read them."""
        return samples

    def score_batch(self) -> tuple[Tensor, Tensor]:
        """Return the training digits."""
        samples = self.arranged(digits()[: self.training_samples])
        return samples.inputs, samples.targets

    @abc.abstractmethod
    def make_optimizer(self, network: nn.Module, training: Training) -> torch.optim.Optimizer:
        """Return the optimizer of a network."""

    def train(self, architecture: Architecture, training: Training) -> float:
        """Return the validation accuracy after the last epoch."""
        samples = self.arranged(digits())
        network = self.make_network(architecture)
        fit(
            network,
            samples[: self.training_samples],
            self.make_optimizer(network, training),
            epochs=self.epochs,
            batch=training.get("batch", 64),
        )
        return accuracy(network, samples[self.validation_from :])


class Convolutional(DigitsStudy):
    """Convolutional networks; how they are trained is searched as well."""

    name = "digits-cnn"
    title = "digits, convolutional networks of up to 4 layers and their training"
    epochs = 3
    training_samples = 800
    proxies = ("synflow", "snip", "params")

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for activation, normalisation, depth, widths, kernels and dropout."""
        activation = trial.suggest_categorical("activation", ["ReLU", "Tanh", "Sigmoid", "SiLU"])
        norm = trial.suggest_categorical("norm", [True, False])
        layers = [
            (
                trial.suggest_categorical(f"width{layer}", [4, 8, 16, 32]),
                trial.suggest_categorical(f"kernel{layer}", [1, 3, 5]),
            )
            for layer in range(trial.suggest_int("depth", 1, 4))
        ]
        return {
            "activation": activation,
            "norm": norm,
            "layers": layers,
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        }

    def suggest_training(self, trial: Any) -> Training:
        """Ask for optimizer, learning rate, batch size and weight decay."""
        return {
            "optimizer": trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"]),
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "batch": trial.suggest_categorical("batch", [32, 64, 128]),
            "wd": trial.suggest_float("wd", 1e-6, 1e-2, log=True),
        }

    def make_network(self, architecture: Architecture) -> nn.Module:
        """Stack the layers, pool to 2×2, and classify."""
        activation: Callable[[], nn.Module] = getattr(nn, architecture["activation"])
        stack: list[nn.Module] = []
        channels = 1
        for width, kernel in architecture["layers"]:
            stack.append(nn.Conv2d(channels, width, kernel, padding=kernel // 2))
            if architecture["norm"]:
                stack.append(nn.BatchNorm2d(width))
            stack.append(activation())
            channels = width
        return nn.Sequential(
            *stack,
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(architecture["dropout"]),
            nn.Linear(4 * channels, CLASSES),
        )

    def make_optimizer(self, network: nn.Module, training: Training) -> torch.optim.Optimizer:
        """Return the optimizer by its name in torch."""
        kind = training["optimizer"]
        return optimizer_named(kind, network, lr=training["lr"], weight_decay=training["wd"])


class Dense(DigitsStudy):
    """Dense networks, as in the first example of many tutorials."""

    name = "digits-mlp"
    title = "digits, dense networks of up to 3 layers and their training"
    epochs = 4
    proxies = ("synflow", "snip")

    def arranged(self, samples: Samples) -> Samples:
        """Return rows of 64 pixels."""
        return Samples(samples.inputs.flatten(1), samples.targets)

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for depth, widths and dropouts."""
        layers = [
            (
                trial.suggest_int(f"n_units_l{layer}", 4, 128),
                trial.suggest_float(f"dropout_l{layer}", 0.2, 0.5),
            )
            for layer in range(trial.suggest_int("n_layers", 1, 3))
        ]
        return {"layers": layers}

    def suggest_training(self, trial: Any) -> Training:
        """Ask for optimizer and learning rate."""
        return {
            "optimizer": trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"]),
            "lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True),
        }

    def make_network(self, architecture: Architecture) -> nn.Module:
        """Stack the layers and classify."""
        stack: list[nn.Module] = []
        features = 64
        for width, dropout in architecture["layers"]:
            stack += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout)]
            features = width
        return nn.Sequential(*stack, nn.Linear(features, CLASSES))

    def make_optimizer(self, network: nn.Module, training: Training) -> torch.optim.Optimizer:
        """Return the optimizer by its name in torch."""
        return optimizer_named(training["optimizer"], network, lr=training["lr"])


class _LastState(nn.Module):
    """A recurrent network over rows of pixels that classifies by its last outputs."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        kind: Callable[..., nn.Module] = getattr(nn, architecture["cell"])
        hidden, both = architecture["hidden"], architecture["both_ways"]
        self.cells = kind(
            8,
            hidden,
            architecture["layers"],
            batch_first=True,
            bidirectional=both,
            dropout=architecture["between"],
        )
        self.dropout = nn.Dropout(architecture["dropout"])
        self.classify = nn.Linear(hidden * (2 if both else 1), CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        """Return logits."""
        outputs: Tensor = self.cells(rows)[0]
        logits: Tensor = self.classify(self.dropout(outputs[:, -1]))
        return logits


class _RowsStudy(DigitsStudy):
    """A study of networks that read the rows of a digit one after the other."""

    def arranged(self, samples: Samples) -> Samples:
        """Return sequences of shape (samples, 8 rows, 8 pixels)."""
        return Samples(samples.inputs.squeeze(1), samples.targets)


class Recurrent(_RowsStudy):
    """LSTMs, GRUs and plain recurrent networks over the rows."""

    name = "digits-lstm"
    title = "digits, recurrent networks over the rows and their training"
    epochs = 4
    proxies = ("grad_norm", "snip", "params")

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for the cell, its size, layers, directions and dropouts."""
        layers = trial.suggest_int("layers", 1, 2)
        return {
            "cell": trial.suggest_categorical("cell", ["LSTM", "GRU", "RNN"]),
            "layers": layers,
            "hidden": trial.suggest_int("hidden", 8, 64, log=True),
            "both_ways": trial.suggest_categorical("both_ways", [True, False]),
            "between": trial.suggest_float("between", 0.0, 0.5) if layers > 1 else 0.0,
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        }

    def suggest_training(self, trial: Any) -> Training:
        """Ask for optimizer, learning rate, batch size, and momentum where there is one."""
        kind = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
        return {
            "optimizer": kind,
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "batch": trial.suggest_categorical("batch", [32, 64, 128]),
            "momentum": trial.suggest_float("momentum", 0.0, 0.99) if kind == "SGD" else None,
        }

    def make_network(self, architecture: Architecture) -> nn.Module:
        """Make the network."""
        return _LastState(architecture)

    def make_optimizer(self, network: nn.Module, training: Training) -> torch.optim.Optimizer:
        """Return the optimizer by its name in torch."""
        momentum = training["momentum"]
        named = {} if momentum is None else {"momentum": momentum}
        return optimizer_named(training["optimizer"], network, lr=training["lr"], **named)


class _RowEncoder(nn.Module):
    """A transformer's encoder over rows of pixels that classifies by the mean of its outputs."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture["heads"] * architecture["head_width"]
        self.embed = nn.Linear(8, width)
        self.positions = nn.Parameter(0.02 * torch.randn(8, width))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width,
                    architecture["heads"],
                    dim_feedforward=width * architecture["expansion"],
                    dropout=architecture["dropout"],
                    activation=architecture["activation"],
                    batch_first=True,
                    norm_first=architecture["norm_first"],
                )
                for _ in range(architecture["blocks"])
            )
        )
        self.classify = nn.Linear(width, CLASSES)

    def forward(self, rows: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.classify(self.blocks(self.embed(rows) + self.positions).mean(1))
        return logits


class Transformer(_RowsStudy):
    """Small transformers over the rows."""

    name = "digits-transformer"
    title = "digits, transformers over the rows and their training"
    epochs = 5
    proxies = ("grad_norm", "snip", "params")

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for blocks, heads, widths, activation, place of the norms and dropout."""
        return {
            "blocks": trial.suggest_int("blocks", 1, 2),
            "heads": trial.suggest_categorical("heads", [1, 2, 4]),
            "head_width": trial.suggest_categorical("head_width", [4, 8, 16]),
            "expansion": trial.suggest_int("expansion", 1, 4),
            "activation": trial.suggest_categorical("activation", ["relu", "gelu"]),
            "norm_first": trial.suggest_categorical("norm_first", [True, False]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        }

    def suggest_training(self, trial: Any) -> Training:
        """Ask for learning rate, weight decay, batch size and Adam's second decay."""
        return {
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "wd": trial.suggest_float("wd", 1e-5, 1e-1, log=True),
            "batch": trial.suggest_categorical("batch", [64, 128]),
            "beta2": trial.suggest_float("beta2", 0.9, 0.999),
        }

    def make_network(self, architecture: Architecture) -> nn.Module:
        """Make the network."""
        return _RowEncoder(architecture)

    def make_optimizer(self, network: nn.Module, training: Training) -> torch.optim.Optimizer:
        """Return AdamW."""
        return torch.optim.AdamW(
            network.parameters(),
            lr=training["lr"],
            weight_decay=training["wd"],
            betas=(0.9, training["beta2"]),
        )
