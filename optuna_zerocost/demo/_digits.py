"""The demo's data and its training: scikit-learn's handwritten digits, three short epochs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from optuna_zerocost.demo._failure import DemoError

__all__ = ["Digits", "load_digits", "train_and_validate"]

_TRAINING_IMAGES = 1000  # of 1797; the others validate
_BATCH_SIZE = 32
_EPOCHS = 3


class Digits(NamedTuple):
    """Images of shape (N, 1, 8, 8), pixels with mean 0 and variance 1, and their classes."""

    inputs: Tensor
    targets: Tensor
    validation_inputs: Tensor
    validation_targets: Tensor


def load_digits() -> Digits:
    """Load the 1797 digits that come with scikit-learn, in a split that is always the same.

    Raises:
        DemoError: If scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DemoError(
            "the demo trains on scikit-learn's handwritten digits, but scikit-learn cannot be "
            f'imported ({error}). Install it with: pip install "optuna-zerocost[demo]"'
        ) from error
    images, classes = datasets.load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    inputs = torch.as_tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)[order]
    targets = torch.as_tensor(classes, dtype=torch.int64)[order]
    n = _TRAINING_IMAGES
    inputs = (inputs - inputs[:n].mean()) / inputs[:n].std()
    return Digits(inputs[:n], targets[:n], inputs[n:], targets[n:])


def train_and_validate(
    network: nn.Module, digits: Digits, *, learning_rate: float, weight_decay: float, seed: int
) -> float:
    """Train ``network`` in place for three epochs and validate it.

    Stochastic gradient descent with momentum 0.9, minibatches of 32, and a learning rate that
    falls to 0 along a cosine. ``seed`` decides about the order of the training images.

    Returns:
        The share of the validation images that are classified rightly, 0 to 1.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=learning_rate, momentum=0.9, weight_decay=weight_decay
    )
    steps = len(digits.inputs) // _BATCH_SIZE
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS * steps)
    network.train()
    for _ in range(_EPOCHS):
        order = torch.randperm(len(digits.inputs), generator=generator)
        # The remainder is left out: BatchNorm gets no minibatch of a few images.
        for indices in torch.split(order, _BATCH_SIZE)[:steps]:
            optimizer.zero_grad()
            outputs = network(digits.inputs[indices])
            nn.functional.cross_entropy(outputs, digits.targets[indices]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        predicted = network(digits.validation_inputs).argmax(dim=1)
    return float((predicted == digits.validation_targets).float().mean())
