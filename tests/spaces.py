"""Search spaces, scorers and base samplers that several tests use."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

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
