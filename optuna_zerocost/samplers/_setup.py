"""The arguments of the sampler, checked, and what follows from them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.rankings import BaseRanking
from optuna_zerocost.samplers._study_view import Snapshot
from optuna_zerocost.samplers._warmup import Warmup
from optuna_zerocost.scoring import BaseScorer, Limits

__all__ = ["DEFAULT_MOVES", "Moves", "Setup"]

DEFAULT_MOVES = 32

Moves = int | Literal["neighbours"]


@dataclass(frozen=True)
class Setup:
    """The arguments of :class:`~optuna_zerocost.ZeroCostSampler`, none of them missing."""

    scorer: BaseScorer
    base_sampler: BaseSampler
    ranking: BaseRanking
    warmup: Warmup | None
    moves: Moves
    random_share: float
    seed: int | None
    other_scorer: Literal["warn", "raise"] = "warn"

    def __post_init__(self) -> None:
        moves, share = self.moves, self.random_share
        is_number = isinstance(moves, int) and not isinstance(moves, bool) and moves >= 1
        if not is_number and moves != "neighbours":
            raise ValueError(
                f"moves is {moves!r}, but it is how often the base sampler is asked for a trial: "
                "an integer of at least 1. With moves=1 its suggestion is used as it is; with "
                "moves='neighbours' all one-edit neighbours of a parent are candidates."
            )
        if self.other_scorer not in ("warn", "raise"):
            raise ValueError(
                f"other_scorer is {self.other_scorer!r}, but it must be 'warn', to go on with new "
                "scores beside those of another scorer, or 'raise'."
            )
        if not 0.0 <= share <= 1.0:
            raise ValueError(
                f"random_share is {share!r}, but it is the probability with which a trial "
                "is a random one of its candidates instead of the best: a number from 0 to 1."
            )

    @property
    def limits(self) -> Limits | None:
        """The scorer's limits."""
        return self.scorer.limits

    @property
    def has_moves(self) -> bool:
        """True if a trial after the warmup is one of several candidates."""
        return self.limits is not None or (
            self.moves != 1 and not _compat.draws_are_given(self.base_sampler)
        )

    def may_open(self, trial: FrozenTrial) -> bool:
        """Return whether ``trial`` is early enough to be taken from the pool alone."""
        return self.warmup is not None and trial.number < 2 * self.warmup.trials

    def opens(self, snapshot: Snapshot) -> bool:
        """Return whether the trial is one of the first, which are taken from the pool alone.

        Where the pool's best are wanted, a place among them that nothing came of is given to a
        later trial, once for each place; a ranking that learns counts what failed as well.
        """
        trial = snapshot.trial
        if self.warmup is None or not self.may_open(trial) or snapshot.enqueued or trial.params:
            return False
        trials, opening = self.warmup.trials, self.ranking.opening
        if opening is not None:
            return trial.number < min(trials, opening)
        return trial.number < trials or snapshot.places_before < trials

    def generator(self, study: Study, trial: FrozenTrial, purpose: str = "") -> random.Random:
        """Return a generator for the choices about one trial, which another worker would share."""
        seed = study.study_name if self.seed is None else self.seed
        return random.Random(f"{seed};{trial.number}{purpose}")
