"""A batch may be a function of the trial, where shapes depend on it."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FixedTrial
from torch import nn

from optuna_zerocost import Limits, ModelScorer, Warmup, ZeroCostSampler, report_network
from optuna_zerocost.proxies import Minibatches
from optuna_zerocost.samplers._candidate_trial import random_trial

TARGETS = torch.arange(6) % 3
RESOLUTIONS = [8, 12, 16]


def images(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randn(6, 3, size, size, generator=generator)


def convolutions(trial: Any) -> nn.Module:
    """A network for one resolution alone."""
    size = trial.suggest_categorical("resolution", RESOLUTIONS)
    width = trial.suggest_int("width", 2, 16)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * size * size, 3),
    )


def any_size(trial: Any) -> nn.Module:
    """One network for all resolutions, of which it need not know."""
    width = trial.suggest_int("width", 2, 3)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 3),
    )


def batch_for(trial: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return images(trial.suggest_categorical("resolution", RESOLUTIONS)), TARGETS


def batch_by_params(trial: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return images(trial.params["resolution"]), TARGETS


def reports(trial: Any) -> float:
    network = convolutions(trial)
    report_network(trial, network)
    network(images(trial.params["resolution"]))
    return float(trial.suggest_float("rate", 0, 1))


def recurrent(trial: Any) -> nn.Module:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.length = trial.suggest_int("length", 3, 9)
            self.embedding = nn.Embedding(10, 4)
            self.head = nn.LazyLinear(3)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            assert tokens.shape[1] == self.length
            return self.head(self.embedding(tokens).flatten(1))

    return Reader()


def tokens_for(trial: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(0, 10, (6, trial.params["length"])), TARGETS


def reports_recurrent(trial: Any) -> float:
    report_network(trial, recurrent(trial))
    return 0.0


SCORERS = {
    "builder": lambda: ModelScorer(convolutions, batch_for, ["snip"]),
    "params": lambda: ModelScorer(convolutions, batch_by_params, ["snip"]),
    "meta": lambda: ModelScorer(convolutions, batch_for, ["snip"], meta=True),
    "objective": lambda: ModelScorer.from_objective(reports, batch_by_params, ["snip"]),
    "tokens": lambda: ModelScorer(recurrent, tokens_for, ["snip"]),
    "tokens, objective": lambda: ModelScorer.from_objective(
        reports_recurrent, tokens_for, ["snip"]
    ),
}


@pytest.mark.parametrize("kind", SCORERS)
def test_no_part_of_a_space_is_rejected(kind: str) -> None:
    sampler = ZeroCostSampler(
        SCORERS[kind](), warmup=Warmup(12, 2, show_progress_bar=False), moves=6, seed=0
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(reports_recurrent if "tokens" in kind else reports, n_trials=6)
    assert {trial.user_attrs["zerocost:rejected"] for trial in study.trials} == {0}
    assert all("zerocost:snip" in trial.user_attrs for trial in study.trials)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_the_score_is_that_of_the_network_on_its_own_batch(resolution: int) -> None:
    params = {"resolution": resolution, "width": 4}
    fixed = ModelScorer(convolutions, (images(resolution), TARGETS), ["snip"])
    expected = fixed(FixedTrial(params))
    for kind in ("builder", "params", "meta", "objective"):
        assert SCORERS[kind]()(FixedTrial(params)) == expected


def test_what_the_batch_alone_asks_for_is_part_of_the_architecture() -> None:
    scorer = ModelScorer(any_size, batch_for, ["snip"])
    trial = random_trial(0)
    score = scorer(trial)["snip"]
    assert set(trial.params) == {"width", "resolution"}
    scores = [
        scorer(FixedTrial({**trial.params, "resolution": size}))["snip"] for size in RESOLUTIONS
    ]
    assert len(set(scores)) == len(RESOLUTIONS) and score in scores


def test_one_network_on_several_batches_is_several_candidates() -> None:
    """A ranking by scores alone proposes the same network once, but this one has many scores."""
    scorer = ModelScorer(any_size, batch_for, ["snip"])
    sampler = ZeroCostSampler(
        scorer, ranking="snip", warmup=Warmup(60, 6, show_progress_bar=False), moves=6, seed=0
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: (any_size(trial), batch_for(trial))[1][0].mean().item(), 6)
    tried = {tuple(sorted(trial.params.items())) for trial in study.trials}
    assert len(tried) == 2 * len(RESOLUTIONS)
    scores = [trial.user_attrs["zerocost:snip"] for trial in study.trials]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 6


def test_limits_are_measured_on_the_batch_of_the_trial() -> None:
    scorer = ModelScorer(any_size, batch_for, [], limits=Limits(flops=10**9))
    flops = [scorer(FixedTrial({"width": 2, "resolution": s}))["flops"] for s in RESOLUTIONS]
    assert flops == sorted(flops) and len(set(flops)) == len(RESOLUTIONS)


def test_it_may_be_several_minibatches() -> None:
    def several(trial: Any) -> Minibatches:
        inputs, targets = batch_for(trial)
        return Minibatches((inputs, targets), (inputs.flip(-1), targets))

    trial = FixedTrial({"resolution": 12, "width": 4})
    scores = ModelScorer(convolutions, several, ["zico"])(trial)
    assert set(scores) == {"zico"}


def test_a_batch_that_is_drawn_is_the_same_each_time() -> None:
    def drawn(trial: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(6, 3, trial.params["resolution"], trial.params["resolution"]), TARGETS

    params = {"resolution": 8, "width": 4}
    state = torch.get_rng_state()
    scores = [ModelScorer(convolutions, drawn, ["snip"])(FixedTrial(params)) for _ in range(2)]
    assert scores[0] == scores[1]
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        (lambda: None, TypeError, "cannot be called with the trial alone"),
        (lambda trial, more: None, TypeError, "cannot be called with the trial alone"),
    ],
)
def test_a_function_of_something_else_is_told(batch: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        ModelScorer(any_size, batch, ["snip"])


def test_a_function_that_returns_no_pair_is_told() -> None:
    with pytest.raises(ValueError, match="it must be a pair"):
        ModelScorer(any_size, lambda trial: torch.zeros(6, 3, 8, 8), ["snip"])(random_trial(0))
