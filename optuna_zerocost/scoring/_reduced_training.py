"""Reduced training: the proxies that zero-cost ones compete with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies import SeededRandomState
from optuna_zerocost.scoring._building import BuildingScorer
from optuna_zerocost.scoring._lazy import give_shapes

__all__ = ["ReducedTrainingScorer"]

Data = tuple[Tensor, Tensor]


class ReducedTrainingScorer(BuildingScorer):
    """Scores a network by its validation accuracy after a training that is cut short.

    The reductions are those of EcoNAS (Zhou et al., CVPR 2020), with which Abdelfattah et al.
    (ICLR 2021) compare zero-cost proxies: fewer epochs, fewer samples, lower resolution, fewer
    channels.
    Each can be used alone. The score is called ``reduced_training`` and is better when higher.
    What it costs is told by :attr:`minibatches`, the forward and backward passes that a network
    takes, and measured by :attr:`statistics`, as for a ``ModelScorer``.

    Args:
        build_model: Makes an untrained network from a trial, define-by-run. With ``width_factor``
            it is called with two arguments, the trial and that factor, and multiplies its
            channels by it; the network must work at any resolution that is asked for.
        train: ``(inputs, targets)`` to train on: inputs of shape (N, …), targets (N,).
        valid: The same, to measure the accuracy on.
        epochs: Epochs of training.
        samples: Number of training samples, drawn at random once; ``None`` for all.
        resolution: Side in pixels to which images (N, C, H, W) are averaged down; ``None`` for no
            change.
        width_factor: Factor, 0 < factor ≤ 1, for the builder's channels; ``None`` for a builder
            that takes the trial alone.
        batch_size: Samples in a minibatch.
        optimizer: Makes an optimizer of the network's parameters. Default: stochastic gradient
            descent with Nesterov momentum 0.9, learning rate 0.025 that falls to 0 along half a
            cosine, weight decay 0.0005.
        loss_fn: ``(outputs, targets) → scalar``. Default: cross-entropy.
        metric_fn: ``(outputs, targets) → scalar``, higher is better, over the whole of ``valid``.
            Default: accuracy, 0 to 1.
        device: Where networks are trained. Default: where ``build_model`` puts them.
        seed: Seeds weights, samples, their order and dropout.
        n_jobs: Number of processes that score a warmup's candidates, as for ``ModelScorer``.

    Raises:
        ValueError: If a reduction is out of its range, or the data do not allow it.
    """

    score_names = ("reduced_training",)
    is_cheap = False
    score_directions = {"reduced_training": "maximize"}

    def __init__(
        self,
        build_model: Callable[..., nn.Module],
        train: Data,
        valid: Data,
        *,
        epochs: int = 1,
        samples: int | None = None,
        resolution: int | None = None,
        width_factor: float | None = None,
        batch_size: int = 64,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
        loss_fn: Callable[[Any, Tensor], Tensor] = nn.functional.cross_entropy,
        metric_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
        n_jobs: int | None = 1,
    ) -> None:
        super().__init__(build_model, device=device, seed=seed, n_jobs=n_jobs)
        for name, data in (("train", train), ("valid", valid)):
            _check_data(name, data)
        for name, value, most in (
            ("epochs", epochs, math.inf),
            ("samples", samples, len(train[0])),
            ("batch_size", batch_size, math.inf),
            ("resolution", resolution, math.inf),
        ):
            if value is not None and not 1 <= value <= most:
                raise ValueError(f"{name} is {value}, but it must be at least 1, at most {most}.")
        if width_factor is not None and not 0 < width_factor <= 1:
            raise ValueError(f"width_factor is {width_factor}, but it must be above 0, at most 1.")
        if resolution is not None and (train[0].dim() != 4 or not train[0].is_floating_point()):
            raise ValueError(
                f"resolution is {resolution}, but inputs of shape {tuple(train[0].shape)} and "
                f"type {train[0].dtype} are no images (N, C, H, W) of floating-point numbers. "
                "Leave resolution out."
            )
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(train[0]), generator=generator)[:samples]
        self._train = (_resized(train[0][chosen], resolution), train[1][chosen])
        self._valid = (_resized(valid[0], resolution), valid[1])
        self._epochs = epochs
        self._width_factor = width_factor
        self._batch_size = batch_size
        self._optimizer = optimizer
        self._loss_fn = loss_fn
        self._metric_fn = metric_fn or _accuracy

    @property
    def minibatches(self) -> int:
        """Forward and backward passes over a minibatch that scoring one network takes."""
        return self._epochs * math.ceil(len(self._train[0]) / self._batch_size)

    def _build(self, trial: Any, *args: Any) -> nn.Module:
        factor = () if self._width_factor is None else (self._width_factor,)
        network: nn.Module = super()._build(trial, *factor)
        give_shapes(network, lambda: self._train)
        return network

    def _scores_of(self, network: nn.Module, batch: Any) -> dict[str, float]:
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        with SeededRandomState(self._seed), torch.enable_grad():
            network.train()
            optimizer = self._make_optimizer(network)
            for step, (inputs, targets) in enumerate(self._minibatches()):
                if self._optimizer is None:
                    share = step / self.minibatches
                    for group in optimizer.param_groups:
                        group["lr"] = _LEARNING_RATE * (1 + math.cos(math.pi * share)) / 2
                optimizer.zero_grad()
                loss = self._loss_fn(network(inputs.to(device)), targets.to(device))
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        network.eval()
        with torch.no_grad():
            outputs = torch.cat(
                [network(part.to(device)) for part in torch.split(self._valid[0], _VALID_BATCH)]
            )
            metric = self._metric_fn(outputs, self._valid[1].to(device))
        return {"reduced_training": float(metric)}

    def _make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        if self._optimizer is not None:
            return self._optimizer(network.parameters())
        return torch.optim.SGD(
            network.parameters(), _LEARNING_RATE, momentum=0.9, nesterov=True, weight_decay=5e-4
        )

    def _minibatches(self) -> Iterator[Data]:
        generator = torch.Generator().manual_seed(self._seed)
        inputs, targets = self._train
        for _ in range(self._epochs):
            order = torch.randperm(len(inputs), generator=generator)
            for chosen in torch.split(order, self._batch_size):
                yield inputs[chosen], targets[chosen]

    def _determinants(self) -> Mapping[str, Any]:
        return {
            "data": (self._train, self._valid),
            "training": (self._epochs, self._width_factor, self._batch_size, self._optimizer),
            "loss": self._loss_fn,
            "metric": self._metric_fn,
        }


_LEARNING_RATE = 0.025
_VALID_BATCH = 256


def _check_data(name: str, data: Any) -> None:
    is_pair = isinstance(data, (tuple, list)) and len(data) == 2
    if not is_pair or not all(isinstance(item, Tensor) for item in data):
        raise ValueError(f"{name} must be a pair of tensors (inputs, targets), not {type(data)}.")
    if len(data[0]) != len(data[1]) or len(data[0]) == 0:
        raise ValueError(
            f"{name} has {len(data[0])} inputs and {len(data[1])} targets, but there must be "
            "equally many, and at least one."
        )


def _resized(images: Tensor, resolution: int | None) -> Tensor:
    if resolution is None:
        return images
    return nn.functional.interpolate(images, size=(resolution, resolution), mode="area")


def _accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(dim=1) == targets).double().mean()
