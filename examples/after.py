"""Search for a small convolutional network that reads handwritten digits."""

from __future__ import annotations

import sys

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler

digits = load_digits()
inputs = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)  # (1797, 1, 8, 8)
targets = torch.tensor(digits.target)
TRAIN, VALID = slice(1000), slice(1000, None)


def build_model(trial: optuna.Trial) -> nn.Module:
    activation = getattr(nn, trial.suggest_categorical("activation", ["ReLU", "Tanh", "Sigmoid"]))
    layers: list[nn.Module] = []
    channels = 1
    for i in range(trial.suggest_int("depth", 1, 4)):
        width = trial.suggest_categorical(f"width{i}", [4, 8, 16, 32])
        size = trial.suggest_categorical(f"kernel{i}", [1, 3, 5])
        layers += [nn.Conv2d(channels, width, size, padding=size // 2), activation()]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10)
    )


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    rate = trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(3):
        for batch in torch.randperm(1000).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        predicted = network(inputs[VALID]).argmax(dim=1)
    return (predicted == targets[VALID]).float().mean().item()


if __name__ == "__main__":
    scorer = ModelScorer(build_model, (inputs[:64], targets[:64]), proxies=["jacob_cov"])
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=100, trials=8))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
