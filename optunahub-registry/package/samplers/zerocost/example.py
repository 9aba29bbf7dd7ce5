"""Search for a network that separates two moons, with zero-cost proxies in front of TPE."""

from __future__ import annotations

from pathlib import Path

import optuna
import optunahub
import torch
from torch import nn


angle = torch.linspace(0, torch.pi, 256)
moons = [(angle.cos(), angle.sin()), (1 - angle.cos(), 0.5 - angle.sin())]
inputs = torch.cat([torch.stack(moon, dim=1) for moon in moons])  # (512, 2)
inputs += 0.15 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0))
targets = torch.arange(2).repeat_interleave(256)


def build_model(trial: optuna.Trial) -> nn.Module:
    activation = trial.suggest_categorical("activation", ["ReLU", "Tanh", "Sigmoid"])
    layers: list[nn.Module] = []
    features = 2
    for i in range(trial.suggest_int("depth", 1, 4)):
        width = trial.suggest_int(f"width{i}", 2, 32, log=True)
        layers += [nn.Linear(features, width), getattr(nn, activation)()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, 2))


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(inputs), targets)
        loss.backward()
        optimizer.step()
    return loss.item()


if __name__ == "__main__":
    # From the checkout that this file is in. From the hub it is, in any script,
    # optunahub.load_module("samplers/zerocost").
    registry_root = Path(__file__).parents[2]
    zerocost = optunahub.load_local_module("samplers/zerocost", registry_root=str(registry_root))
    batch = (inputs[::8], targets[::8])
    scorer = zerocost.ModelScorer(build_model, batch, proxies=["jacob_cov"])
    sampler = zerocost.ZeroCostSampler(scorer, warmup=zerocost.Warmup(candidates=100, trials=8))
    study = optuna.create_study(direction="minimize", sampler=sampler)
    study.optimize(objective, n_trials=20)
    print(f"loss {study.best_value:.3f} with {study.best_params}")
