"""A proxy of your own: a few lines, on an equal footing with those that come along.

Networks in which the gradient fades on its way back learn slowly. So the score is how much of it
reaches the layer that gets least, in relation to the layer that gets most.
"""

from __future__ import annotations

import sys

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler
from optuna_zerocost.proxies import WEIGHT_GRADIENTS, Measured, register

inputs, targets = (torch.tensor(array) for array in load_digits(return_X_y=True))
inputs = inputs.float() / 16  # (1797, 64)


@register("gradient_evenness", reads=(WEIGHT_GRADIENTS,), summary="min ‖g‖ / max ‖g‖ over layers")
def gradient_evenness(measured: Measured) -> float:
    # Root mean squares, so that a large layer does not count for being large.
    sizes = [item.gradient.square().mean().sqrt().item() for item in measured[WEIGHT_GRADIENTS]]
    return min(sizes) / max(sizes)


def build_model(trial: optuna.Trial) -> nn.Module:
    activation = trial.suggest_categorical("activation", ["ReLU", "Tanh", "Sigmoid"])
    width = trial.suggest_int("width", 8, 64, log=True)
    layers: list[nn.Module] = [nn.Linear(64, width)]
    for _ in range(trial.suggest_int("depth", 1, 10)):
        layers += [getattr(nn, activation)(), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(3):
        for batch in torch.randperm(1000).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        predicted = network(inputs[1000:]).argmax(dim=1)
    return (predicted == targets[1000:]).float().mean().item()


if __name__ == "__main__":
    # The other scores are recorded, so that the new one can be compared with them.
    proxies = ["gradient_evenness", "grad_norm", "jacob_cov"]
    sampler = ZeroCostSampler(
        ModelScorer(build_model, (inputs[:64], targets[:64]), proxies),
        ranking="gradient_evenness",
        warmup=Warmup(candidates=100, trials=5),
        moves=8,
        random_share=0.5,  # half of the trials are random ones: they tell what a score is worth
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 30)
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
    print(sampler.explain(study))
