"""A PyTorch loop with pruning: `trial.report` and `trial.should_prune`, as in any Optuna script.

`ZeroCostPruner` stops what scores worst before its first epoch, once the scores of finished trials
go along with their values. Everything else is the wrapped pruner's, here `MedianPruner`.
"""

from __future__ import annotations

import sys
from collections import Counter

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn

from optuna_zerocost import ModelScorer, ZeroCostPruner

inputs, targets = (torch.tensor(array) for array in load_digits(return_X_y=True))
inputs = inputs.float() / 16  # (1797, 64)


def build_model(trial: optuna.Trial) -> nn.Module:
    activation = trial.suggest_categorical("activation", ["ReLU", "Tanh", "Sigmoid"])
    width = trial.suggest_int("width", 4, 128, log=True)
    layers: list[nn.Module] = [nn.Linear(64, width)]
    for _ in range(trial.suggest_int("depth", 1, 8)):
        layers += [getattr(nn, activation)(), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    if trial.should_prune():  # the new line: judged by its scores, before the first epoch
        raise optuna.TrialPruned
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    accuracy = 0.0
    for epoch in range(10):
        for batch in torch.randperm(1000).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            predicted = network(inputs[1000:]).argmax(dim=1)
        accuracy = (predicted == targets[1000:]).float().mean().item()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


if __name__ == "__main__":
    scorer = ModelScorer(build_model, (inputs[:64], targets[:64]), proxies=["jacob_cov"])
    pruner = ZeroCostPruner(
        scorer, quantile=0.25, min_trials=5, wrapped_pruner=optuna.pruners.MedianPruner()
    )
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 40)
    print(Counter(trial.user_attrs["zerocost:verdict"] for trial in study.trials))
    print(Counter(trial.state.name for trial in study.trials))
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
