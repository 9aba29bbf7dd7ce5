"""Rankings: candidates and history in, an order out, no state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from optuna_zerocost.records import Candidate, History

__all__ = [
    "AsDrawn",
    "ByScore",
    "RankSum",
    "Ranking",
    "SeveralScores",
    "Vote",
    "as_ranking",
    "best_first",
    "oriented_scores",
]


@runtime_checkable
class Ranking(Protocol):
    """Orders candidates. A ranking keeps no state: the same arguments give the same order.

    A ranking may also have ``names``, the scores that it reads, so that a wrong name is found
    before the first trial.
    """

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> Sequence[int]:
        """Return the indices of ``candidates``, best first; every index once."""
        ...


def parse_name(name: str) -> tuple[str, float | None]:
    """Split ``"-flops"`` into the score's name and the sign that was forced, if any."""
    if not isinstance(name, str) or not name.lstrip("-+"):
        raise ValueError(
            f"A ranking names scores by strings, but {name!r} was given. Use for example "
            "'synflow', or '-flops' for a score that is better when lower."
        )
    return (name[1:], -1.0 if name[0] == "-" else 1.0) if name[0] in "-+" else (name, None)


def oriented_scores(
    candidates: Sequence[Candidate], history: History, name: str
) -> npt.NDArray[np.float64]:
    """Return one score of every candidate, turned so that higher is better.

    Args:
        candidates: n candidates.
        history: Gives the direction where ``name`` does not force one.
        name: A score's name. ``"-name"`` takes it as better when lower, ``"+name"`` as better
            when higher, whatever its own direction says.

    Returns:
        Array of shape (n,).

    Raises:
        ValueError: If a candidate has no such score.
    """
    plain, sign = parse_name(name)
    if sign is None:
        sign = history.score_sign(plain)
    for candidate in candidates:
        if plain not in candidate.scores:
            raise ValueError(
                f"The ranking reads the score {plain!r}, but the scorer returned "
                f"{sorted(candidate.scores)}. Name one of these in the ranking, or let the "
                f"scorer compute {plain!r}."
            )
    return sign * np.array([c.scores[plain] for c in candidates], dtype=np.float64)


def _best_first(merit: npt.NDArray[np.float64]) -> list[int]:
    """Return the indices by falling ``merit``; equal ones stay in the order they were drawn."""
    return [int(i) for i in np.argsort(-merit, kind="stable")]


class ByScore:
    """Order by one score.

    Args:
        name: The score's name; its own direction counts. ``"-flops"`` takes it as better when
            lower, ``"+flops"`` as better when higher.

    Attributes:
        name: The name as it was given, with its sign.
        names: The name alone, as rankings have it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.names: tuple[str, ...] = (parse_name(name)[0],)

    def __repr__(self) -> str:
        return f"ByScore({self.name!r})"

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        return _best_first(oriented_scores(candidates, history, self.name))


class AsDrawn:
    """Keeps the order of the draws, where there are no scores to order by."""

    def __repr__(self) -> str:
        return "AsDrawn()"

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates`` as they are."""
        return list(range(len(candidates)))


class SeveralScores:
    """What rankings over several scores have in common."""

    def __init__(self, *names: str) -> None:
        if len(names) < 2:
            raise ValueError(
                f"{type(self).__name__} combines several scores, but {names} was given. Name at "
                f"least two, or pass a single name as the ranking itself."
            )
        self._names = names
        self.names: tuple[str, ...] = tuple(parse_name(name)[0] for name in names)
        if len(set(self.names)) < len(self.names):
            raise ValueError(
                f"{type(self).__name__} was given one score twice: {names}. Name each once."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._names))})"

    def _ranks(self, candidates: Sequence[Candidate], history: History) -> npt.NDArray[np.float64]:
        """Return ranks 1 (worst) … n (best), ties averaged; shape (scores, candidates)."""
        return np.stack(
            [rankdata(oriented_scores(candidates, history, name)) for name in self._names]
        )


class Vote(SeveralScores):
    """Majority vote on every pair of candidates (Abdelfattah et al., ICLR 2021).

    Of two candidates the better is the one that most scores prefer; a score for which they are
    equal abstains. Majorities can be circular, so candidates are ordered by the number of pairs
    they win minus the number they lose (Copeland's rule), then by their summed ranks.

    Args:
        names: Scores, two or more, as in :class:`ByScore`. The paper's vote is over synflow,
            jacob_cov and snip.
    """

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        ranks = self._ranks(candidates, history)
        votes = np.zeros((len(candidates), len(candidates)), dtype=np.int16)
        for rank in ranks:
            votes += np.sign(rank[:, None] - rank[None, :]).astype(np.int16)
        won = np.sign(votes).sum(axis=1, dtype=np.int64)
        return [int(i) for i in np.lexsort((-ranks.sum(axis=0), -won))]


class RankSum(SeveralScores):
    """Sum of logarithmic ranks, Σₖ log(rankₖ / n) over n candidates (Lee & Ham, CVPR 2024).

    A candidate that is near the bottom of one score is punished more than one that is near the
    top of another is rewarded. The value belongs to the candidates compared, not to one alone.

    Args:
        names: Scores, two or more, as in :class:`ByScore`.
    """

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        ranks = self._ranks(candidates, history)
        return _best_first(np.log(ranks / max(len(candidates), 1)).sum(axis=0))


def best_first(
    ranking: Ranking | None,
    candidates: Sequence[Candidate],
    history: History,
    *,
    measured: Collection[str] = (),
) -> list[int]:
    """Apply ``ranking``, or where it is ``None`` the only score there is, and check the order.

    What was ``measured`` for limits is no score by which to rank unless the ranking says so.

    Candidates without a score that the ranking reads come last, as long as there are others.

    Raises:
        ValueError: If several scores have no ranking, or the ranking returns something else than
            every index once.
    """
    if ranking is None:
        scores = [name for name in candidates[0].scores if name not in measured]
        ranking = as_ranking(None, scores)
        assert ranking is not None
    read = getattr(ranking, "names", ())
    whole = [i for i, c in enumerate(candidates) if all(name in c.scores for name in read)]
    if 0 < len(whole) < len(candidates):
        order = best_first(ranking, [candidates[index] for index in whole], history)
        lacking = sorted(set(range(len(candidates))) - set(whole))
        return [*(whole[index] for index in order), *lacking]
    order = [int(index) for index in ranking(candidates, history)]
    if sorted(order) != list(range(len(candidates))):
        raise ValueError(
            f"The ranking {ranking!r} returned {order[:10]}{'…' if len(order) > 10 else ''} for "
            f"{len(candidates)} candidates, but it must return each index from 0 to "
            f"{len(candidates) - 1} once, best first."
        )
    return order


def as_ranking(
    ranking: Ranking | str | None,
    score_names: Sequence[str] | None,
    *,
    measured: Collection[str] = (),
) -> Ranking | None:
    """Return the ranking that ``ranking`` stands for.

    Args:
        ranking: A ranking, a score's name, or ``None`` for the only score there is.
        score_names: The scores that will be there, or ``None`` if this is not known yet.
        measured: What is measured for limits, which a ranking may read too.

    Returns:
        The ranking, or ``None`` if it depends on scores that are not known yet.

    Raises:
        ValueError: If there are several scores and no ranking, or the ranking reads a score that
            will not be there.
        TypeError: If ``ranking`` is none of these.
    """
    if isinstance(ranking, str):
        ranking = ByScore(ranking)
    if ranking is not None and (isinstance(ranking, type) or not callable(ranking)):
        raise TypeError(
            f"ranking is {ranking!r}, but it must be a score's name such as 'synflow', or a "
            "ranking such as Vote('synflow', 'snip') or RankSum('synflow', 'snip')."
        )
    if score_names is None:
        return ranking
    if ranking is None:
        if not score_names:
            return AsDrawn()
        if len(score_names) != 1:
            raise ValueError(
                f"The scorer returns several scores, {list(score_names)}, and no ranking says how "
                f"they order the candidates. Pass ranking={score_names[0]!r} to use that one, or "
                f"combine them, e.g. ranking=RankSum({', '.join(map(repr, score_names))})."
            )
        return ByScore(score_names[0])
    known = [*score_names, *measured]
    unknown = [name for name in getattr(ranking, "names", ()) if name not in known]
    if unknown:
        raise ValueError(
            f"The ranking {ranking!r} reads {unknown}, but the scorer returns "
            f"{known}. Name one of these in the ranking, or add {unknown} to the "
            "scorer."
        )
    return ranking
