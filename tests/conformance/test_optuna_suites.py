"""Optuna's own public sampler suites, for our samplers alone and under ``ZeroCostSampler``."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler

from optuna_zerocost import ReinforceSampler, Warmup, ZeroCostSampler

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
}
# These have one objective.
SINGLE: dict[str, Callable[[], BaseSampler]] = {"reinforce": ReinforceSampler}
WAYS: dict[str, dict[str, Any]] = {
    "moves": {"warmup": None, "moves": 4},
    "both": {"warmup": Warmup(candidates=20, trials=5), "moves": 4},
}


def score(trial: Any) -> dict[str, float]:
    depth = trial.suggest_int("depth", 1, 4)
    return {"size": depth * trial.suggest_categorical("width", [16, 32])}


def make(base: str, way: str) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return ZeroCostSampler(score, base_sampler={**BASES, **SINGLE}[base](), **WAYS[way])


def all_ways(*bases: str) -> list[Any]:
    return [pytest.param((base, way), id=f"{base}-{way}") for base in bases for way in WAYS]


@pytest.fixture(params=all_ways(*BASES))
def zerocost_sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    base, way = request.param
    return lambda: make(base, way)


@pytest.fixture(params=[*SINGLE, *all_ways(*SINGLE)])
def single_sampler(request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
    if isinstance(request.param, str):
        return SINGLE[request.param]
    base, way = request.param
    return lambda: make(base, way)


class TestBasic(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, zerocost_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return zerocost_sampler


class TestRelative(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, zerocost_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return zerocost_sampler


class TestMultiObjective(MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self, zerocost_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return zerocost_sampler


class TestBasicOfSingle(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, single_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return single_sampler


class TestRelativeOfSingle(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self, single_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return single_sampler


class TestSingleOnly(SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self, single_sampler: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
        return single_sampler
