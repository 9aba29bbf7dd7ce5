"""Lightning: one line in the objective, right after the module is made."""

from __future__ import annotations

import logging
import sys
import warnings

import lightning
import optuna
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler, report_network

digits = load_digits()
inputs = torch.tensor(digits.data / 16, dtype=torch.float32)  # (1797, 64)
targets = torch.tensor(digits.target)
train_samples = TensorDataset(inputs[:1000], targets[:1000])
valid_samples = TensorDataset(inputs[1000:], targets[1000:])


class Classifier(lightning.LightningModule):
    def __init__(self, widths: list[int], rate: float = 0.01) -> None:
        super().__init__()
        sizes = [64, *widths]
        layers: list[nn.Module] = []
        for size, next_size in zip(sizes, widths, strict=False):
            layers += [nn.Linear(size, next_size), nn.ReLU()]
        self.network = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        correct = self(batch[0]).argmax(dim=1) == batch[1]
        self.log("accuracy", correct.float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.rate)


def objective(trial: optuna.Trial) -> float:
    depth = trial.suggest_int("depth", 1, 3)
    module = Classifier([trial.suggest_int(f"width{i}", 4, 128, log=True) for i in range(depth)])
    report_network(trial, module)  # the new line: a candidate's objective ends here

    module.rate = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(
        module, DataLoader(train_samples, 50, shuffle=True), DataLoader(valid_samples, 800)
    )
    return float(trainer.callback_metrics["accuracy"])


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    scorer = ModelScorer.from_objective(
        objective, (inputs[:64], targets[:64]), proxies=["synflow", "jacob_cov"]
    )
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=100, trials=8))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 20)
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
