"""skorch and scikit-learn: the network in a `NeuralNetClassifier`, judged by cross-validation.

Where a value is the mean of several trainings, each trial that is not wasted counts as often.
"""

from __future__ import annotations

import sys

import optuna
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from optuna_zerocost import ModelScorer, RankSum, Warmup, ZeroCostSampler

inputs, targets = load_digits(return_X_y=True)
inputs = inputs.astype("float32")  # (1797, 64)


def build_model(trial: optuna.Trial) -> nn.Module:
    layers: list[nn.Module] = []
    width = 64
    for i in range(trial.suggest_int("depth", 1, 4)):
        wider = trial.suggest_int(f"width{i}", 8, 128, log=True)
        layers += [nn.Linear(width, wider), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers, nn.Linear(width, 10))


def objective(trial: optuna.Trial) -> float:
    classifier = NeuralNetClassifier(
        build_model(trial),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True),
        max_epochs=5,
        train_split=None,
        verbose=0,
    )
    pipeline = make_pipeline(StandardScaler(), classifier)
    return cross_val_score(pipeline, inputs, targets, cv=3).mean()


if __name__ == "__main__":
    # The proxies see what the network sees: scaled inputs.
    scaled = StandardScaler().fit_transform(inputs)[:64]
    batch = (torch.from_numpy(scaled), torch.from_numpy(targets[:64]))
    scorer = ModelScorer(build_model, batch, proxies=["synflow", "jacob_cov"])
    sampler = ZeroCostSampler(
        scorer, ranking=RankSum("synflow", "jacob_cov"), warmup=Warmup(200, trials=6), moves=16
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    print(f"cross-validated accuracy {study.best_value:.3f} with {study.best_params}")
