"""An LSTM on sequences, and a loss of another kind: forecasts, judged by their squared error."""

from __future__ import annotations

import sys

import optuna
import torch
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler

# Sums of two waves of random frequency and phase, with noise: 24 values are seen, the next is due.
generator = torch.Generator().manual_seed(0)
frequency, phase = 0.2 + torch.rand(2, 1024, 2, 1, generator=generator)
waves = torch.sin(frequency * torch.arange(25) + 6 * phase).sum(dim=1)
series = waves + 0.05 * torch.randn(waves.shape, generator=generator)
inputs, targets = series[:, :24, None], series[:, 24:]  # (1024, 24, 1) and (1024, 1)


class Forecaster(nn.Module):
    def __init__(self, width: int, layers: int, head: nn.Module) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, width, num_layers=layers, batch_first=True)
        self.head = head

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.lstm(sequences)
        return self.head(outputs[:, -1])


def build_model(trial: optuna.Trial) -> nn.Module:
    width = trial.suggest_int("width", 4, 64, log=True)
    layers = trial.suggest_int("layers", 1, 3)
    head: nn.Module = nn.Linear(width, 1)
    if trial.suggest_categorical("hidden_head", [False, True]):
        hidden = trial.suggest_int("head_width", 4, 64, log=True)
        head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
    return Forecaster(width, layers, head)


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(5):
        for batch in torch.randperm(768).split(64):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        return nn.functional.mse_loss(network(inputs[768:]), targets[768:]).item()


if __name__ == "__main__":
    scorer = ModelScorer(
        build_model,
        (inputs[:32], targets[:32]),
        proxies=["grad_norm"],
        loss_fn=nn.functional.mse_loss,
    )
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=60, trials=5))
    study = optuna.create_study(direction="minimize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    print(f"squared error {study.best_value:.3f} with {study.best_params}")
