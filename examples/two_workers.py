"""Several workers on one study: start this script as often as you have machines.

    python examples/two_workers.py journal.log & python examples/two_workers.py journal.log

A path is a journal, a file that all workers can reach. For a database give its address, such as
`postgresql+psycopg://user@host/name` (needs `pip install "psycopg[binary]"`).

The first to arrive begins to score the pool of the warmup; the others join in, and each trains
other networks. No worker waits for another, and one that dies is made up for.
"""

from __future__ import annotations

import sys

import optuna
import torch
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from torch import nn

from optuna_zerocost import ModelScorer, RankSum, Warmup, ZeroCostSampler


def build_model(trial: optuna.Trial) -> nn.Module:
    width = trial.suggest_int("width", 8, 64, log=True)
    layers: list[nn.Module] = [nn.Linear(10, width)]
    for i in range(trial.suggest_int("depth", 1, 4)):
        layers += [
            nn.ReLU() if trial.suggest_categorical(f"relu{i}", [True, False]) else nn.Tanh()
        ]
        layers += [nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.Linear(width, 2))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(512, 10, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, :5].prod(dim=1) > 0).long()


def objective(trial: optuna.Trial) -> float:
    inputs, targets = data()
    network = build_model(trial)
    rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(inputs), targets)
        loss.backward()
        optimizer.step()
    return loss.item()


def storage_at(place: str) -> str | BaseStorage:
    return place if "://" in place else JournalStorage(JournalFileBackend(place))


if __name__ == "__main__":
    place = sys.argv[1] if len(sys.argv) > 1 else "journal.log"
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    inputs, targets = data()
    scorer = ModelScorer(build_model, (inputs[:64], targets[:64]), ["jacob_cov", "grad_norm"])
    sampler = ZeroCostSampler(
        scorer,
        ranking=RankSum("jacob_cov", "grad_norm"),
        warmup=Warmup(candidates=128, trials=10),
        moves=16,
    )
    study = optuna.create_study(
        study_name="shared", storage=storage_at(place), sampler=sampler, load_if_exists=True
    )
    study.optimize(objective, n_trials=number)
    print(f"{len(study.trials)} trials, best loss {study.best_value:.3f}")
