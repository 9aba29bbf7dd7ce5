"""Reduced training: each reduction alone does what it says, and the cost is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FixedTrial
from torch import Tensor, nn

from optuna_zerocost import ReducedTrainingScorer, Warmup, ZeroCostSampler

PARAMS = {"width": 8}


class Watching(nn.Module):
    """A small network that notes the inputs it was trained on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Dropout(0.1), nn.AdaptiveAvgPool2d(2)
        )
        self.head = nn.Linear(4 * width, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.seen.append(inputs)
        logits: Tensor = self.head(self.body(inputs).flatten(1))
        return logits


built: list[Watching] = []


def build(trial: Any, width_factor: float = 1.0) -> nn.Module:
    built.append(Watching(int(trial.suggest_categorical("width", [4, 8]) * width_factor)))
    return built[-1]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    built.clear()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    """Images that are bright on the left or on the right: easy to learn."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(96) % 2
    inputs = 0.3 * torch.randn(96, 1, 8, 8, generator=generator)
    inputs[targets == 0, :, :, :4] += 1
    inputs[targets == 1, :, :, 4:] += 1
    return inputs, targets


def images(inputs: Tensor) -> Tensor:
    """The images in an order that does not depend on how they were shuffled."""
    flat = inputs.flatten(1)
    return flat[flat[:, 0].argsort()]


def make(data: Any, **reductions: Any) -> ReducedTrainingScorer:
    return ReducedTrainingScorer(build, data, data, batch_size=32, **reductions)


def test_no_reduction_but_the_epochs(data: Any) -> None:
    scorer = make(data, epochs=3)
    assert scorer.minibatches == 9
    score = scorer(FixedTrial(PARAMS))["reduced_training"]
    assert [tuple(x.shape) for x in built[0].seen] == [(32, 1, 8, 8)] * 9
    # Each epoch is all of the data, each time in another order.
    epochs = [torch.cat(built[0].seen[i : i + 3]) for i in (0, 3, 6)]
    for epoch in epochs:
        assert torch.equal(images(epoch), images(data[0]))
    assert not torch.equal(epochs[0], epochs[1])
    assert 0 <= score <= 1


def test_more_training_learns(data: Any) -> None:
    scores = [make(data, epochs=n)(FixedTrial(PARAMS))["reduced_training"] for n in (1, 60)]
    assert scores[1] == 1.0 > scores[0]


def test_fewer_samples(data: Any) -> None:
    scorer = make(data, samples=40)
    scorer(FixedTrial(PARAMS))
    assert scorer.minibatches == 2
    assert [len(x) for x in built[0].seen] == [32, 8]
    known = {tuple(image.flatten().tolist()) for image in data[0]}
    seen = [tuple(image.flatten().tolist()) for x in built[0].seen for image in x]
    assert len(set(seen)) == 40 and set(seen) <= known


def test_lower_resolution(data: Any) -> None:
    make(data, resolution=4)(FixedTrial(PARAMS))
    assert {tuple(x.shape[1:]) for x in built[0].seen} == {(1, 4, 4)}
    total = sum(float(x.mean()) * len(x) for x in built[0].seen) / 96
    assert total == pytest.approx(float(data[0].mean()), abs=1e-6)  # averaged, not dropped


def test_fewer_channels(data: Any) -> None:
    make(data, width_factor=0.5)(FixedTrial(PARAMS))
    assert built[0].head.in_features == 4 * 4
    make(data)(FixedTrial(PARAMS))
    assert built[1].head.in_features == 4 * 8


def test_the_same_score_every_time_and_no_trace_in_the_random_state(data: Any) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = make(data)(FixedTrial(PARAMS))
    assert torch.equal(torch.rand(2), expected)
    torch.manual_seed(99)
    assert make(data)(FixedTrial(PARAMS)) == first
    assert make(data).fingerprint == make(data).fingerprint != make(data, epochs=2).fingerprint


def test_own_optimizer_and_metric(data: Any) -> None:
    def frozen(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.0)

    scorer = make(data, optimizer=frozen, metric_fn=lambda outputs, targets: -outputs.abs().max())
    assert scorer(FixedTrial(PARAMS))["reduced_training"] < 0
    torch.manual_seed(0)
    untouched = build(FixedTrial(PARAMS))
    for trained, initial in zip(built[0].parameters(), untouched.parameters(), strict=True):
        assert torch.equal(trained, initial)


def test_it_ranks_a_warmup_and_its_cost_is_measured(data: Any) -> None:
    scorer = make(data, samples=64)
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=10, trials=2), moves=1, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_categorical("width", [4, 8]), n_trials=2)
    scores = [trial.user_attrs["zerocost:reduced_training"] for trial in study.trials]
    assert scores == sorted(scores, reverse=True)
    assert scorer.statistics.scored == 2  # two architectures, however often they were drawn
    assert scorer.statistics.seconds_per_candidate > 0


@pytest.mark.parametrize(
    ("reductions", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"samples": 97}, "samples is 97.*at most 96"),
        ({"resolution": 0}, "resolution is 0"),
        ({"width_factor": 1.5}, "width_factor is 1.5"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_impossible_reductions_are_refused(
    data: Any, reductions: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ReducedTrainingScorer(build, data, data, **reductions)


def test_wrong_data_are_refused(data: Any) -> None:
    inputs, targets = data
    with pytest.raises(ValueError, match="pair of tensors"):
        ReducedTrainingScorer(build, inputs, data)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="96 inputs and 95 targets"):
        ReducedTrainingScorer(build, data, (inputs, targets[1:]))
    with pytest.raises(ValueError, match="no images"):
        ReducedTrainingScorer(build, (inputs.flatten(1), targets), data, resolution=4)


def test_lazy_layers_are_trained() -> None:
    def build_lazy(trial: Any) -> nn.Module:
        width = trial.suggest_int("width", 1, 8)
        return nn.Sequential(nn.LazyConv2d(width, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))

    def build_by_hand(trial: Any) -> nn.Module:
        network = build_lazy(trial)
        network(torch.zeros(1, 1, 8, 8))
        return network

    generator = torch.Generator().manual_seed(0)
    data = torch.randn(40, 1, 8, 8, generator=generator), torch.arange(40) % 2
    lazy, by_hand = (
        ReducedTrainingScorer(builder, data, data, batch_size=8)(FixedTrial(PARAMS))
        for builder in (build_lazy, build_by_hand)
    )
    assert lazy == by_hand
