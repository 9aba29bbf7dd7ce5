"""Networks on tables that come with scikit-learn, with hyperparameters that depend on others."""

from __future__ import annotations

import abc
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zerocost_bench.studies.study import Architecture, Training, TrainingStudy
from zerocost_bench.studies.training import (
    Samples,
    accuracy,
    fit,
    folds,
    optimizer_named,
    standardised,
)

__all__ = ["Regression", "Tabular"]


class _RowsOfNumbers(TrainingStudy):
    """Dense networks, worth the mean of a cross-validation.

    Attributes:
        table: Its name in ``sklearn.datasets``.
        outputs: Of a network.
        epochs: Of a training.
        folds: Of the cross-validation.
    """

    table: str
    outputs: int
    epochs: int
    folds: int = 3

    def score_batch(self) -> tuple[Tensor, Tensor]:
        """Return all samples; no score is told what they are validated on."""
        samples = standardised(self.table)
        return samples.inputs, samples.targets

    def suggest_architecture(self, trial: Any) -> Architecture:
        """Ask for depth, widths, activation, normalisation, and dropout if there is any."""
        widths = [
            trial.suggest_int(f"width{layer}", 4, 128, log=True)
            for layer in range(trial.suggest_int("depth", 1, 4))
        ]
        norm = trial.suggest_categorical("norm", ["none", "batch", "layer"])
        has_dropout = trial.suggest_categorical("has_dropout", [True, False])
        return {
            "widths": widths,
            "norm": norm,
            "activation": trial.suggest_categorical("activation", ["ReLU", "Tanh", "SiLU"]),
            "dropout": trial.suggest_float("dropout", 0.05, 0.6) if has_dropout else 0.0,
        }

    def suggest_training(self, trial: Any) -> Training:
        """Ask for the optimizer and what it has, and for the schedule and what it has."""
        kind = trial.suggest_categorical("optimizer", ["SGD", "Adam", "RMSprop"])
        named: dict[str, Any] = {"lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True)}
        if kind == "SGD":
            named["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
            named["nesterov"] = named["momentum"] > 0 and trial.suggest_categorical(
                "nesterov", [True, False]
            )
        elif kind == "Adam":
            named["betas"] = (0.9, trial.suggest_float("beta2", 0.9, 0.999))
        else:
            named["alpha"] = trial.suggest_float("alpha", 0.8, 0.999)
        if trial.suggest_categorical("decays_weights", [True, False]):
            named["weight_decay"] = trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True)
        schedule = trial.suggest_categorical("schedule", ["constant", "cosine", "steps"])
        return {
            "optimizer": kind,
            "named": named,
            "schedule": schedule,
            "drop": trial.suggest_float("drop", 0.1, 0.9) if schedule == "steps" else 1.0,
            "batch": trial.suggest_categorical("batch", [16, 32, 64]),
        }

    def make_network(self, architecture: Architecture) -> nn.Module:
        """Stack the layers."""
        activation: Callable[[], nn.Module] = getattr(nn, architecture["activation"])
        norms: dict[str, Callable[[int], list[nn.Module]]] = {
            "none": lambda width: [],
            "batch": lambda width: [nn.BatchNorm1d(width)],
            "layer": lambda width: [nn.LayerNorm(width)],
        }
        stack: list[nn.Module] = []
        features = standardised(self.table).inputs.shape[1]
        for width in architecture["widths"]:
            stack += [nn.Linear(features, width), *norms[architecture["norm"]](width)]
            stack += [activation(), nn.Dropout(architecture["dropout"])]
            features = width
        return nn.Sequential(*stack, nn.Linear(features, self.outputs))

    def train(self, architecture: Architecture, training: Training) -> float:
        """Return the mean over the folds of what :meth:`worth` says."""
        return statistics.fmean(
            self.worth(self._trained(architecture, training, known), unknown)
            for known, unknown in folds(standardised(self.table), self.folds)
        )

    def _trained(
        self, architecture: Architecture, training: Training, samples: Samples
    ) -> nn.Module:
        network = self.make_network(architecture)
        optimizer = optimizer_named(training["optimizer"], network, **training["named"])
        each_step: list[Callable[[int, int], None]] = []
        if training["schedule"] != "constant":
            each_step.append(_schedule(optimizer, training["schedule"], training["drop"]))
        return fit(
            network,
            samples,
            optimizer,
            epochs=self.epochs,
            batch=training["batch"],
            loss=self.loss_fn or nn.functional.cross_entropy,
            each_step=each_step,
        )

    @abc.abstractmethod
    def worth(self, network: nn.Module, samples: Samples) -> float:
        """Return what a trained network is worth on samples that it has not seen."""


def _schedule(
    optimizer: torch.optim.Optimizer, kind: str, drop: float
) -> Callable[[int, int], None]:
    """Return what sets the learning rate: a half cosine, or a factor after each third."""
    rates = [group["lr"] for group in optimizer.param_groups]

    def change(step: int, steps: int) -> None:
        done = step / steps
        if kind == "cosine":
            factor = (1 + torch.cos(torch.tensor(torch.pi * done)).item()) / 2
        else:
            factor = drop ** int(3 * done)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor

    return change


class Tabular(_RowsOfNumbers):
    """Classification of 569 rows of 30 numbers."""

    name = "tabular-mlp"
    title = "breast_cancer, dense networks; hyperparameters that depend on others"
    table = "breast_cancer"
    outputs = 2
    epochs = 5
    proxies = ("synflow", "snip", "params")
    floor = 0.5 / 569

    def worth(self, network: nn.Module, samples: Samples) -> float:
        """Return the accuracy."""
        return accuracy(network, samples)


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, targets)


class Regression(_RowsOfNumbers):
    """Regression on 442 rows of ten numbers; a lower loss is better.

    Most of the loss is noise, so that the error is what the loss has above the best that can be
    hoped for.

    Attributes:
        attained: That loss.
    """

    name = "regression-mlp"
    title = "diabetes, dense networks; the squared error is minimised"
    directions = ("minimize",)
    table = "diabetes"
    outputs = 1
    epochs = 8
    proxies = ("grad_norm", "snip", "params")
    loss_fn = staticmethod(_squared_error)
    # Ridge regression has 0.505, the best of 300 trials of TPE 0.496.
    attained = 0.485
    floor = 0.001

    def worth(self, network: nn.Module, samples: Samples) -> float:
        """Return the mean squared error, where the targets' variance is 1."""
        with torch.no_grad():
            return nn.functional.mse_loss(network(samples.inputs), samples.targets).item()

    def error_of(self, values: Sequence[Sequence[float]]) -> float:
        """Return by how much the least loss is above :attr:`attained`."""
        return min(loss for (loss,) in values) - self.attained
