"""Limits of networks: measured right, and the same on the meta device as anywhere else."""

from __future__ import annotations

import pickle
import time
import types
from collections.abc import Callable
from typing import Any

import optuna
import pytest
import torch
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial
from torch import nn

from optuna_zerocost import Limits, ModelScorer, OutsideLimits, Warmup, ZeroCostSampler
from optuna_zerocost.proxies import score_network
from optuna_zerocost.scoring import _network_builder
from optuna_zerocost.scoring._meta import MetaDevice

INPUTS = torch.randn(6, 12, generator=torch.Generator().manual_seed(0))
BATCH = (INPUTS, torch.arange(6) % 3)


def suggested_widths(trial: Any) -> list[int]:
    depth = trial.suggest_int("depth", 1, 3)
    return [trial.suggest_int(f"width{i}", 1, 16) for i in range(depth)]


def build(trial: Any) -> nn.Module:
    layers: list[nn.Module] = []
    width = 12
    for wider in suggested_widths(trial):
        layers += [nn.Linear(width, wider), nn.BatchNorm1d(wider), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers, nn.Linear(width, 3))


def build_reading_an_item(trial: Any) -> nn.Module:
    """Reads a number, which a weight on the meta device has not."""
    network = build(trial)
    assert isinstance(network, nn.Sequential)
    first = network[0]
    assert isinstance(first, nn.Linear)
    first.weight.data /= first.weight.abs().max().item()
    return network


def build_with_numpy(trial: Any) -> nn.Module:
    network = build(trial)
    for parameter in network.parameters():
        parameter.data = torch.from_numpy(parameter.detach().numpy() * 2)
    return network


def build_otherwise_on_meta(trial: Any) -> nn.Module:
    """A layer more where there are no values: what is counted there says nothing."""
    network = build(trial)
    if next(network.parameters()).is_meta:
        return nn.Sequential(network, nn.Linear(3, 3))
    return network


BUILDERS: list[Callable[[Any], nn.Module]] = [
    build,
    build_reading_an_item,
    build_with_numpy,
    build_otherwise_on_meta,
]


def parameters_of(params: dict[str, Any]) -> int:
    """Count without a network: weights, biases, scale and shift."""
    width, total = 12, 0
    for wider in suggested_widths(FixedTrial(params)):
        total += width * wider + wider + 2 * wider
        width = wider
    return total + width * 3 + 3


def study_with(scorer: ModelScorer, *, trials: int = 6, **arguments: Any) -> optuna.Study:
    defaults: dict[str, Any] = {
        "base_sampler": RandomSampler(seed=2),
        "warmup": Warmup(candidates=6, trials=2, show_progress_bar=False),
        "moves": 3,
        "seed": 0,
    }
    sampler = ZeroCostSampler(scorer, **{**defaults, **arguments})
    study = optuna.create_study(sampler=sampler)
    study.optimize(
        lambda trial: parameters_of(dict(trial.params, **drawn(trial))), n_trials=trials
    )
    return study


def drawn(trial: Any) -> dict[str, Any]:
    suggested_widths(trial)
    return dict(trial.params)


@pytest.mark.parametrize("builder", BUILDERS)
def test_results_are_the_same_with_and_without_the_meta_device(
    builder: Callable[[Any], nn.Module],
) -> None:
    limits = Limits(params=(150, 320), flops=600)
    summaries = []
    for meta in (False, True, None):
        scorer = ModelScorer(builder, BATCH, ["synflow", "snip"], limits=limits, meta=meta)
        study = study_with(scorer, ranking="synflow")
        summaries.append(
            [
                (t.params, {k: v for k, v in t.user_attrs.items() if k != "zerocost:seconds"})
                for t in study.trials
            ]
        )
        assert (scorer.statistics.sketched > 0) == (meta is not False)
        # Found out once: a builder that does not bear it is asked no second time.
        if builder is not build and meta is not False:
            assert scorer.statistics.sketched == 1
        for trial in study.trials:
            assert 150 <= parameters_of(trial.params) <= 320
            assert trial.user_attrs["zerocost:params"] == parameters_of(trial.params)
            assert trial.user_attrs["zerocost:flops"] <= 600
    assert summaries[0] == summaries[1] == summaries[2]


@pytest.mark.parametrize("meta", [True, None])
def test_weights_outside_of_the_limits_never_exist(meta: bool | None) -> None:
    """Layers of 400 megabytes are drawn, and only small ones are ever given weights."""
    built: list[int] = []

    def build_wide(trial: Any) -> nn.Module:
        width = trial.suggest_categorical("width", [4, 10_000, 20_000])
        network = nn.Sequential(nn.Linear(12, width), nn.Linear(width, width), nn.Linear(width, 3))
        if not network[1].weight.is_meta:
            built.append(width)
        return network

    scorer = ModelScorer(build_wide, proxies=(), limits=Limits(params=1e6), meta=meta)
    with pytest.raises(OutsideLimits):
        scorer(FixedTrial({"width": 20_000}))
    sampler = ZeroCostSampler(scorer, base_sampler=RandomSampler(seed=0), moves=9)
    study = optuna.create_study(sampler=sampler)
    widths = [4, 10_000, 20_000]
    study.optimize(lambda trial: trial.suggest_categorical("width", widths), n_trials=4)
    assert [trial.value for trial in study.trials] == [4] * 4
    assert set(built) == {4}
    assert scorer.statistics.outside > 0


def test_without_limits_small_networks_are_built_once_and_large_repeats_without_weights() -> None:
    small = ModelScorer(build, BATCH)
    study_with(small)
    assert small.statistics.sketched == 0
    forced = ModelScorer(build, BATCH, meta=True)
    params = {"depth": 1, "width0": 5}
    first = forced(FixedTrial(params))
    # Two architectures are built both ways, to compare; a third only where it has to be scored.
    forced(FixedTrial({"depth": 1, "width0": 6}))
    built = forced.statistics.built
    assert forced(FixedTrial(params)) == first == ModelScorer(build, BATCH)(FixedTrial(params))
    assert (forced.statistics.built, forced.statistics.sketched) == (built, 3)


@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.9, 2.0])
@pytest.mark.parametrize("needed", [0, 5, 10])
def test_the_meta_device_pays_where_it_costs_less_than_it_saves(ratio: float, needed: int) -> None:
    policy = MetaDevice(None, reads_shapes=True)
    network = nn.Linear(2, 2)
    for _ in range(2):
        policy.compare(network, network, sketch_seconds=ratio, seconds=1.0)
    for index in range(1000):
        policy.drawn(needs_weights=index % 10 < needed)
    assert policy.pays() == (ratio < 1 - needed / 10 or (needed == 10 and ratio < 0.001))


def test_the_time_for_drawing_says_nothing_about_the_meta_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Drawing happens in the first of two buildings, however slow the sampler is."""
    now = 0.0
    monkeypatch.setattr(_network_builder, "time", types.SimpleNamespace(perf_counter=lambda: now))

    def build_in_time(trial: Any) -> nn.Module:
        nonlocal now
        network = build(trial)
        now += 0.1 if next(network.parameters()).is_meta else 1.0
        return network

    class SlowSampler(RandomSampler):
        def sample_independent(self, *arguments: Any) -> Any:
            nonlocal now
            now += 10.0
            return super().sample_independent(*arguments)

    scorer = ModelScorer(build_in_time, proxies=(), limits=Limits(params=(150, 250)))
    study_with(scorer, trials=4, base_sampler=SlowSampler(seed=0), warmup=None)
    drawn = scorer.statistics.sketched
    assert drawn > 10 and scorer.statistics.built <= 4 + 2  # the trials, and two to compare


def test_a_builder_that_keeps_layers_is_told_how_to_be_left_alone() -> None:
    kept: dict[int, nn.Module] = {}

    def build_with_memory(trial: Any) -> nn.Module:
        width = trial.suggest_int("width", 1, 9)
        return nn.Sequential(kept.setdefault(width, nn.Linear(12, width)), nn.Linear(width, 3))

    scorer = ModelScorer(build_with_memory, BATCH, limits=Limits(params=1e6))
    with pytest.raises(TypeError, match="keep layers.*meta=False"):
        scorer(FixedTrial({"width": 4}))
    kept.clear()
    scorer = ModelScorer(build_with_memory, BATCH, limits=Limits(params=1e6), meta=False)
    assert scorer(FixedTrial({"width": 4}))["params"] == 12 * 4 + 4 + 4 * 3 + 3


def test_a_builder_that_raises_is_not_taken_for_one_that_does_not_bear_the_device() -> None:
    def build_or_raise(trial: Any) -> nn.Module:
        if trial.suggest_int("depth", 1, 3) == 3:
            raise RuntimeError("too deep")
        return build(trial)

    scorer = ModelScorer(build_or_raise, BATCH, limits=Limits(params=1e6), meta=True)
    with pytest.raises(RuntimeError, match="too deep"):
        scorer(FixedTrial({"depth": 3}))
    scorer(FixedTrial({"depth": 1, "width0": 5}))
    assert scorer.statistics.sketched == 2


def test_samplers_draw_outside_of_the_meta_device_and_of_the_seeded_state() -> None:
    class TorchSampler(RandomSampler):
        """Computes with torch, as GPSampler does."""

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
            step = int(torch.rand(1).item() * (distribution.high - distribution.low + 1))
            return distribution.low + step

    def params(meta: bool) -> list[dict[str, Any]]:
        torch.manual_seed(3)
        scorer = ModelScorer(build, BATCH, limits=Limits(params=300), meta=meta)
        study = study_with(scorer, base_sampler=TorchSampler(), warmup=None)
        return [trial.params for trial in study.trials]

    assert params(True) == params(False)
    assert len({str(found) for found in params(True)}) == 6


def test_what_is_measured_is_what_the_proxies_count_and_is_measured_once() -> None:
    params = {"depth": 2, "width0": 7, "width1": 4}
    limits = Limits(params=1e9, flops=1e9)
    scorer = ModelScorer(build, BATCH, ["flops", "snip"], limits=limits)
    scores = scorer(FixedTrial(params))
    assert list(scores) == ["flops", "snip", "params"]
    expected = score_network(build(FixedTrial(params)), BATCH, ["flops", "params"])
    assert {name: scores[name] for name in expected} == expected
    measured: list[int] = []

    def count(network: nn.Module) -> float:
        measured.append(1)
        return float(len(list(network.modules())))

    again = ModelScorer(build, proxies=(), limits=Limits(custom={"modules": (count, 3)}))
    for _ in range(3):
        with pytest.raises(OutsideLimits, match="modules is 8"):
            again(FixedTrial(params))
    assert len(measured) == 1
    assert (again.statistics.outside, again.statistics.scored) == (3, 0)


class Slow(nn.Module):
    """Counts its forwards, and takes at least so many seconds for each."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 3)
        self.norm = nn.BatchNorm1d(3)
        self.seconds = seconds

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        assert not self.training and not torch.is_grad_enabled() and len(inputs) == 2
        time.sleep(self.seconds)
        output: torch.Tensor = self.norm(self.layer(inputs))
        return output


def test_latency_is_at_least_what_a_forward_takes_and_leaves_the_network_alone() -> None:
    networks: list[nn.Module] = []

    def build_slow(trial: Any) -> nn.Module:
        network = Slow(trial.suggest_float("seconds", 0, 1))
        networks.append(network)
        return network

    limits = Limits(latency_ms=40, samples=2)
    scorer = ModelScorer(build_slow, BATCH, (), limits=limits, meta=False)
    assert 4.0 <= scorer(FixedTrial({"seconds": 0.004}))["latency_ms"] <= 40
    with pytest.raises(OutsideLimits, match="latency_ms is .* at most 40") as caught:
        scorer(FixedTrial({"seconds": 0.05}))
    assert caught.value.measured["latency_ms"] >= 50
    for network in networks:
        assert isinstance(network, Slow) and network.training
        assert torch.equal(network.norm.running_mean, torch.zeros(3))  # type: ignore[arg-type]


def test_memory_of_a_forward_is_that_of_the_largest_pair_of_layers() -> None:
    widths = [12, 200, 50, 300, 3]
    network_bytes = 4 * sum(a * b for a, b in zip(widths, widths[1:], strict=False))

    def build_chain(trial: Any) -> nn.Module:
        trial.suggest_int("unused", 1, 1)
        pairs = zip(widths, widths[1:], strict=False)
        return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairs))

    def memory(samples: int, *, backward: bool = False) -> float:
        limits = Limits(memory_mb=1e3, samples=samples, backward=backward)
        scorer = ModelScorer(build_chain, BATCH, (), limits=limits)
        return scorer(FixedTrial({"unused": 1}))["memory_mb"] * 1e6

    for samples in (1, 3, 6):
        # The inputs stay; of the layers' outputs at most two are there at once.
        largest = max(a + b for a, b in zip(widths[1:], widths[2:], strict=False))
        assert memory(samples) == network_bytes + 4 * samples * (12 + largest)
        # At the end of a backward pass all gradients are there, beside the first layer's inputs
        # and the gradient of its outputs.
        assert memory(samples, backward=True) >= 2 * network_bytes + 4 * samples * sum(widths[:2])


def test_the_fingerprint_tells_what_the_limits_are() -> None:
    limits = [
        None,
        Limits(params=100),
        Limits(params=200),
        Limits(params=200, custom={"size": (len, 3)}),
        Limits(memory_mb=5),
        Limits(memory_mb=5, samples=1),
        Limits(memory_mb=5, backward=True),
    ]
    fingerprints = [ModelScorer(build, BATCH, limits=each).fingerprint for each in limits]
    assert len(set(fingerprints)) == len(limits)
    assert ModelScorer(build, BATCH, limits=Limits(params=100)).fingerprint == fingerprints[1]


def test_a_limited_scorer_pickles_in_the_middle_of_its_work() -> None:
    scorer = ModelScorer(build, BATCH, limits=Limits(params=(150, 320)))
    study_with(scorer)
    again = pickle.loads(pickle.dumps(scorer))
    trial = FixedTrial({"depth": 1, "width0": 12})
    assert again(trial) == scorer(trial)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"batch": None, "limits": Limits(flops=5), "proxies": ()},
            ValueError,
            "flops.*minibatch",
        ),
        ({"batch": None, "limits": Limits(params=5)}, ValueError, "synflow.*minibatch"),
        ({"proxies": ()}, ValueError, "unless there are limits"),
        ({"limits": {"params": 5}}, TypeError, "must be Limits"),
        ({"limits": Limits(custom={"snip": (len, 5)})}, ValueError, "'snip'.*proxies"),
        ({"meta": "cpu"}, TypeError, "True, False or None"),
    ],
)
def test_wrong_arguments_get_clear_errors(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ModelScorer(**{"build_model": build, "batch": BATCH, **arguments})
