"""Search spaces, scorers and base samplers that several tests use."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from optuna_zerocost import AgingEvolutionSampler, ReinforceSampler

OPERATIONS = ["none", "skip", "conv"]


def static_space(trial: Any) -> float:
    return float(
        sum(
            OPERATIONS.index(trial.suggest_categorical(f"op{i}", OPERATIONS)) * 3**i
            for i in range(3)
        )
    )


def conditional_space(trial: Any) -> float:
    depth = trial.suggest_int("depth", 1, 3)
    widths = [trial.suggest_categorical(f"width{i}", [16, 32, 64]) for i in range(depth)]
    if trial.suggest_categorical("norm", [True, False]):
        widths.append(trial.suggest_int("groups", 1, 8, log=True))
    return float(sum(widths))


def dynamic_space(trial: Any) -> float:
    width = trial.suggest_int("width", 2, 10)
    inner = trial.suggest_int("inner", 1, width)  # its range depends on another value
    return float(width + 0.1 * inner)


def numeric_space(trial: Any) -> float:
    x = trial.suggest_float("x", -1.0, 1.0)
    y = trial.suggest_float("y", 1e-3, 1.0, log=True)
    return float(x - y + trial.suggest_int("n", 1, 9, step=2))


SPACES: dict[str, Callable[[Any], float]] = {
    "static": static_space,
    "conditional": conditional_space,
    "dynamic": dynamic_space,
    "numeric": numeric_space,
}


def size_scorer(space: Callable[[Any], float]) -> Callable[[Any], dict[str, float]]:
    """Return a scorer whose only score is what ``space`` returns."""
    return lambda trial: {"size": space(trial)}


class Recorder:
    """A scorer that keeps what it was asked, in order."""

    def __init__(
        self, space: Callable[[Any], float], *, fails: Callable[[int], bool] = lambda call: False
    ) -> None:
        self._space = space
        self._fails = fails
        self.params: list[dict[str, Any]] = []
        self.scores: list[float] = []
        self.calls = 0
        self.failed = 0

    def __call__(self, trial: Any) -> dict[str, float]:
        score = self._space(trial)
        self.calls += 1
        if self._fails(self.calls):
            self.failed += 1
            raise RuntimeError("this one cannot be built")
        self.params.append(dict(trial.params))
        self.scores.append(score)
        return {"size": score}


def _quietly(make: Callable[[], BaseSampler]) -> Callable[[], BaseSampler]:
    def make_quietly() -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return make()

    return make_quietly


BASES: dict[str, Callable[[], BaseSampler]] = {
    "random": lambda: RandomSampler(seed=3),
    "tpe": _quietly(lambda: TPESampler(seed=3, n_startup_trials=4, constant_liar=True)),
    "nsga2": lambda: NSGAIISampler(seed=3, population_size=4),
    "qmc": _quietly(lambda: QMCSampler(seed=3, warn_independent_sampling=False)),
    "gp": _quietly(lambda: GPSampler(seed=3, n_startup_trials=4)),
    "cmaes": lambda: CmaEsSampler(seed=3, n_startup_trials=4, warn_independent_sampling=False),
    "evolution": lambda: AgingEvolutionSampler(4, 2, seed=3),
    "reinforce": lambda: ReinforceSampler(seed=3),
}


class RandomSpace:
    """A define-by-run space as a seed gives it: all kinds of parameters, some of them nested."""

    def __init__(self, seed: int, parameters: int = 7) -> None:
        rng = random.Random(seed)
        self.distributions: dict[str, BaseDistribution] = {}
        self.conditions: dict[str, tuple[str, list[Any]]] = {}
        for index in range(parameters):
            name = f"p{index}"
            deciders = [n for n, d in self.distributions.items() if len(values_of(d)) > 1]
            if deciders and rng.random() < 0.5:
                decider = rng.choice(deciders)
                values = values_of(self.distributions[decider])
                kept = [v for v in values if rng.random() < 0.6] or values[:1]
                self.conditions[name] = decider, kept
            self.distributions[name] = rng.choice(_KINDS)(rng)

    def draw(self, rng: random.Random) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Return parameters as an objective would ask for them, and their distributions."""
        params: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            if self.is_asked_for(name, params):
                place = rng.random()
                params[name] = value_at(distribution, place)
        return params, {name: self.distributions[name] for name in params}

    def is_asked_for(self, name: str, params: Mapping[str, Any]) -> bool:
        """Return whether ``name`` is a parameter beside the others."""
        if name not in self.conditions:
            return True
        decider, values = self.conditions[name]
        return decider in params and params[decider] in values

    def is_whole(self, params: Mapping[str, Any]) -> bool:
        """Return whether these are the parameters of a trial, with values that may be."""
        asked = {name for name in self.distributions if self.is_asked_for(name, params)}
        return set(params) == asked and all(self.is_legal(n, v) for n, v in params.items())

    def is_legal(self, name: str, value: Any) -> bool:
        """Return whether a parameter may have this value."""
        distribution = self.distributions[name]
        return distribution._contains(distribution.to_internal_repr(value))


def values_of(distribution: BaseDistribution) -> list[Any]:
    """Return the few values of a choice or of a short range; none of others."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution) and distribution.high - distribution.low < 6:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    return []


def value_at(distribution: BaseDistribution, place: float) -> Any:
    """Return a value, from the lowest or first at the place 0 to the highest at 1."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[min(int(place * 8), 7) % len(distribution.choices)]
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = distribution.low, distribution.high
    if distribution.log:
        value = min(math.exp(math.log(low) + place * math.log(high / low)), high)
    else:
        value = low + place * (high - low)
    if distribution.step:
        value = low + distribution.step * round((value - low) / distribution.step)
    return round(value) if isinstance(distribution, IntDistribution) else float(value)


_KINDS: list[Callable[[random.Random], BaseDistribution]] = [
    lambda rng: CategoricalDistribution(["a", "b", "c", None][: rng.randint(1, 4)]),
    lambda rng: CategoricalDistribution([True, False]),
    lambda rng: CategoricalDistribution(rng.sample([16, 8, 0.5, 64, 128], rng.randint(2, 5))),
    lambda rng: IntDistribution(1, rng.randint(1, 5)),
    lambda rng: IntDistribution(1, 1000, log=True),
    lambda rng: IntDistribution(-4, 20, step=rng.choice([1, 3, 8])),
    lambda rng: FloatDistribution(-1.0, rng.choice([-1.0, 2.0])),
    lambda rng: FloatDistribution(1e-6, 1e-1, log=True),
    lambda rng: FloatDistribution(0.0, 1.0, step=rng.choice([0.1, 0.25])),
]
