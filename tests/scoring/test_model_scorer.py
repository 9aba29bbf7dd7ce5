"""``ModelScorer``: one architecture has one score, and nobody notices that it was computed."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import pickle
import random
import threading
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import optuna
import pytest
import torch
from optuna.trial import FixedTrial
from torch import nn

from optuna_zerocost import Limits, ModelScorer, OutsideLimits, Scorer, Warmup, ZeroCostSampler
from optuna_zerocost.proxies import Minibatches, ProxyError, reg_swap, score_network
from optuna_zerocost.samplers._candidate_trial import random_trial


def build(trial: Any) -> nn.Module:
    width = trial.suggest_categorical("width", [4, 8, 16])
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3), nn.ReLU()]
    for index in range(trial.suggest_int("depth", 0, 2)):
        activation = trial.suggest_categorical(f"activation{index}", ["relu", "gelu"])
        layers += [
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU() if activation == "relu" else nn.GELU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))


ARCHITECTURES: list[dict[str, Any]] = [
    {"width": 4, "depth": 0},
    {"width": 8, "depth": 1, "activation0": "relu"},
    {"width": 16, "depth": 2, "activation0": "gelu", "activation1": "relu"},
]


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(8, 3, 8, 8, generator=generator)
    return inputs, torch.arange(8) % 5


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("params", ARCHITECTURES, ids=str)
def test_a_score_is_that_of_the_network_built_under_the_seed(
    params: dict[str, Any], batch: Any
) -> None:
    torch.manual_seed(11)
    network = build(FixedTrial(params))
    expected = score_network(network, batch, ("synflow", "jacob_cov", "snip"))
    scorer = ModelScorer(build, batch, ("synflow", "jacob_cov", "snip"), seed=11)
    assert scorer(FixedTrial(params)) == pytest.approx(expected, rel=1e-6)
    assert list(scorer(FixedTrial(params))) == ["synflow", "jacob_cov", "snip"]


def test_scores_do_not_depend_on_order_global_state_or_process(batch: Any) -> None:
    first = ModelScorer(build, batch, ["synflow", "snip"])
    forwards = [first(FixedTrial(params)) for params in ARCHITECTURES]
    torch.manual_seed(999)
    random.seed(999)
    second = pickle.loads(pickle.dumps(ModelScorer(build, batch, ["synflow", "snip"])))
    backwards = [second(FixedTrial(params)) for params in reversed(ARCHITECTURES)]
    assert forwards == backwards[::-1]


def test_the_global_random_states_are_left_as_they_were(batch: Any) -> None:
    def states() -> tuple[Any, ...]:
        return random.random(), np.random.random(), torch.rand(3).tolist()

    def seed() -> None:
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    seed()
    expected = states()
    seed()
    ModelScorer(build, batch)(FixedTrial(ARCHITECTURES[2]))
    assert states() == expected


def test_the_global_random_states_survive_a_builder_that_raises(batch: Any) -> None:
    def broken(trial: Any) -> nn.Module:
        torch.rand(7)
        raise RuntimeError("too deep")

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with pytest.raises(RuntimeError, match="too deep"):
        ModelScorer(broken, batch)(FixedTrial({}))
    assert torch.equal(torch.rand(3), expected)


class GloballyRandomSampler(optuna.samplers.RandomSampler):
    """Draws from the global random state, as a user's own sampler may."""

    def sample_independent(
        self, study: Any, trial: Any, param_name: str, param_distribution: Any
    ) -> Any:
        torch.rand(1)
        index = random.randrange(1000)
        if isinstance(param_distribution, optuna.distributions.CategoricalDistribution):
            return param_distribution.choices[index % len(param_distribution.choices)]
        return param_distribution.low + index % (
            param_distribution.high - param_distribution.low + 1
        )


def test_a_sampler_that_uses_the_global_state_still_draws_different_architectures(
    batch: Any,
) -> None:
    """The builder is seeded, what the sampler draws in the middle of it is not."""
    scorer = ModelScorer(build, batch)
    sampler = ZeroCostSampler(scorer, base_sampler=GloballyRandomSampler(), warmup=None, moves=12)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: len(list(build(trial).children())), n_trials=1)
    assert study.trials[0].user_attrs["zerocost:candidates"] > 3
    params = study.trials[0].params
    # Drawing did not move the weights: the stored score is that of a fresh scorer.
    assert study.trials[0].user_attrs["zerocost:synflow"] == pytest.approx(
        ModelScorer(build, batch)(FixedTrial(params))["synflow"], rel=1e-12
    )


def test_a_random_trial_has_nothing_to_do_with_the_global_random_states(batch: Any) -> None:
    outside, inside = (random_trial(7) for _ in range(2))
    build(outside)
    scores = ModelScorer(build, batch)(inside)
    # The builder draws weights between one parameter and the next.
    assert len(inside.params) > 2
    assert inside.params == outside.params
    assert scores == ModelScorer(build, batch)(FixedTrial(inside.params))


@pytest.mark.parametrize("is_enabled", [True, False])
@pytest.mark.parametrize("is_broken", [True, False])
def test_the_garbage_collector_waits_until_a_candidate_is_scored(
    batch: Any, is_enabled: bool, is_broken: bool
) -> None:
    seen: list[bool] = []

    def watched(trial: Any) -> nn.Module:
        seen.append(gc.isenabled())
        if is_broken:
            raise RuntimeError("too deep")
        return build(trial)

    before = gc.isenabled()
    switch = {True: gc.enable, False: gc.disable}
    switch[is_enabled]()
    try:
        with contextlib.suppress(RuntimeError):
            ModelScorer(watched, batch)(FixedTrial(ARCHITECTURES[0]))
        after = gc.isenabled()
    finally:
        switch[before]()
    assert seen == [False]
    assert after is is_enabled


def test_an_architecture_is_scored_once(batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna_zerocost.scoring import _model_scorer

    calls: list[int] = []
    original = score_network

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(_model_scorer._proxies, "score_network", counting)
    scorer = ModelScorer(build, batch)
    for _ in range(3):
        for params in ARCHITECTURES:
            scorer(FixedTrial(params))
    assert len(calls) == len(ARCHITECTURES)
    calls.clear()
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=60, trials=5), moves=10, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: len(list(build(trial).children())), n_trials=8)
    assert len(calls) <= 3 * (1 + 2 + 4) - len(ARCHITECTURES)  # the whole space, less those above


def test_statistics_count_what_was_scored_and_what_was_known(batch: Any) -> None:
    scorer = ModelScorer(build, batch)
    for _ in range(3):
        for params in ARCHITECTURES:
            scorer(FixedTrial(params))
    statistics = scorer.statistics
    assert (statistics.scored, statistics.cache_hits) == (3, 6)
    assert 0 < statistics.build_seconds and 0 < statistics.score_seconds
    assert statistics.seconds_per_candidate == pytest.approx(
        statistics.build_seconds / 9 + statistics.score_seconds / 3
    )


def first_trials(scorer: ModelScorer) -> list[dict[str, Any]]:
    sampler = ZeroCostSampler(scorer, warmup=Warmup(candidates=64, trials=4), moves=1, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: len(list(build(trial).children())), n_trials=4)
    return [{**trial.params, **scores_of(trial)} for trial in study.trials]


def scores_of(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {k: v for k, v in trial.user_attrs.items() if k != "zerocost:seconds"}


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_scores_do_not_depend_on_the_number_of_jobs_or_the_engine(
    batch: Any, backend: str
) -> None:
    expected = first_trials(ModelScorer(build, batch, ["synflow"]))
    with joblib.parallel_config(backend=backend):
        scorer = ModelScorer(build, batch, ["synflow"], n_jobs=2)
        assert first_trials(scorer) == expected
    with joblib.parallel_config(backend=backend, n_jobs=2):
        scorer = ModelScorer(build, batch, ["synflow"], n_jobs=None)
        assert first_trials(scorer) == expected
    # What the workers scored is known here: none of the pool's architectures is scored again.
    before = scorer.statistics.scored
    first_trials(scorer)
    assert scorer.statistics.scored == before


def threads_of_worker(scorer: ModelScorer) -> tuple[int, int]:
    torch.set_num_threads(2)
    scorer.prepare_worker()
    return os.getpid(), torch.get_num_threads()


def test_a_worker_process_uses_one_thread_and_a_worker_thread_changes_nothing(batch: Any) -> None:
    scorer = ModelScorer(build, batch)
    assert threads_of_worker(scorer) == (os.getpid(), 2)
    [(process, threads)] = joblib.Parallel(n_jobs=2)([joblib.delayed(threads_of_worker)(scorer)])
    assert process != os.getpid() and threads == 1


def test_a_changed_result_does_not_change_the_cache(batch: Any) -> None:
    scorer = ModelScorer(build, batch)
    scores = scorer(FixedTrial(ARCHITECTURES[0]))
    kept = dict(scores)
    scores["synflow"] = -1.0
    assert scorer(FixedTrial(ARCHITECTURES[0])) == kept


def test_the_batch_is_not_changed(batch: Any) -> None:
    inputs, targets = batch[0].clone(), batch[1].clone()
    ModelScorer(build, batch, ["jacob_cov", "synflow", "fisher"])(FixedTrial(ARCHITECTURES[1]))
    assert torch.equal(batch[0], inputs) and torch.equal(batch[1], targets)
    assert not batch[0].requires_grad


def test_threads_get_the_same_scores_as_one(batch: Any) -> None:
    expected = [ModelScorer(build, batch)(FixedTrial(params)) for params in ARCHITECTURES]
    scorer = ModelScorer(build, batch)
    results: dict[int, dict[str, float]] = {}

    def work(index: int) -> None:
        results[index] = scorer(FixedTrial(ARCHITECTURES[index % 3]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[index] for index in range(6)] == expected * 2


def other_build(trial: Any, depth: int = 2) -> nn.Module:
    return build(trial)


def test_the_fingerprint_tells_what_changes_scores(batch: Any) -> None:
    inputs, targets = batch
    same = ModelScorer(build, (inputs.clone(), targets.clone())).fingerprint
    assert ModelScorer(build, batch).fingerprint == same
    others = [
        ModelScorer(build, batch, seed=1),
        ModelScorer(build, batch, ["snip"]),
        ModelScorer(build, (inputs + 1e-3, targets)),
        ModelScorer(build, (inputs, targets.flip(0))),
        ModelScorer(build, batch, loss_fn=nn.functional.multi_margin_loss),
        ModelScorer(other_build, batch),
        ModelScorer(functools.partial(other_build), batch),
        ModelScorer(functools.partial(other_build, depth=3), batch),
    ]
    fingerprints = {same, *(scorer.fingerprint for scorer in others)}
    assert len(fingerprints) == 1 + len(others)


def test_it_is_a_scorer_with_names_and_directions(batch: Any) -> None:
    scorer = ModelScorer(build, batch, ["synflow", "params"])
    assert isinstance(scorer, Scorer)
    assert scorer.score_names == ("synflow", "params")
    assert scorer.score_directions == {"synflow": "maximize", "params": "maximize"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"build_model": 3}, TypeError, "function that makes a network"),
        ({"proxies": []}, ValueError, "at least one proxy"),
        ({"proxies": ["snip", "snip"]}, ValueError, "each once"),
        ({"proxies": ["sinp"]}, ValueError, "snip"),
        ({"batch": torch.zeros(2, 3)}, ValueError, "pair"),
        ({"batch": (1, 2, 3)}, ValueError, "pair"),
        ({"on_undefined": "ignore"}, ValueError, "'reject' or 'omit'"),
    ],
)
def test_wrong_arguments_get_clear_errors(
    arguments: dict[str, Any], error: type[Exception], message: str, batch: Any
) -> None:
    with pytest.raises(error, match=message):
        ModelScorer(**{"build_model": build, "batch": batch, **arguments})


def test_a_builder_that_returns_no_network_is_told(batch: Any) -> None:
    with pytest.raises(TypeError, match="returned tuple.*torch.nn.Module"):
        ModelScorer(lambda trial: (1, 2), batch)(FixedTrial({}))  # type: ignore[arg-type, return-value]


class Dead(nn.Module):
    """Its output does not depend on its input, so that the Jacobian's correlation is undefined."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 8 * 8, 5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(0 * inputs.flatten(1))
        return logits


def build_dead_or_alive(trial: Any) -> nn.Module:
    if trial.suggest_categorical("dead", [True, False]):
        return Dead()
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))


def test_an_undefined_score_rejects_the_network_or_is_left_out(batch: Any) -> None:
    names = ("jacob_cov", "params", "snip")
    dead, alive = FixedTrial({"dead": True}), FixedTrial({"dead": False})
    rejecting = ModelScorer(build_dead_or_alive, batch, names, on_undefined="reject")
    with pytest.raises(ProxyError, match="correlates with no other"):
        rejecting(dead)
    omitting = ModelScorer(build_dead_or_alive, batch, names)
    assert list(omitting(dead)) == ["params", "snip"]
    assert omitting(alive) == rejecting(alive) and list(omitting(alive)) == list(names)
    alone = ModelScorer(build_dead_or_alive, batch, ["jacob_cov"])
    assert alone(dead) == {} == alone(dead) and alone.statistics.scored == 1
    with pytest.raises(ProxyError, match="ReLU"):  # it is not undefined, it cannot be asked for
        ModelScorer(build_dead_or_alive, batch, ["naswot"])(alive)
    sampler = ZeroCostSampler(
        omitting, ranking="jacob_cov", warmup=Warmup(candidates=8, trials=2), moves=1, seed=0
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_categorical("dead", [True, False]), n_trials=2)
    assert [trial.params["dead"] for trial in study.trials] == [False, True]


def test_several_minibatches_and_a_proxy_with_parameters(batch: Any) -> None:
    inputs, targets = batch
    pair = Minibatches((inputs, targets), (inputs.flip(0) + 0.1, targets.flip(0)))
    asked = [reg_swap(mu=1e3, sigma=1e8), "zico", "snip"]
    scorer = ModelScorer(build, pair, asked)
    assert scorer.score_names == ("reg_swap", "zico", "snip")
    params = ARCHITECTURES[1]
    torch.manual_seed(0)
    expected = score_network(build(FixedTrial(params)), pair, asked)
    assert scorer(FixedTrial(params)) == pytest.approx(expected, rel=1e-6)
    others = [
        ModelScorer(build, pair, [reg_swap(mu=2e3, sigma=1e8), "zico", "snip"]),
        ModelScorer(build, (inputs, targets), asked),
    ]
    assert scorer.fingerprint == ModelScorer(build, pair, asked).fingerprint
    assert scorer.fingerprint not in {other.fingerprint for other in others}


def test_one_name_may_be_given_as_a_string(batch: Any) -> None:
    assert ModelScorer(build, batch, "snip").score_names == ("snip",)


def build_lazy(trial: Any) -> nn.Module:
    width = trial.suggest_categorical("width", [4, 8])
    return nn.Sequential(
        nn.LazyConv2d(width, 3),
        nn.LazyBatchNorm2d(),
        nn.Dropout(),
        nn.Flatten().eval(),
        nn.LazyLinear(5),
    )


def build_lazy_by_hand(trial: Any) -> nn.Module:
    network = build_lazy(trial)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 8, 8))
    network.train()[3].eval()
    return network


class Watching:
    """Sees the networks that are scored."""

    def __init__(self) -> None:
        self.seen: list[list[bool]] = []

    def __call__(self, network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        self.seen.append([module.training for module in network.modules()])
        output: torch.Tensor = network(inputs)
        return output


def test_lazy_layers_get_their_shapes_from_the_batch(batch: Any) -> None:
    proxies = ["synflow", "snip", "jacob_cov", "params"]
    watching = Watching()
    lazy = ModelScorer(build_lazy, batch, proxies, forward_fn=watching)
    by_hand = ModelScorer(build_lazy_by_hand, batch, proxies)
    for width in (4, 8):
        assert lazy(FixedTrial({"width": width})) == by_hand(FixedTrial({"width": width}))
    assert watching.seen[0] == [False] * 6
    limited = ModelScorer(build_lazy, batch, proxies, limits=Limits(params=1000), meta=True)
    assert limited(FixedTrial({"width": 4})) == lazy(FixedTrial({"width": 4}))
    with pytest.raises(OutsideLimits):
        limited(FixedTrial({"width": 8}))


def test_lazy_layers_that_cannot_run_are_told(batch: Any) -> None:
    def build_wrong(trial: Any) -> nn.Module:
        trial.suggest_int("width", 1, 2)
        return nn.Sequential(nn.LazyConv2d(4, 30), nn.Flatten(), nn.LazyLinear(5))

    with pytest.raises(ProxyError, match="lazy layers, and the run .* failed with RuntimeError"):
        ModelScorer(build_wrong, batch, ["snip"])(FixedTrial({"width": 1}))
    with pytest.raises(ProxyError, match="has no shape yet"):
        ModelScorer(build_wrong, None, [], limits=Limits(params=1000))(FixedTrial({"width": 1}))


def test_a_score_that_cannot_be_computed_is_left_out_and_said_to_be_once() -> None:
    """Here because of targets that are no classes: with the wrong loss nothing would be said."""

    def build(trial: Any) -> nn.Module:
        width = trial.suggest_int("width", 1, 9)
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))

    batch = torch.randn(8, 4), torch.randn(8, 1)
    scorer = ModelScorer(build, batch, ["snip", "synflow"])
    with pytest.warns(UserWarning, match=r"snip is left out.*loss_fn") as told:
        found = [scorer(FixedTrial({"width": width})) for width in (3, 5)]
    assert len(told) == 1
    assert [list(scores) for scores in found] == [["synflow"]] * 2
    right = ModelScorer(build, batch, ["snip", "synflow"], loss_fn=nn.functional.mse_loss)
    assert set(right(FixedTrial({"width": 3}))) == {"snip", "synflow"}
