"""The benchmark of real architectures, on a handful: values and typed errors come out, no more."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time

import pytest
import torch
from torch import nn

from optuna_zerocost import proxies
from zerocost_bench import model_zoo, outcomes
from zerocost_bench.experiments import real_models

TYPED = {error.__name__ for error in proxies.ProxyError.__subclasses__()} | {
    error.__name__ for error in proxies.PassError.__subclasses__()
}
# What takes a fraction of a second here, beside the loss pass; the others run networks often.
CHEAP = (("params", "l2_norm"), ("synflow", "logsynflow"), ("zen",), ("zico",))

PYTORCHCV = pytest.mark.parametrize(
    "name",
    ["resnet20_cifar10", "squeezenet_v1_1", "shufflenetv2_wd2"],
)
TRANSFORMERS = pytest.mark.parametrize("name", ["bert", "gpt2", "vit"])
# Models that others wrote may use what torch is about to drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def check(name: str) -> None:
    settings = model_zoo.Settings(batch=4, imagenet_batch=2)
    subject = model_zoo.load(name, settings)
    loss = next(names for names in outcomes.passes() if "snip" in names)
    for names in (*CHEAP, loss):
        found = outcomes.outcomes_of(name, subject, names, settings.seed)
        assert [outcome.proxy for outcome in found] == list(names)
        for outcome in found:
            assert outcome.value or outcome.error in TYPED, outcome


@PYTORCHCV
def test_pytorchcv(name: str) -> None:
    pytest.importorskip("pytorchcv", reason="the models are pytorchcv's")
    check(name)


@TRANSFORMERS
def test_transformers(name: str) -> None:
    pytest.importorskip("transformers", reason="the models are built with transformers")
    check(name)


def small_network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))


def load_small(name: str, settings: object) -> object:
    """Stand in for the benchmark's own ``load``, in a process that has no model package."""
    if name == "slow":
        time.sleep(60)
    if name == "dying":
        os._exit(1)
    if name == "absent":
        raise ModuleNotFoundError("no such package")
    torch.manual_seed(1)
    return model_zoo.Subject(small_network(), (torch.randn(4, 3, 2, 2), torch.arange(4)))


def test_a_change_of_the_network_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = load_small("small", None)
    score = proxies.score_network

    def careless(network: nn.Module, *arguments: object, **named: object) -> dict[str, float]:
        network.eval()
        return score(network, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(proxies, "score_network", careless)
    (outcome,) = outcomes.outcomes_of("small", subject, ["params"], 0)
    assert outcome.error == "BUG" and "mode" in outcome.message


@pytest.mark.parametrize("raised", [float("nan"), RuntimeError("untyped")])
def test_nan_and_untyped_exceptions_are_bugs(
    monkeypatch: pytest.MonkeyPatch, raised: float | RuntimeError
) -> None:
    def broken(
        _network: object, _batch: object, names: list[str], **_: object
    ) -> dict[str, float]:
        if isinstance(raised, RuntimeError):
            raise raised
        return {name: raised for name in names}

    monkeypatch.setattr(proxies, "score_network", broken)
    found = outcomes.outcomes_of("small", load_small("small", None), ["snip", "plain"], 0)
    assert [outcome.error for outcome in found] == ["BUG", "BUG"]


def test_only_what_raises_is_lost() -> None:
    subject = load_small("small", None)
    subject = dataclasses.replace(subject, batch=(subject.batch[0], None))
    found = outcomes.outcomes_of("small", subject, ["jacob_cov", "snip"], 0)
    assert [bool(outcome.value) for outcome in found] == [True, False]
    assert found[1].error == "LabelsError"


def test_a_table_survives_its_file(tmp_path: pathlib.Path) -> None:
    subject = load_small("small", None)
    table = outcomes.Table(tmp_path / "table.csv", ["small"])
    table.add(outcomes.outcomes_of("small", subject, ["params", "meco"], 0))
    again = outcomes.Table(tmp_path / "table.csv", ["small"])
    again.read()
    assert again.outcomes == table.outcomes
    assert again.missing("small", ["params", "snip"]) == ["snip"]
    (row,) = real_models.grid(again, ["small"], ["params", "meco"])[2:]
    assert row == "| small | 140 | Network |"


@pytest.mark.parametrize(
    ("name", "error", "limit"),
    [("small", "", 60), ("slow", "timeout", 2), ("absent", "build", 60), ("dying", "crash", 60)],
)
def test_a_model_runs_in_a_process_of_its_own(name: str, error: str, limit: float) -> None:
    job = outcomes.Job(name, load_small, model_zoo.Settings(), (("params",), ("snip",)))
    found = job.run(limit=limit)
    assert [(outcome.proxy, outcome.error) for outcome in found] == [
        ("params", error),
        ("snip", error),
    ]
    assert all(bool(outcome.value) != bool(error) for outcome in found)
