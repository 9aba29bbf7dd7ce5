"""Spaces, values and scorers of the recorded studies; nothing here may change without a record."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

OPERATIONS = ("none", "skip", "conv", "pool")

# No two architectures have the same value or size: weights without a common measure.
_WORTHS = {"none": 0.0, "skip": 0.573, "conv": 1.211, "pool": 0.892, True: 0.613, False: 0.0}
_SIZES = {"none": 0.0, "skip": 0.127, "conv": 1.313, "pool": 0.341, True: 0.217, False: 0.0}


def cell(trial: Any) -> None:
    """512 architectures."""
    for edge in range(3):
        trial.suggest_categorical(f"op{edge}", OPERATIONS)
    trial.suggest_int("width", 1, 8)


def deep(trial: Any) -> None:
    """More parameters than can each be tried as more relevant or less."""
    for edge in range(14):
        trial.suggest_categorical(f"op{edge}", OPERATIONS)


def small(trial: Any) -> None:
    """Six architectures."""
    trial.suggest_categorical("op0", OPERATIONS[:3])
    trial.suggest_categorical("norm", [True, False])


def conditional(trial: Any) -> None:
    depth = trial.suggest_int("depth", 1, 3)
    for layer in range(depth):
        trial.suggest_categorical(f"width{layer}", [16, 32, 64])
    if trial.suggest_categorical("norm", [True, False]):
        trial.suggest_int("groups", 1, 8, log=True)


def dynamic(trial: Any) -> None:
    """The range of one parameter depends on another value."""
    width = trial.suggest_int("width", 2, 10)
    trial.suggest_int("inner", 1, width)
    trial.suggest_categorical("op0", OPERATIONS)


def numeric(trial: Any) -> None:
    trial.suggest_float("x", -1.0, 1.0)
    trial.suggest_float("y", 1e-3, 1.0, log=True)
    trial.suggest_float("z", 0.0, 1.0, step=0.125)
    trial.suggest_int("n", 1, 9, step=2)


def _weight(name: str) -> float:
    """From 0.5 to 1.5, another one for each name."""
    return 0.5 + (sum((i + 1) * ord(c) for i, c in enumerate(name)) * math.sqrt(2)) % 1.0


def value_of(params: Mapping[str, Any]) -> float:
    """What the objectives give: some of it is the architecture's size, some is not."""
    total = 0.0
    for name, value in sorted(params.items()):
        if isinstance(value, (bool, str)):
            total += _weight(name) * _WORTHS[value]
        else:
            total -= 0.3 * _weight(name) * (math.asinh(value) - 1.7) ** 2
    return total


def error_of(params: Mapping[str, Any]) -> float:
    return math.exp(-0.3 * value_of(params))


def size_of(params: Mapping[str, Any]) -> float:
    total = 0.0
    for name, value in sorted(params.items()):
        is_named = isinstance(value, (bool, str))
        total += _weight(f"{name} ") * (_SIZES[value] if is_named else math.asinh(value))
    return total


def noise_of(params: Mapping[str, Any]) -> float:
    """A number that says nothing about the architecture, the same in every process."""
    digest = hashlib.sha256(repr(sorted(params.items())).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


SCORES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "size": size_of,
    "cost": lambda params: math.exp(0.4 * size_of(params)) + 0.1 * noise_of(params),
    "hint": lambda params: value_of(params) + noise_of(params),
    "noise": noise_of,
}


class Scores:
    """A scorer that looks up named scores of what ``space`` suggests.

    Args:
        space: Asks a trial for the parameters of an architecture.
        names: Keys of ``SCORES``.
        lower: Those that are better when lower.
        is_broken: Which architectures cannot be built.
        is_undefined: Of which architectures the first score is no number.
    """

    def __init__(
        self,
        space: Callable[[Any], None],
        names: Sequence[str] = ("size",),
        *,
        lower: Sequence[str] = (),
        is_broken: Callable[[Mapping[str, Any]], bool] = lambda params: False,
        is_undefined: Callable[[Mapping[str, Any]], bool] = lambda params: False,
    ) -> None:
        self._space = space
        self._is_broken, self._is_undefined = is_broken, is_undefined
        self.score_names = tuple(names)
        self.score_directions = dict.fromkeys(lower, "minimize")
        self.fingerprint = f"{space.__name__};{','.join(names)}"

    def __call__(self, trial: Any, /) -> dict[str, float]:
        self._space(trial)
        if self._is_broken(trial.params):
            raise ValueError("this cell cannot be built")
        scores = {name: SCORES[name](trial.params) for name in self.score_names}
        if self._is_undefined(trial.params):
            scores[self.score_names[0]] = math.nan
        return scores


def size_of_cell(trial: Any) -> dict[str, float]:
    """A plain function, whose scores nobody knows before it is called."""
    cell(trial)
    return {"size": size_of(trial.params)}


def size_and_cost_of_cell(trial: Any) -> dict[str, float]:
    cell(trial)
    return {"size": size_of(trial.params), "cost": SCORES["cost"](trial.params)}


def params_of(space: Callable[[Any], None]) -> Callable[[Any], dict[str, Any]]:
    """What a ``LimitedScorer`` makes of a trial: its parameters."""

    def params_of_space(trial: Any) -> dict[str, Any]:
        space(trial)
        return dict(trial.params)

    return params_of_space


def images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    inputs = torch.tensor(rng.normal(size=(count, 1, 6, 6)), dtype=torch.float32)
    return inputs, torch.tensor(rng.integers(0, 3, size=count))


def network(trial: Any) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 1
    for layer in range(trial.suggest_int("depth", 1, 2)):
        width = trial.suggest_int(f"width{layer}", 2, 9)
        kernel = trial.suggest_categorical(f"kernel{layer}", [1, 3])
        layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.ReLU()]
        channels = width
    if trial.suggest_categorical("norm", [True, False]):
        layers.append(nn.BatchNorm2d(channels))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 36, 3))


def network_space(trial: Any) -> None:
    for layer in range(trial.suggest_int("depth", 1, 2)):
        trial.suggest_int(f"width{layer}", 2, 9)
        trial.suggest_categorical(f"kernel{layer}", [1, 3])
    trial.suggest_categorical("norm", [True, False])
