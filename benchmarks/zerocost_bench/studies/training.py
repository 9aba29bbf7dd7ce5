"""Data that come with scikit-learn, and a training loop for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor, nn

__all__ = [
    "Samples",
    "accuracy",
    "digits",
    "fit",
    "folds",
    "optimizer_named",
    "standardised",
]

LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Samples:
    """Inputs and targets, with the sample first."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, chosen: Any) -> Samples:
        return Samples(self.inputs[chosen], self.targets[chosen])


def optimizer_named(name: str, network: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    """Return an optimizer of torch for all weights of ``network``."""
    optimizer: torch.optim.Optimizer = getattr(torch.optim, name)(network.parameters(), **settings)
    return optimizer


def _shuffled(inputs: Any, targets: Any) -> Samples:
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    return Samples(torch.as_tensor(inputs), torch.as_tensor(targets))[order]


@functools.cache
def digits() -> Samples:
    """Return the 1,797 handwritten digits in a fixed random order, (samples, 1, 8, 8), 0 to 1."""
    data = datasets.load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32)
    return _shuffled(images.unsqueeze(1), data.target)


@functools.cache
def standardised(name: str) -> Samples:
    """Return a table of numbers in a fixed random order, (samples, features).

    Features have mean 0 and variance 1 over all samples, and so have targets that are no classes.

    Args:
        name: The ``…`` of a function ``load_…`` of ``sklearn.datasets``.
    """
    data = getattr(datasets, f"load_{name}")()
    targets = data.target
    if targets.dtype.kind == "f":
        targets = _standard(targets[:, None])
    return _shuffled(_standard(data.data), targets)


def _standard(columns: Any) -> Any:
    return ((columns - columns.mean(0)) / columns.std(0)).astype(np.float32)


def folds(samples: Samples, count: int) -> list[tuple[Samples, Samples]]:
    """Return the samples cut into training and validation samples in ``count`` ways."""
    places = torch.arange(len(samples)) % count
    return [(samples[places != fold], samples[places == fold]) for fold in range(count)]


def fit(
    network: nn.Module,
    samples: Samples,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch: int,
    loss: LossFunction = nn.functional.cross_entropy,
    each_step: Sequence[Callable[[int, int], None]] = (),
) -> nn.Module:
    """Train a network and return it in evaluation mode.

    Args:
        network: Trained in place.
        samples: The training samples, in a new random order in each epoch.
        optimizer: Of its parameters.
        epochs: How often each sample is seen.
        batch: Samples a step.
        loss: ``(outputs, targets) → scalar``.
        each_step: Called with the step and the number of all steps, between the gradients and the
            optimizer's step.
    """
    network.train()
    steps = epochs * -(-len(samples) // batch)
    step = 0
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(samples)), batch):
            optimizer.zero_grad()
            torch.autograd.backward(loss(network(samples.inputs[chosen]), samples.targets[chosen]))
            for change in each_step:
                change(step, steps)
            optimizer.step()
            step += 1
    return network.eval()


def accuracy(network: nn.Module, samples: Samples) -> float:
    """Return the share of samples whose class a network in evaluation mode finds."""
    with torch.no_grad():
        found = network(samples.inputs).argmax(1)
    return float((found == samples.targets).float().mean())
