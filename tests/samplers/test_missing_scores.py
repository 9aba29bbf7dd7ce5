"""On a usual space no network is banned because a score is undefined for it."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
import torch
from optuna.samplers import RandomSampler
from torch import nn

from optuna_zerocost import ModelScorer, Pareto, RankSum, Vote, Warmup, ZeroCostSampler
from optuna_zerocost.records import stored_pools

TRIO = ("synflow", "jacob_cov", "snip")


def build(trial: Any) -> nn.Module:
    layers: list[nn.Module] = []
    features = 64
    for index in range(trial.suggest_int("n_layers", 1, 3)):
        units = trial.suggest_int(f"n_units_l{index}", 4, 128)
        rate = trial.suggest_float(f"dropout_l{index}", 0.2, 0.5)
        layers += [nn.Linear(features, units), nn.ReLU(), nn.Dropout(rate)]
        features = units
    return nn.Sequential(*layers, nn.Linear(features, 10), nn.LogSoftmax(dim=1))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(64, 64, generator=generator), torch.arange(64) % 10


@pytest.mark.parametrize(
    "ranking", [RankSum(*TRIO), Vote(*TRIO), Pareto(*TRIO), "jacob_cov", None]
)
def test_no_draw_is_rejected(ranking: Any) -> None:
    sampler = ZeroCostSampler(
        ModelScorer(build, batch(), TRIO),
        ranking=ranking,
        base_sampler=RandomSampler(seed=0),
        warmup=Warmup(60, 3, show_progress_bar=False),
        moves=8,
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: float(len(build(trial))), n_trials=10)
    (pool,) = stored_pools(study)
    assert len(pool.candidates) == 60 and pool.rejected == 0
    lacking = [candidate for candidate in pool.candidates if "jacob_cov" not in candidate.scores]
    assert lacking and all(len(candidate.scores) == 2 for candidate in lacking)
    assert [trial.user_attrs["zerocost:rejected"] for trial in study.trials] == [0] * 10


def test_a_network_without_any_score_comes_last_and_is_reached() -> None:
    def dead_or_alive(trial: Any) -> nn.Module:
        layer = nn.Linear(64, 10)
        if trial.suggest_int("depth", 1, 4) == 1:
            nn.init.zeros_(layer.weight)
        return nn.Sequential(layer, nn.ReLU(), *[nn.Linear(10, 10)] * trial.params["depth"])

    scorer = ModelScorer(dead_or_alive, batch(), ["jacob_cov"])
    for settings in ({"warmup": Warmup(40, 4, show_progress_bar=False)}, {"warmup": None}):
        sampler = ZeroCostSampler(scorer, ranking="jacob_cov", moves=40, seed=0, **settings)  # type: ignore[arg-type]
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: float(trial.suggest_int("depth", 1, 4)), n_trials=4)
        assert [trial.params["depth"] for trial in study.trials][3] == 1
        assert sorted(trial.params["depth"] for trial in study.trials) == [1, 2, 3, 4]
        assert "zerocost:jacob_cov" not in study.trials[3].user_attrs
        assert {trial.user_attrs["zerocost:rejected"] for trial in study.trials} == {0}
