"""Fixed rankings: by one score or several, whatever the trials say."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from optuna_zerocost.rankings._ranking import (
    Account,
    BaseRanking,
    Ranking,
    best_first,
    by_merit,
)
from optuna_zerocost.records import (
    Candidate,
    History,
    oriented_scores,
    parse_name,
    stored_scores,
    without_address,
)

__all__ = ["AsDrawn", "ByScore", "OnlyScore", "RankSum", "SeveralScores", "Vote", "as_ranking"]


class ByScore(BaseRanking):
    """Order by one score; what lacks it comes last.

    Args:
        name: The score's name; its own direction counts. ``"-flops"`` takes it as better when
            lower, ``"+flops"`` as better when higher.

    Attributes:
        name: The name as it was given, with its sign.
        names: The name alone, as rankings have it.
    """

    by_network = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.names = (parse_name(name)[0],)
        self._given_names = (name,)

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        return by_merit(oriented_scores(candidates, history, self.name))


class OnlyScore(BaseRanking):
    """The order by the only score there is, of a scorer that names none before it is called.

    What is ``measured`` for limits is no score by which to rank.
    """

    by_network = True

    def __init__(self, measured: Collection[str] = ()) -> None:
        self._measured = measured

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> Sequence[int]:
        """Return the indices of ``candidates``, best first; several scores are an error."""
        there = dict.fromkeys(name for candidate in candidates for name in candidate.scores)
        names = [name for name in there if name not in self._measured]
        return best_first(as_ranking(None, names), candidates, history)

    def account(self, history: History) -> Account:
        """Return what there is to tell, once there is a score."""
        names = dict.fromkeys(n for t in history.trials for n in stored_scores(t.user_attrs))
        own = [name for name in names if name not in self._measured]
        return ByScore((own or list(names))[0]).account(history) if names else Account(self)


class AsDrawn(BaseRanking):
    """The order of the draws, where there are no scores to order by: the first will do."""

    enough = 1

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates`` as they are."""
        return list(range(len(candidates)))


class SeveralScores(BaseRanking):
    """A ranking over several scores, of which a candidate may lack some."""

    bears_missing = True
    by_network = True

    def __init__(self, *names: str) -> None:
        if len(names) < 2:
            raise ValueError(
                f"{type(self).__name__} combines several scores, but {names} was given. Name at "
                f"least two, or pass a single name as the ranking itself."
            )
        self._given_names = names
        self.names = tuple(parse_name(name)[0] for name in names)
        if len(set(self.names)) < len(self.names):
            raise ValueError(
                f"{type(self).__name__} was given one score twice: {names}. Name each once."
            )

    def _ranks(self, candidates: Sequence[Candidate], history: History) -> npt.NDArray[np.float64]:
        """Return ranks 1 (worst) … n (best), ties averaged; shape (scores, candidates).

        A score that only m of the n candidates have gives these the ranks n/m, 2n/m, … n, and NaN
        to the others.
        """
        ranks = np.full((len(self._given_names), len(candidates)), np.nan)
        for row, name in zip(ranks, self._given_names, strict=True):
            merits = oriented_scores(candidates, history, name)
            there = ~np.isnan(merits)
            if there.any():
                row[there] = rankdata(merits[there]) * (len(merits) / np.count_nonzero(there))
        return ranks


class Vote(SeveralScores):
    """Majority vote on every pair of candidates (Abdelfattah et al., ICLR 2021).

    Of two candidates the better is the one that most scores prefer; a score for which they are
    equal, or that one of them lacks, abstains. Majorities can be circular, so candidates are
    ordered by the number of pairs they win minus the number they lose (Copeland's rule), then by
    their mean rank in the scores that they have.

    Args:
        names: Scores, two or more, as in :class:`ByScore`. The paper's vote is over synflow,
            jacob_cov and snip.
    """

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        ranks = self._ranks(candidates, history)
        votes = np.zeros((len(candidates), len(candidates)), dtype=np.int16)
        for rank in ranks:
            votes += np.nan_to_num(np.sign(rank[:, None] - rank[None, :])).astype(np.int16)
        won = np.sign(votes).sum(axis=1, dtype=np.int64)
        return [int(i) for i in np.lexsort((-_mean_of_known(ranks), -won))]


class RankSum(SeveralScores):
    """Sum of logarithmic ranks, Σₖ log(rankₖ / n) over n candidates (Lee & Ham, CVPR 2024).

    A candidate that is near the bottom of one score is punished more than one that is near the
    top of another is rewarded. The value belongs to the candidates compared, not to one alone.
    Of a candidate that lacks scores the mean over those that it has counts, each ranked among the
    candidates that have it.

    Args:
        names: Scores, two or more, as in :class:`ByScore`.
    """

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        ranks = self._ranks(candidates, history)
        return by_merit(_mean_of_known(np.log(ranks / max(len(candidates), 1))))


def _mean_of_known(ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean over the scores that each candidate has, shape (candidates,).

    It is rounded, so that what is equal is so however many scores there are, and -inf for a
    candidate without any score.
    """
    there = np.count_nonzero(~np.isnan(ranks), axis=0)
    means = np.round(np.nansum(ranks, axis=0) / np.maximum(there, 1), 12)
    return np.where(there, means, -np.inf)


class _Function(BaseRanking):
    """A user's ranking, which has nothing to say but an order, and perhaps ``names``.

    With names, it is given only the candidates that have all of these.
    """

    def __init__(self, ranking: Ranking) -> None:
        self._ranking = ranking
        self.names = tuple(getattr(ranking, "names", ()))

    def __repr__(self) -> str:
        return without_address(repr(self._ranking))

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> Sequence[int]:
        return self._ranking(candidates, history)


def as_ranking(
    ranking: Ranking | str | None,
    score_names: Sequence[str] | None,
    *,
    measured: Collection[str] = (),
) -> BaseRanking:
    """Return the ranking that ``ranking`` stands for; ``None`` for the only score there is.

    The ``score_names`` are those that will be there, or ``None`` if this is not known yet. What is
    ``measured`` for limits a ranking may read too.
    """
    if ranking is None:
        if score_names is None:
            return OnlyScore(measured)
        if not score_names:
            return AsDrawn()
        if len(score_names) != 1:
            raise ValueError(
                f"The scorer returns several scores, {list(score_names)}, and no ranking says how "
                f"they order the candidates. Pass ranking={score_names[0]!r} to use that one, or "
                f"combine them, e.g. ranking=RankSum({', '.join(map(repr, score_names))})."
            )
        return ByScore(score_names[0])
    if isinstance(ranking, str):
        ranking = ByScore(ranking)
    if isinstance(ranking, type) or not callable(ranking):
        raise TypeError(
            f"ranking is {ranking!r}, but it must be a score's name such as 'synflow', or a "
            "ranking such as Vote('synflow', 'snip') or RankSum('synflow', 'snip')."
        )
    whole = ranking if isinstance(ranking, BaseRanking) else _Function(ranking)
    known = [*(score_names or ()), *measured]
    unknown = [name for name in whole.names if name not in known]
    if unknown and score_names is not None:
        raise ValueError(
            f"The ranking {ranking!r} reads {unknown}, but the scorer returns {known}. Name one "
            f"of these in the ranking, or add {unknown} to the scorer."
        )
    if score_names is None and whole.names:
        # Only a call will tell. The user's own object stays as it is.
        whole = copy.copy(whole)
        whole.names_are_checked = False
    return whole
