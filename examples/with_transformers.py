"""Hugging Face `transformers`: the search space is a configuration, nothing is downloaded.

The batch is a dictionary, as from a tokenizer, and `forward_fn` takes the logits out of the
model's output. The same two things serve every model of the library.
"""

from __future__ import annotations

import sys

import optuna
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler

# Which of two words comes more often in a sentence of 16? A tokenizer would give the same keys.
tokens = torch.randint(2, 20, (768, 16), generator=torch.Generator().manual_seed(0))
difference = (tokens < 5).sum(dim=1) - (tokens > 16).sum(dim=1)
targets = (difference > 0).long()
inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def rows(which: slice | torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: tensor[which] for name, tensor in inputs.items()}


def build_model(trial: optuna.Trial) -> nn.Module:
    heads = trial.suggest_categorical("heads", [1, 2, 4])
    config = BertConfig(
        vocab_size=20,
        max_position_embeddings=16,
        num_hidden_layers=trial.suggest_int("layers", 1, 3),
        num_attention_heads=heads,
        hidden_size=heads * trial.suggest_categorical("head_size", [4, 8, 16]),
        intermediate_size=trial.suggest_int("intermediate_size", 8, 128, log=True),
        hidden_act=trial.suggest_categorical("activation", ["gelu", "relu"]),
    )
    return BertForSequenceClassification(config)


def logits(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return network(**batch).logits


def objective(trial: optuna.Trial) -> float:
    network = build_model(trial)
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    for _ in range(4):
        for batch in torch.randperm(512).split(32):
            optimizer.zero_grad()
            network(**rows(batch), labels=targets[batch]).loss.backward()
            optimizer.step()
    with torch.no_grad():
        predicted = logits(network.eval(), rows(slice(512, None))).argmax(dim=1)
    return (predicted == targets[512:]).float().mean().item()


if __name__ == "__main__":
    batch = (rows(slice(32)), targets[:32])
    scorer = ModelScorer(build_model, batch, proxies=["grad_norm"], forward_fn=logits)
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=40, trials=4))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    print(f"validation accuracy {study.best_value:.3f} with {study.best_params}")
