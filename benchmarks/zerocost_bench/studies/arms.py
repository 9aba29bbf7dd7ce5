"""The samplers that the suite compares: Optuna's own, and this package's with scores of any kind.

:data:`ARMS` has them by name; a further one is a line there.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from optuna_zerocost.records import fingerprint_of
from optuna_zerocost.samplers import ZeroCostSampler
from optuna_zerocost.scoring import Scorer, as_scorer
from zerocost_bench.studies.study import UserStudy

__all__ = ["ARMS", "RIVALS", "Arm", "NoScore", "RandomScores", "ReversedScores"]


@dataclass(frozen=True)
class Arm:
    """A way to search.

    Attributes:
        make_sampler: ``(study, seed) → sampler``.
        is_ours: Whether it depends on the code of this package.
    """

    make_sampler: Callable[[UserStudy, int], BaseSampler]
    is_ours: bool = True


class _Standing:
    """A scorer in place of a study's own, whose warmup draws the same random networks."""

    def __init__(self, study: UserStudy) -> None:
        self._study = study
        self._scorer = study.make_scorer()
        self.fingerprint = fingerprint_of(self._scorer)


class NoScore(_Standing):
    """Asks for the architecture and has nothing to say about it."""

    score_names = ("nothing",)

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Return the same for each architecture."""
        self._study.suggest_architecture(trial)
        return {"nothing": 0.0}


class RandomScores(_Standing):
    """As many random numbers as the study has scores, a function of the architecture."""

    def __init__(self, study: UserStudy, seed: int) -> None:
        super().__init__(study)
        self._seed = seed
        count = len(as_scorer(self._scorer).score_names or ("nothing",))
        self.score_names = tuple(f"random{number}" for number in range(count))

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Return the numbers of the architecture that ``trial`` suggests."""
        architecture = self._study.suggest_architecture(trial)
        numbers = random.Random(f"{self._seed};{architecture!r}")
        return {name: numbers.random() for name in self.score_names}


class ReversedScores(_Standing):
    """The study's scores, turned so that a better one looks worse."""

    def __init__(self, study: UserStudy) -> None:
        super().__init__(study)
        whole = as_scorer(self._scorer)
        self._directions = whole.score_directions
        if whole.score_names is not None:
            self.score_names = tuple(f"reversed_{name}" for name in whole.score_names)

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Return the turned scores of the architecture that ``trial`` suggests."""
        # Nobody is told that lower is better, so a score of that kind is wrong as it is.
        return {
            f"reversed_{name}": value if self._directions.get(name) == "minimize" else -value
            for name, value in self._scorer(trial).items()
        }


def _ours(scorer: Scorer, seed: int) -> BaseSampler:
    """Return the sampler as it comes."""
    return ZeroCostSampler(scorer, seed=seed)


def _gp(study: UserStudy, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return GPSampler(seed=seed)


RIVALS = ("tpe", "gp")
"""The arms of which the better one is what others are compared with."""

ARMS: dict[str, Arm] = {
    "random": Arm(lambda study, seed: RandomSampler(seed=seed), is_ours=False),
    "tpe": Arm(lambda study, seed: TPESampler(seed=seed), is_ours=False),
    "gp": Arm(_gp, is_ours=False),
    "default": Arm(lambda study, seed: _ours(study.make_scorer(), seed)),
    "no score": Arm(lambda study, seed: _ours(NoScore(study), seed)),
    "random scores": Arm(lambda study, seed: _ours(RandomScores(study, seed), seed)),
    "reversed scores": Arm(lambda study, seed: _ours(ReversedScores(study), seed)),
}
"""Name → arm."""
