"""Optuna's own public sampler suites, for each sampler alone and as a base sampler."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from optuna_zerocost import (
    AgingEvolutionSampler,
    ReinforceSampler,
    RelationPredictorSampler,
    Warmup,
    ZeroCostSampler,
)

if importlib.util.find_spec("optuna.testing.pytest_samplers") is None:
    pytest.skip(
        "this release of Optuna has no public sampler suites (they came with 5.0)",
        allow_module_level=True,
    )

from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

# The suites use experimental samplers of Optuna, and provoke warnings on purpose; and their
# objectives have parameters of their own, not those that are scored here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Trial .* is not the architecture:UserWarning"),
]


def score(trial: Any) -> dict[str, float]:
    depth = trial.suggest_int("depth", 1, 4)
    return {"size": depth * trial.suggest_categorical("width", [16, 32])}


def around(make_base: Callable[[], BaseSampler], **options: Any) -> Callable[[], BaseSampler]:
    return lambda: ZeroCostSampler(score, base_sampler=make_base(), **options)


def evolution() -> BaseSampler:
    # One finished trial is enough for the first mutation.
    return AgingEvolutionSampler(1, 1)


def small_predictor() -> BaseSampler:
    return RelationPredictorSampler(
        n_startup_trials=2, refit_every=1, candidates=20, layers=1, hidden=4, steps=3
    )


# Each arm runs code that no other does. What else base samplers may do as such, and which scores
# and warmups there are, is tested in tests/samplers: these suites ask about any of them the same.
SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    # the package's own samplers, without a wrapper
    "evolution": evolution,
    "predictor": small_predictor,
    # the default: a base sampler with a joint space, a warmup, then what the trials teach
    "tpe-learned": around(
        lambda: TPESampler(n_startup_trials=0),
        warmup=Warmup(candidates=20, trials=5),
        moves=4,
    ),
    # a base sampler that keeps its own state with the trials; a surrogate for each objective from
    # the first trial on, without a pool
    "nsga2-learned": around(lambda: NSGAIISampler(population_size=4), warmup=None, moves=4),
    # a fixed ranking: the pool is used up in its order, then the best draw counts; no joint space
    "random-by-score": around(
        RandomSampler, ranking="size", warmup=Warmup(candidates=20, trials=5), moves=4
    ),
    # candidates that are one edit away from the parent that the base sampler mutates
    "evolution-neighbours": around(evolution, ranking="size", warmup=None, moves="neighbours"),
}
# These are for one objective: alone, and as a base sampler that learns from what is not its own.
SINGLE_SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "reinforce": ReinforceSampler,
    "reinforce-learned": around(ReinforceSampler, warmup=Warmup(candidates=20, trials=5), moves=4),
}


@pytest.fixture(params=SAMPLERS)
def multi_sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    return SAMPLERS[request.param]


@pytest.fixture(params=SINGLE_SAMPLERS)
def single_sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    return SINGLE_SAMPLERS[request.param]


@pytest.fixture(params=[*SAMPLERS, *SINGLE_SAMPLERS])
def any_sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    return {**SAMPLERS, **SINGLE_SAMPLERS}[request.param]


class TestBasic(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, any_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return any_sampler


class TestRelative(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, any_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return any_sampler


class TestMultiObjective(MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self, multi_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return multi_sampler


class TestSingleOnly(SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self, single_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return single_sampler
