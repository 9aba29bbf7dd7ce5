"""Optuna's own public sampler suites, for each sampler alone and as a base sampler."""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

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

# The suites use Optuna's experimental QMC sampler, and provoke warnings on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

BASES: dict[str, Callable[[], BaseSampler]] = {
    "random": RandomSampler,
    "tpe": lambda: TPESampler(n_startup_trials=0),
    "nsga2": lambda: NSGAIISampler(population_size=4),
    "qmc": QMCSampler,
    "evolution": lambda: AgingEvolutionSampler(2, 2),
}
# These are for one objective.
SINGLE_BASES: dict[str, Callable[[], BaseSampler]] = {"reinforce": ReinforceSampler}
WAYS: dict[str, dict[str, Any]] = {
    "moves": {"warmup": None, "moves": 4},
    "both": {"warmup": Warmup(candidates=20, trials=5), "moves": 4},
}


def score(trial: Any) -> dict[str, float]:
    depth = trial.suggest_int("depth", 1, 4)
    return {"size": depth * trial.suggest_categorical("width", [16, 32])}


def make(make_base: Callable[[], BaseSampler], way: str) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return ZeroCostSampler(score, base_sampler=make_base(), **WAYS[way])


def wrapped(bases: dict[str, Callable[[], BaseSampler]]) -> dict[str, Callable[[], BaseSampler]]:
    return {
        f"{base}-{way}": functools.partial(make, bases[base], way)
        for base in bases
        for way in WAYS
    }


def small_predictor() -> BaseSampler:
    return RelationPredictorSampler(
        n_startup_trials=2, refit_every=1, candidates=20, layers=1, hidden=4, steps=3
    )


SAMPLERS: dict[str, Callable[[], BaseSampler]] = {
    "predictor": small_predictor,
    "predictor-both": functools.partial(make, small_predictor, "both"),
    # One finished trial is enough for the first mutation.
    "evolution": lambda: AgingEvolutionSampler(1, 1),
    **wrapped(BASES),
}
SINGLE_SAMPLERS: dict[str, Callable[[], BaseSampler]] = {**SINGLE_BASES, **wrapped(SINGLE_BASES)}


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
