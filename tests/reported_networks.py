"""A small network, objectives that report it, and studies that score it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import torch
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler, report_network

__all__ = ["BATCH", "Step", "build", "from_", "sampler_of", "study_of", "with_step"]

BATCH = (torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3)

Step = Callable[[Any], None]


def build(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 2, 64)
    layers: list[nn.Module] = [nn.Linear(4, width), nn.ReLU()]
    if trial.suggest_categorical("deep", [True, False]):
        inner = trial.suggest_int("inner", 2, 16)
        layers += [nn.Linear(width, inner), nn.ReLU()]
        width = inner
    return nn.Sequential(*layers, nn.Linear(width, 3))


def with_step(before: Step = lambda trial: None, after: Step = lambda trial: None) -> Any:
    """Return an objective with something before the line and something after it."""

    def stepwise(trial: Any) -> float:
        network = build(trial)
        before(trial)
        report_network(trial, network)
        after(trial)
        return 0.0

    return stepwise


def from_(function: Any, **options: Any) -> ModelScorer:
    return ModelScorer.from_objective(function, BATCH, ["synflow"], **options)


def sampler_of(scorer: ModelScorer, **options: Any) -> ZeroCostSampler:
    warmup = Warmup(8, 2, show_progress_bar=False)
    return ZeroCostSampler(scorer, **({"warmup": warmup, "moves": 3, "seed": 0} | options))


def study_of(scorer: ModelScorer, **options: Any) -> optuna.Study:
    return optuna.create_study(sampler=sampler_of(scorer, **options))
