"""PyTorch Ignite: one line in an objective whose training is an engine's."""

from __future__ import annotations

import sys

import optuna
import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Accuracy
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler, report_network

digits = load_digits()
inputs = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)  # (1797, 1, 8, 8)
targets = torch.tensor(digits.target)
samples = TensorDataset(inputs, targets)
train_samples = Subset(samples, range(1000))
valid_samples = Subset(samples, range(1000, len(samples)))


def objective(trial: optuna.Trial) -> float:
    layers: list[nn.Module] = []
    channels = 1
    for i in range(trial.suggest_int("depth", 1, 3)):
        wider = trial.suggest_categorical(f"width{i}", [8, 16, 32])
        layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.ReLU()]
        channels = wider
    network = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10)
    )
    report_network(trial, network)  # the new line: a candidate's objective ends here

    rate = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    trainer = create_supervised_trainer(network, optimizer, nn.functional.cross_entropy)
    evaluator = create_supervised_evaluator(network, metrics={"accuracy": Accuracy()})

    @trainer.on(Events.EPOCH_COMPLETED)
    def report() -> None:
        evaluator.run(DataLoader(valid_samples, 800))
        trial.report(evaluator.state.metrics["accuracy"], trainer.state.epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    trainer.run(DataLoader(train_samples, 50, shuffle=True), max_epochs=3)
    accuracy: float = evaluator.state.metrics["accuracy"]
    return accuracy


if __name__ == "__main__":
    scorer = ModelScorer.from_objective(
        objective, (inputs[:64], targets[:64]), proxies=["synflow", "jacob_cov"]
    )
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=100, trials=8))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
