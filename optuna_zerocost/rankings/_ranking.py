"""The protocol of rankings, and the one way in which the package calls them."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from optuna.trial import FrozenTrial

from optuna_zerocost.rankings._prospects import LIKELY, prospects_of
from optuna_zerocost.rankings._rank_correlation import Estimate
from optuna_zerocost.records import PREFIX, Candidate, History, stored_scores

__all__ = [
    "Account",
    "BaseRanking",
    "Ranking",
    "Sources",
    "best_first",
    "by_merit",
    "proposed_first",
    "stepping_back",
]


@runtime_checkable
class Ranking(Protocol):
    """Orders candidates. A ranking keeps no state: the same arguments give the same order.

    A ranking may also have ``names``, the scores that it reads, so that a wrong name is found
    before the first trial. One that has more to say is a :class:`BaseRanking`.
    """

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> Sequence[int]:
        """Return the indices of ``candidates``, best first; every index once."""
        ...


@dataclass(frozen=True)
class Sources:
    """Architectures that a ranking wants to have scored for a trial, besides the base sampler's.

    Args:
        random: Number of random architectures.
        searched: Number of architectures that the finished trials' parameters alone speak for.
        pool: Whether the warmup's pool, which is scored already, stays in the choice.
    """

    random: int = 8
    searched: int = 16
    pool: bool = True

    def __post_init__(self) -> None:
        if min(self.random, self.searched) < 0:
            raise ValueError(f"{self} cannot be: numbers of candidates are at least 0.")


class Account:
    """Words on the scores and choices of a study, as a ranking that does not learn has them."""

    def __init__(self, ranking: BaseRanking) -> None:
        self._ranking = ranking

    def on_score(self, name: str, rho: Estimate) -> Sequence[str]:
        """Return what a score did; ``rho`` is its rank correlation with the objective."""
        return ["decides" if name in self._ranking.names else "decides nothing"]

    def on_choices(self) -> str:
        """Return a sentence on what would have been chosen otherwise."""
        return f"The ranking is fixed, {self._ranking!r}: it does not learn from the trials."

    def is_by_score(self, trial: FrozenTrial) -> bool:
        """Return whether ``trial`` was chosen with the help of the scores."""
        return trial.user_attrs.get(f"{PREFIX}source") in ("warmup", "move")


class BaseRanking(abc.ABC):
    """A ranking with all that one may say besides an order, as it is for a fixed one."""

    names: tuple[str, ...] = ()
    """The scores that it reads; none if that is not known beforehand."""

    sources: Sources | None = None
    """Candidates that it wants to have besides the base sampler's draws, if any."""

    enough: float = math.inf
    """Number of new candidates that are enough to choose from."""

    bears_missing: bool = False
    """Whether it orders candidates that have some of the scores in ``names`` and lack others."""

    by_network: bool = False
    """Whether it goes by the scores alone, so that architectures of one network are the same."""

    names_are_checked: bool = True
    """Whether the scorer has all of ``names``, as far as that was known before it was called."""

    weighs_prospects: bool = False
    """Whether it orders all candidates itself, also those that lack scores, that would hardly
    succeed or hardly be feasible; otherwise these come last."""

    _given_names: tuple[str, ...] = ()  # as they were given, with their signs

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._given_names))})"

    @property
    def opening(self) -> int | None:
        """Number of a study's first trials that are taken from the warmup's pool alone.

        ``None`` for as many as :class:`~optuna_zerocost.Warmup` says.
        """
        return None

    @abc.abstractmethod
    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> Sequence[int]:
        """Return the indices of ``candidates``, best first; every index once."""

    def wanted(
        self, history: History, known: Sequence[Candidate], given: Mapping[str, Any], seed: int
    ) -> Iterable[Candidate]:
        """Return architectures that are worth a score, each once, best first.

        There may be many more than are to be scored: some are known, or outside of limits. What
        is ``known`` was scored, and shows the search space; no parameter that is ``given`` may
        differ.
        """
        return ()

    def completed(
        self,
        candidates: Sequence[Candidate],
        history: History,
        known: Sequence[Candidate],
        given: Mapping[str, Any],
        seed: int,
    ) -> Sequence[Candidate]:
        """Return what the ``candidates``, which are scored, may become, for this to be ordered.

        That is themselves, where the ranking has nothing to say on hyperparameters; otherwise they
        and architectures of the study's trials, with hyperparameters.
        """
        return candidates

    def notes(
        self, candidates: Sequence[Candidate], history: History, chosen: int
    ) -> Mapping[str, Any]:
        """Return what there is to tell about the ``chosen`` index, for the trial's attributes."""
        return {}

    def account(self, history: History) -> Account:
        """Return what there is to tell about a study, in words."""
        return Account(self)


def by_merit(merit: npt.NDArray[np.float64]) -> list[int]:
    """Return the indices by falling ``merit``; equal ones stay in the order they were drawn."""
    return [int(i) for i in np.argsort(-merit, kind="stable")]


def best_first(ranking: Ranking, candidates: Sequence[Candidate], history: History) -> list[int]:
    """Apply ``ranking``, and check that the order has every index once.

    A score may be undefined for a candidate. Those that have none of the scores that the ranking
    reads come last, as they were drawn; and so do those that lack one, unless the ranking bears
    that.

    Raises:
        ValueError: If the order is none, or no candidate and no trial ever had a score that is
            read, by a scorer that names none before it is called.
    """
    read = getattr(ranking, "names", ())
    if not getattr(ranking, "names_are_checked", True):
        _check_names(read, candidates, history)
    if getattr(ranking, "weighs_prospects", False):
        return _checked_order(ranking, candidates, history)
    is_enough = any if getattr(ranking, "bears_missing", False) else all
    ranked = [
        index
        for index, candidate in enumerate(candidates)
        if not read or is_enough(name in candidate.scores for name in read)
    ]
    order = _checked_order(ranking, [candidates[index] for index in ranked], history)
    lacking = sorted(set(range(len(candidates))) - set(ranked))
    return [*(ranked[index] for index in order), *lacking]


def proposed_first(
    ranking: Ranking, candidates: Sequence[Candidate], history: History
) -> list[int]:
    """Apply ``ranking`` to what may be trained: what will hardly succeed comes last.

    A ranking that weighs prospects itself is applied as it is.

    Raises:
        ValueError: As :func:`best_first` does.
    """
    order = best_first(ranking, candidates, history)
    if getattr(ranking, "weighs_prospects", False):
        return order
    return stepping_back(order, candidates, history)


def stepping_back(
    order: Sequence[int], candidates: Sequence[Candidate], history: History
) -> list[int]:
    """Return ``order`` with what will hardly succeed and be feasible last.

    Where that is so of all, the most likely one comes first.
    """
    prospects = prospects_of(candidates, history)
    if prospects is None:
        return list(order)
    # Of differences that are no more than rounding, the order is kept.
    is_likely = np.round(prospects, 2) >= LIKELY
    if is_likely.any():
        return sorted(order, key=lambda index: not is_likely[index])
    magnitudes = np.round(np.log(prospects), 1)
    return sorted(order, key=lambda index: -float(magnitudes[index]))


def _check_names(names: Sequence[str], candidates: Sequence[Candidate], history: History) -> None:
    found = {name for candidate in candidates for name in candidate.scores}
    unknown = sorted(set(names) - found)
    if not found or not unknown:
        return
    found |= {name for trial in history.trials for name in stored_scores(trial.user_attrs)}
    if unknown := sorted(set(names) - found):
        raise ValueError(
            f"The ranking reads {unknown}, but the scorer returned finite values of "
            f"{sorted(found)} alone. Name these in the ranking, or let the scorer compute "
            f"{unknown}."
        )


def _checked_order(
    ranking: Ranking, candidates: Sequence[Candidate], history: History
) -> list[int]:
    if not candidates:
        return []
    order = [int(index) for index in ranking(candidates, history)]
    if sorted(order) != list(range(len(candidates))):
        raise ValueError(
            f"The ranking {ranking!r} returned {order[:10]}{'…' if len(order) > 10 else ''} for "
            f"{len(candidates)} candidates, but it must return each index from 0 to "
            f"{len(candidates) - 1} once, best first."
        )
    return order
