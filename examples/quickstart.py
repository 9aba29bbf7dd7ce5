"""An Optuna script that searches a network, with zero-cost proxies in front.

Without the three lines between the markers, and with ``sampler=None``, it is an ordinary Optuna
script. Needs scikit-learn for its data: ``pip install "optuna-zerocost[demo]"``.
"""

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
TRAIN, VALID = slice(0, 1000), slice(1000, None)


def build_model(trial: optuna.Trial) -> nn.Module:
    """The architecture, define-by-run: what is asked for here is what the proxies judge."""
    layers: list[nn.Module] = []
    channels = 1
    for i in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_categorical(f"width{i}", [8, 16, 32])
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10)
    )


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
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
    # ---- zero-cost: from here
    batch = (inputs[TRAIN][:64], targets[TRAIN][:64])
    scorer = ModelScorer(build_model, batch, proxies=["jacob_cov"])
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=100, trials=8), moves=16, seed=0)
    # ---- to here

    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    print(study.best_value, study.best_params, study.best_trial.user_attrs)
