"""A network for a small device: nothing that does not fit is trained, nor even scored.

The limits are those of a microcontroller: 32 kB of flash for weights of 8 bits, 0.1 MB of memory
for one image, and 200,000 operations. `latency_ms=` would limit the time on this machine.
"""

from __future__ import annotations

import sys

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn

from optuna_zerocost import Limits, ModelScorer, Warmup, ZeroCostSampler

digits = load_digits()
inputs = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)  # (1797, 1, 8, 8)
targets = torch.tensor(digits.target)


def build_model(trial: optuna.Trial) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 1
    for i in range(trial.suggest_int("depth", 1, 4)):
        width = trial.suggest_int(f"width{i}", 4, 128, log=True)
        size = trial.suggest_categorical(f"kernel{i}", [1, 3, 5])
        layers += [nn.Conv2d(channels, width, size, padding=size // 2), nn.ReLU()]
        if i < 2 and trial.suggest_categorical(f"pool{i}", [False, True]):
            layers.append(nn.MaxPool2d(2))
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10)
    )


def flash_kb(network: nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1000


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(4):
        for batch in torch.randperm(1000).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        predicted = network(inputs[1000:]).argmax(dim=1)
    return (predicted == targets[1000:]).float().mean().item()


if __name__ == "__main__":
    limits = Limits(
        flops=200_000,
        memory_mb=0.1,
        samples=1,  # the device sees one image at a time
        custom={"flash_kb": (flash_kb, 32)},
        draws=100,  # do not look longer for a network than it takes to train one
    )
    batch = (inputs[:64], targets[:64])
    scorer = ModelScorer(build_model, batch, proxies=["jacob_cov"], limits=limits)
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=100, trials=6))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
    for name in limits.names:
        print(f"{name}: {study.best_trial.user_attrs[f'zerocost:{name}']:g}")
