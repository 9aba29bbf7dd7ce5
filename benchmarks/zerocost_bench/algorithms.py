"""The search algorithms that are compared, each alone and with zero-cost scores."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from optuna_zerocost.algorithms import (
    AgingEvolutionSampler,
    ReinforceSampler,
    RelationPredictorSampler,
)
from optuna_zerocost.rankings import Ranking, RankSum, Vote
from optuna_zerocost.samplers import Warmup, ZeroCostSampler
from zerocost_bench.benchmark import Benchmark
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.score_table import ScoreTable
from zerocost_bench.searches import Arm

__all__ = ["ALGORITHMS", "MODES", "RANKINGS", "Algorithm", "Moves", "ZeroCost", "arms", "label_of"]

Moves = int | Literal["neighbours"]

MODES = ("base", "warmup", "move", "both")
"""The algorithm alone; with a zero-cost warmup; with move proposal; with both."""


def _random(benchmark: Benchmark, seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _tpe(benchmark: Benchmark, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        # Optuna up to 4.x calls the constant liar experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, constant_liar=True)


def _evolution(benchmark: Benchmark, seed: int) -> BaseSampler:
    return AgingEvolutionSampler(seed=seed)


def _reinforce(benchmark: Benchmark, seed: int) -> BaseSampler:
    return ReinforceSampler(seed=seed)


def _predictor(benchmark: Benchmark, seed: int) -> BaseSampler:
    return RelationPredictorSampler(encode=benchmark.encode, seed=seed)


@dataclass(frozen=True)
class Algorithm:
    """A search algorithm.

    Attributes:
        make_sampler: Benchmark and seed → sampler, with its defaults.
        moves: Candidates for each trial with move proposal: a number of draws, or all neighbours
            of a parent, as the paper has it for evolution.
        weight: How long its searches take, roughly, relative to random search.
    """

    make_sampler: Callable[[Benchmark, int], BaseSampler]
    moves: Moves = 32
    weight: float = 1.0


ALGORITHMS: dict[str, Algorithm] = {
    "random": Algorithm(_random),
    "tpe": Algorithm(_tpe, weight=6.0),
    "evolution": Algorithm(_evolution, moves="neighbours"),
    "reinforce": Algorithm(_reinforce),
    "predictor": Algorithm(_predictor, weight=50.0),
}

_MODE_WEIGHTS = {"base": 1.0, "warmup": 5.0, "move": 10.0, "both": 10.0}

RANKINGS: dict[str, Callable[..., Ranking]] = {"vote": Vote, "ranksum": RankSum}
"""Ways of combining several scores."""


@dataclass(frozen=True)
class ZeroCost:
    """Use of zero-cost scores in a search.

    Attributes:
        benchmark: Whose scores they are.
        proxies: The scores.
        scores: The file that has them; ``None`` for what comes with the package.
        batch_size: Of the package's scores, take those measured with so many images.
        combine: One of :data:`RANKINGS`, if there are several.
        candidates: Random networks that the warmup scores.
        warmup_trials: Trials that take the best of them.
        moves: Candidates for each later trial; ``None`` for what suits the algorithm.
        random_share: With this probability a later trial is a random one of its candidates.
    """

    benchmark: Benchmark
    proxies: tuple[str, ...] = ("synflow",)
    scores: str | None = None
    batch_size: int = 64
    combine: str = "vote"
    candidates: int = 3000
    warmup_trials: int = 64
    moves: Moves | None = None
    random_share: float = 0.0

    def __post_init__(self) -> None:
        if self.combine not in RANKINGS:
            raise BenchmarkError(
                f"scores cannot be combined by {self.combine!r}; known are {', '.join(RANKINGS)}"
            )
        if not 1 <= self.warmup_trials <= self.candidates:
            raise BenchmarkError(
                f"a warmup of {self.warmup_trials} trials cannot be the best of "
                f"{self.candidates} candidates; ask for fewer trials, at least one"
            )
        if not 0 <= self.random_share <= 1:
            raise BenchmarkError(f"a share of {self.random_share} is not between 0 and 1")
        if isinstance(self.moves, int) and self.moves < 2:
            raise BenchmarkError(f"with {self.moves} moves there is nothing to choose from")
        try:
            self.table()
        except ValueError as error:
            raise BenchmarkError(str(error)) from error

    def table(self) -> ScoreTable:
        """Return the scorer.

        Raises:
            ValueError: If the scores are not there.
        """
        return _table(self.benchmark, self.proxies, self.scores, self.batch_size)

    def ranking(self) -> Ranking | str:
        """Return what orders the candidates."""
        if len(self.proxies) == 1:
            return self.proxies[0]
        return RANKINGS[self.combine](*self.proxies)


@functools.lru_cache(maxsize=1)
def _table(
    benchmark: Benchmark, proxies: tuple[str, ...], file: str | None, batch_size: int
) -> ScoreTable:
    scores = benchmark.load_scores(file, batch_size=batch_size)
    return benchmark.score_table(proxies, scores=scores)


def label_of(algorithm: str, mode: str) -> str:
    """Return what an algorithm is called in a mode, such as ``"tpe + warmup + move"``."""
    extra = {"base": "", "both": " + warmup + move"}.get(mode, f" + {mode}")
    return f"{algorithm}{extra}"


def arms(algorithms: Sequence[str], modes: Sequence[str], zero_cost: ZeroCost) -> list[Arm]:
    """Return the arms of a comparison.

    Args:
        algorithms: Names in :data:`ALGORITHMS`.
        modes: Names in :data:`MODES`.
        zero_cost: What the scores are used for.

    Raises:
        BenchmarkError: If there is no such algorithm or mode.
    """
    for kind, asked, known in (
        ("algorithm", algorithms, tuple(ALGORITHMS)),
        ("mode", modes, MODES),
    ):
        unknown = [name for name in asked if name not in known]
        if unknown or not asked:
            raise BenchmarkError(
                f"no {kind} is called {', '.join(unknown) or 'nothing'}; known are "
                f"{', '.join(known)}"
            )
    found = []
    for algorithm in dict.fromkeys(algorithms):
        for mode in dict.fromkeys(modes):
            settings: dict[str, Any] = {"algorithm": algorithm, "mode": mode}
            if mode != "base":
                settings |= {
                    "scores": zero_cost.table().fingerprint,
                    "ranking": repr(zero_cost.ranking()),
                }
            if mode in ("warmup", "both"):
                settings["warmup"] = [zero_cost.candidates, zero_cost.warmup_trials]
            if mode in ("move", "both"):
                settings["moves"] = zero_cost.moves or ALGORITHMS[algorithm].moves
                settings["random_share"] = zero_cost.random_share
            make = functools.partial(make_sampler, algorithm, mode, zero_cost)
            weight = ALGORITHMS[algorithm].weight * _MODE_WEIGHTS[mode]
            found.append(Arm(label_of(algorithm, mode), settings, make, weight))
    return found


def make_sampler(algorithm: str, mode: str, zero_cost: ZeroCost, seed: int) -> BaseSampler:
    """Return the sampler of an arm."""
    base = ALGORITHMS[algorithm].make_sampler(zero_cost.benchmark, seed)
    if mode == "base":
        return base
    warmup = Warmup(zero_cost.candidates, zero_cost.warmup_trials, show_progress_bar=False)
    return ZeroCostSampler(
        zero_cost.table(),
        base_sampler=base,
        ranking=zero_cost.ranking(),
        warmup=None if mode == "move" else warmup,
        moves=1 if mode == "warmup" else zero_cost.moves or ALGORITHMS[algorithm].moves,
        random_share=zero_cost.random_share,
        seed=seed,
    )
