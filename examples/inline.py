"""An objective that makes its network inline: one line in it, and no function is taken out."""

from __future__ import annotations

import sys

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler, report_network

digits = load_digits()
inputs = torch.tensor(digits.data / 16, dtype=torch.float32)  # (1797, 64)
targets = torch.tensor(digits.target)
TRAIN, VALID = slice(1000), slice(1000, None)


def objective(trial: optuna.Trial) -> float:
    layers: list[nn.Module] = []
    features = 64
    for i in range(trial.suggest_int("n_layers", 1, 3)):
        units = trial.suggest_int(f"n_units{i}", 4, 128, log=True)
        layers += [nn.Linear(features, units), nn.ReLU()]
        layers.append(nn.Dropout(trial.suggest_float(f"dropout{i}", 0.0, 0.5)))
        features = units
    network = nn.Sequential(*layers, nn.Linear(features, 10))
    report_network(trial, network)  # the new line: a candidate's objective ends here

    kind = getattr(torch.optim, trial.suggest_categorical("optimizer", ["Adam", "RMSprop"]))
    optimizer = kind(network.parameters(), lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True))
    accuracy = 0.0
    for epoch in range(5):
        network.train()
        for batch in torch.randperm(1000).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            predicted = network(inputs[VALID]).argmax(dim=1)
        accuracy = (predicted == targets[VALID]).float().mean().item()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return accuracy


if __name__ == "__main__":
    scorer = ModelScorer.from_objective(
        objective, (inputs[:64], targets[:64]), proxies=["synflow", "jacob_cov"]
    )
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=100, trials=8))
    study = optuna.create_study(
        direction="maximize", sampler=sampler, pruner=optuna.pruners.MedianPruner(n_warmup_steps=1)
    )
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
    print(sampler.explain(study))
