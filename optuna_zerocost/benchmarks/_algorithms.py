"""The search algorithms that are compared, each alone and with zero-cost scores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.samplers import BaseSampler, RandomSampler

from optuna_zerocost import _compat, samplers
from optuna_zerocost.benchmarks._errors import BenchmarkError
from optuna_zerocost.benchmarks._scores import ScoreTable, load_scores
from optuna_zerocost.benchmarks._search import Arm
from optuna_zerocost.samplers import Warmup, ZeroCostSampler
from optuna_zerocost.scoring import Ranking, RankSum, Vote

__all__ = ["ALGORITHMS", "MODES", "RANKINGS", "ZeroCost", "arms", "label_of"]

MODES = ("base", "warmup", "move", "both")
"""The algorithm alone; with a zero-cost warmup; with move proposal; with both."""


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _tpe(seed: int) -> BaseSampler:
    return _compat.default_base_sampler(seed)


def _own(name: str, seed: int, **arguments: Any) -> BaseSampler:
    """Make one of this package's samplers, with its defaults but for ``arguments``."""
    sampler: BaseSampler = getattr(samplers, name)(seed=seed, **arguments)
    return sampler


ALGORITHMS: dict[str, Callable[[int], BaseSampler]] = {
    "random": _random,
    "tpe": _tpe,
    "evolution": functools.partial(_own, "AgingEvolutionSampler"),
    "reinforce": functools.partial(_own, "ReinforceSampler"),
    "predictor": functools.partial(_own, "RelationPredictorSampler"),
}
"""Name → seed → sampler."""

# How long a trial takes, roughly: the longest searches start first.
_WEIGHTS = {"predictor": 50.0, "tpe": 5.0}
_MODE_WEIGHTS = {"base": 1.0, "warmup": 2.0, "move": 20.0, "both": 20.0}

RANKINGS: dict[str, Callable[..., Ranking]] = {"vote": Vote, "ranksum": RankSum}
"""How several scores are combined."""


@dataclass(frozen=True)
class ZeroCost:
    """What zero-cost scores are used for.

    Attributes:
        proxies: The scores.
        scores: The file that has them; ``None`` for what comes with the package.
        combine: One of :data:`RANKINGS`, if there are several.
        candidates: Random networks that the warmup scores.
        warmup_trials: Trials that take the best of them.
        moves: Candidates for each later trial.
    """

    proxies: tuple[str, ...] = ("synflow",)
    scores: str | None = None
    combine: str = "vote"
    candidates: int = 3000
    warmup_trials: int = 64
    moves: int = 32

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
        if self.moves < 2:
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
        return _table(self.proxies, self.scores)

    def ranking(self) -> Ranking | str:
        """Return what orders the candidates."""
        if len(self.proxies) == 1:
            return self.proxies[0]
        return RANKINGS[self.combine](*self.proxies)


@functools.lru_cache(maxsize=1)
def _table(proxies: tuple[str, ...], file: str | None) -> ScoreTable:
    return ScoreTable(proxies, scores=load_scores(file))


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
                settings["moves"] = zero_cost.moves
            make = functools.partial(make_sampler, algorithm, mode, zero_cost)
            weight = _WEIGHTS.get(algorithm, 1.0) * _MODE_WEIGHTS[mode]
            found.append(Arm(label_of(algorithm, mode), settings, make, weight))
    return found


def make_sampler(algorithm: str, mode: str, zero_cost: ZeroCost, seed: int) -> BaseSampler:
    """Return the sampler of an arm."""
    base = ALGORITHMS[algorithm](seed)
    if mode == "base":
        return base
    warmup = Warmup(zero_cost.candidates, zero_cost.warmup_trials, show_progress_bar=False)
    return ZeroCostSampler(
        zero_cost.table(),
        base_sampler=base,
        ranking=zero_cost.ranking(),
        warmup=None if mode == "move" else warmup,
        moves=1 if mode == "warmup" else zero_cost.moves,
        seed=seed,
    )
