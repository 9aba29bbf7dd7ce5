"""Two objectives: accurate and small. `Pareto` lets neither score outweigh the other."""

from __future__ import annotations

import sys

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn

from optuna_zerocost import ModelScorer, Pareto, Warmup, ZeroCostSampler

digits = load_digits()
inputs = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)  # (1797, 1, 8, 8)
targets = torch.tensor(digits.target)


def build_model(trial: optuna.Trial) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 1
    for i in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_int(f"width{i}", 4, 32, log=True)
        size = trial.suggest_categorical(f"kernel{i}", [3, 5])
        layers += [nn.Conv2d(channels, width, size, padding=size // 2), nn.ReLU()]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10)
    )


def objective(trial: optuna.Trial) -> tuple[float, int]:
    network = build_model(trial)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(3):
        for batch in torch.randperm(1000).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        predicted = network(inputs[1000:]).argmax(dim=1)
    accuracy = (predicted == targets[1000:]).float().mean().item()
    return accuracy, sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    batch = (inputs[:64], targets[:64])
    sampler = ZeroCostSampler(
        ModelScorer(build_model, batch, proxies=["jacob_cov", "params"]),
        base_sampler=optuna.samplers.NSGAIISampler(population_size=10),
        ranking=Pareto("jacob_cov", "-params"),  # the minus: fewer parameters are better
        warmup=Warmup(candidates=150, trials=10),
        moves=16,
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 30)
    print("accuracy  parameters  of the trials that no other one beats in both")
    for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
        print(f"{trial.values[0]:8.3f}  {trial.values[1]:10.0f}  {trial.params}")
