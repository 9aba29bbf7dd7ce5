"""Ray Tune: our sampler inside `OptunaSearch`, which runs the trials on Ray's workers.

Ray asks for a configuration first and hands it to the training function, where `FixedTrial` turns
it into the network again. Needs `pip install "ray[tune]"`.
"""

from __future__ import annotations

import sys
from typing import Any

import optuna
import torch
from torch import nn

try:
    from ray import tune
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch
except ImportError:
    sys.exit('This example needs Ray Tune: pip install "ray[tune]"')

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler


def data() -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(1024, 10, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, :3].prod(dim=1) > 0).long()


def build_model(trial: optuna.trial.BaseTrial) -> nn.Module:
    width = trial.suggest_int("width", 8, 64, log=True)
    layers: list[nn.Module] = [nn.Linear(10, width)]
    for i in range(trial.suggest_int("depth", 1, 4)):
        activation = trial.suggest_categorical(f"activation{i}", ["ReLU", "Tanh"])
        layers += [getattr(nn, activation)(), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(width, 2))


def space(trial: optuna.trial.BaseTrial) -> None:
    build_model(trial)
    trial.suggest_float("learning_rate", 1e-3, 3e-2, log=True)


def train(config: dict[str, Any]) -> dict[str, float]:
    inputs, targets = data()
    network = build_model(optuna.trial.FixedTrial(config))
    optimizer = torch.optim.Adam(network.parameters(), lr=config["learning_rate"])
    for _ in range(20):
        for batch in torch.randperm(512).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    predicted = network(inputs[512:]).argmax(dim=1)
    return {"accuracy": (predicted == targets[512:]).float().mean().item()}


if __name__ == "__main__":
    inputs, targets = data()
    scorer = ModelScorer(build_model, (inputs[:64], targets[:64]), proxies=["synflow"])
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=100, trials=4))
    search = OptunaSearch(space, metric="accuracy", mode="max", sampler=sampler)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    settings = tune.TuneConfig(
        search_alg=ConcurrencyLimiter(search, max_concurrent=2), num_samples=number
    )
    best = tune.Tuner(train, tune_config=settings).fit().get_best_result("accuracy", "max")
    print(f"validation accuracy {best.metrics['accuracy']:.3f} with {best.config}")
