"""Signatures: alike for what a score cannot tell apart, different for every other change."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial
from torch import nn

from optuna_zerocost import LimitedScorer, Limits, ModelScorer, ReducedTrainingScorer
from optuna_zerocost.records import Candidate
from optuna_zerocost.scoring import TrialToScore
from optuna_zerocost.scoring._signature import signature_of

WIDTHS = st.lists(st.integers(1, 9), min_size=1, max_size=3)
RATES = st.floats(0.0, 0.9)


def mlp(widths: list[int], rate: float, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in zip([4, *widths], [*widths, 3], strict=True):
        layers += [nn.Linear(before, after), activation(), nn.Dropout(rate)]
    return nn.Sequential(*layers)


@given(WIDTHS, WIDTHS, RATES, RATES)
def test_widths_count_and_dropout_does_not(
    one: Any, other: Any, rate: float, rate2: float
) -> None:
    is_same = signature_of(mlp(one, rate)) == signature_of(mlp(other, rate2))
    assert is_same == (one == other)


@given(WIDTHS)
def test_weights_device_mode_and_names_do_not_count(widths: list[int]) -> None:
    network = mlp(widths, 0.1)
    signature = signature_of(network)
    assert signature == signature_of(mlp(widths, 0.1)) == signature_of(network.eval())
    with torch.device("meta"):
        assert signature == signature_of(mlp(widths, 0.1))
    named = nn.Sequential()
    for index, layer in enumerate(network):  # type: ignore[arg-type]
        named.add_module(f"layer_{index}", layer)
    assert signature == signature_of(named) == signature_of(pickle.loads(pickle.dumps(network)))


class Own(nn.Module):
    def __init__(self, *, heads: int = 2, dropout_rate: float = 0.1, activation: Any = "relu"):
        super().__init__()
        self.heads, self.dropout_rate, self.activation = heads, dropout_rate, activation
        self.layer = nn.Linear(4, 4)


class DropPath(nn.Module):
    def __init__(self, prob: float) -> None:
        super().__init__()
        self.prob = prob

    def extra_repr(self) -> str:
        return f"prob={self.prob}"


def encoder(**settings: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(8, **{"nhead": 2, "dim_feedforward": 4, **settings})


LAYER = nn.Linear(4, 4)


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: nn.LSTM(3, 4, 2, dropout=0.1), lambda: nn.LSTM(3, 4, 2, dropout=0.4)),
        (lambda: nn.GRU(3, 4, 2, dropout=0.1), lambda: nn.GRU(3, 4, 2, dropout=0.4)),
        (
            lambda: nn.MultiheadAttention(8, 2, dropout=0.1),
            lambda: nn.MultiheadAttention(8, 2, dropout=0.4),
        ),
        (lambda: encoder(dropout=0.1), lambda: encoder(dropout=0.4)),
        (lambda: nn.AlphaDropout(0.1), lambda: nn.AlphaDropout(0.4)),
        (lambda: Own(dropout_rate=0.1), lambda: Own(dropout_rate=0.4)),
        (lambda: DropPath(0.1), lambda: DropPath(0.4)),
    ],
)
def test_how_much_is_dropped_is_left_out(
    make: Callable[[], nn.Module], other: Callable[[], nn.Module]
) -> None:
    assert signature_of(make()) == signature_of(other())


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: mlp([3], 0.1), lambda: mlp([3], 0.1, nn.Tanh)),
        (lambda: nn.LSTM(3, 4, 2), lambda: nn.LSTM(3, 4, 2, bidirectional=True)),
        (lambda: nn.MultiheadAttention(8, 2), lambda: nn.MultiheadAttention(8, 4)),
        (encoder, lambda: encoder(activation="gelu")),
        (encoder, lambda: encoder(norm_first=True)),
        (lambda: nn.Conv2d(3, 4, 3), lambda: nn.Conv2d(3, 4, 3, stride=2)),
        (lambda: nn.Linear(3, 4), lambda: nn.Linear(3, 4).double()),
        (lambda: nn.Linear(3, 4), lambda: nn.Linear(3, 4).requires_grad_(False)),
        (lambda: nn.LeakyReLU(0.1), lambda: nn.LeakyReLU(0.2)),
        (lambda: nn.Dropout(0.1), nn.Identity),
        (lambda: nn.Sequential(LAYER), lambda: nn.Sequential(LAYER, LAYER)),
        (
            lambda: nn.Sequential(LAYER, LAYER),
            lambda: nn.Sequential(LAYER, nn.Linear(4, 4)),
        ),
        (Own, lambda: Own(heads=4)),
        (
            lambda: Own(activation=nn.functional.relu),
            lambda: Own(activation=nn.functional.gelu),
        ),
        (
            lambda: Own(activation=functools.partial(nn.functional.gelu, approximate="none")),
            lambda: Own(activation=functools.partial(nn.functional.gelu, approximate="tanh")),
        ),
        (lambda: Own(activation=(1, {"a": 2})), lambda: Own(activation=(1, {"a": 3}))),
    ],
)
def test_every_other_change_counts(
    make: Callable[[], nn.Module], other: Callable[[], nn.Module]
) -> None:
    assert signature_of(make()) != signature_of(other())
    assert signature_of(make()) == signature_of(make())


def test_it_is_the_same_in_every_process() -> None:
    code = (
        "from torch import nn; from optuna_zerocost.scoring._signature import signature_of;"
        "print(signature_of(nn.TransformerEncoderLayer(8, 2, 4)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == signature_of(nn.TransformerEncoderLayer(8, 2, 4))


def build(trial: Any) -> nn.Module:
    width = trial.suggest_int("width", 2, 99)
    return mlp([width], trial.suggest_float("rate", 0.0, 0.5))


BATCH = (torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"limits": Limits(params=10**4)},
        {"limits": Limits(params=10**4), "meta": True},
        {"meta": True},
    ],
)
def test_a_scorer_tells_the_network_of_all_that_it_is_shown(settings: Any) -> None:
    scorer = ModelScorer(build, BATCH, **settings)

    def told(width: int, rate: float) -> str | None:
        trial = TrialToScore({"width": width, "rate": rate})
        scorer(trial)
        return trial.network

    found = [told(width, rate) for rate in (0.1, 0.3) for width in (5, 9, 5, 9)]
    expected = [signature_of(mlp([width], 0.2)) for width in (5, 9, 5, 9)]
    assert found == expected * 2
    scorer(FixedTrial({"width": 5, "rate": 0.1}))  # one that keeps nothing


def test_a_scorer_around_another_passes_it_on_and_remembers() -> None:
    inner = ModelScorer(build, BATCH)
    outer = LimitedScorer(
        lambda trial: trial.suggest_int("width", 2, 99),
        Limits(custom={"cost": (float, 50.0)}),
        score=inner,
    )
    params = {"width": 5, "rate": 0.1}
    expected = signature_of(mlp([5], 0.2))
    for _ in range(2):
        trial = TrialToScore(params)
        outer(trial)
        assert trial.network == expected
    other = ModelScorer(build, BATCH)
    trial = TrialToScore(params)
    build(trial)
    other.remember([Candidate(trial.params, trial.distributions, {"synflow": 1.0}, expected)])
    assert other(trial) == {"synflow": 1.0} and trial.network == expected


def test_where_dropout_is_trained_with_no_network_is_told() -> None:
    trial = TrialToScore({"width": 5, "rate": 0.1})
    ReducedTrainingScorer(build, BATCH, BATCH)(trial)
    assert trial.network is None
