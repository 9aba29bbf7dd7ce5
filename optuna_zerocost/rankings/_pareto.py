"""Ranking by several scores at once, without weighing one against another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from optuna.trial import TrialState

from optuna_zerocost.rankings._fixed import SeveralScores
from optuna_zerocost.records import Candidate, History, stored_scores

__all__ = ["Pareto", "crowding_distances", "non_domination_ranks", "order_by_fronts"]


# A tenth of the trials that a warmup has.
_OPENING = 6


class Pareto(SeveralScores):
    """Non-dominated sorting, for studies with several objectives.

    A candidate dominates another if no score prefers the other and one at least prefers it. What
    none dominates is the first front, what only the first front dominates the second, and so on.
    Candidates are ordered by front, in a front by falling crowding distance, then as they were
    drawn (Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", 2002).

    The study's complete and running trials are sorted along with the candidates, if they have any
    of the scores. One candidate at a time is trained: among the candidates alone the outermost,
    which have no neighbour on one side, would come first every time. So a candidate is preferred
    if no trial dominates it, and if it lies in a gap between trials.

    Distances are of ranks, not of values: some scores span sixty powers of ten, and only their
    order has a meaning. A score that a candidate lacks counts as worse than any that is there, and
    adds nothing to its distance: it is on the first front only for what it has.

    Args:
        names: Scores, two or more, as in :class:`ByScore`: ``Pareto("synflow", "-flops")``.
    """

    @property
    def opening(self) -> int:
        """Number of first trials that are the pool's best.

        They are few: what is best by scores alone covers little of the front.
        """
        return _OPENING

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        trained = (
            Candidate(trial.params, trial.distributions, stored_scores(trial.user_attrs))
            for trial in [*history.trials, *history.running]
            if trial.state in (TrialState.COMPLETE, TrialState.RUNNING)
        )
        scored = [trial for trial in trained if any(n in trial.scores for n in self.names)]
        ranks = self._ranks([*candidates, *scored], history).T
        return order_by_fronts(ranks[: len(candidates)], ranks[len(candidates) :])


def order_by_fronts(merits: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> list[int]:
    """Return the indices of ``merits`` by front, and in a front by falling crowding distance.

    Both arrays have shape (points, scores), better when higher, NaN where a score is missing; the
    ``others``, such as what was trained, are sorted along.
    """
    points = np.concatenate([merits, others])
    fronts = non_domination_ranks(points)
    distances = np.zeros(len(points))
    for front in np.unique(fronts):
        members = fronts == front
        distances[members] = crowding_distances(points[members])
    order = np.lexsort((-distances, fronts))
    return [int(index) for index in order if index < len(merits)]


def non_domination_ranks(merits: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return for each point the number of its front, 0 for the points that none dominates.

    NaN is worse than any number.
    """
    merits = np.where(np.isnan(merits), -np.inf, merits)
    count = len(merits)
    # One score at a time: points × points × scores is more memory than 3000 points deserve.
    at_least = np.ones((count, count), dtype=bool)
    for score in merits.T:
        at_least &= score[:, None] >= score[None, :]
    dominates = at_least & ~at_least.T
    dominators = dominates.sum(axis=0)
    fronts = np.full(count, -1, dtype=np.int64)
    front = 0
    while (members := (fronts < 0) & (dominators == 0)).any():
        fronts[members] = front
        dominators -= dominates[members].sum(axis=0)
        front += 1
    return fronts


def crowding_distances(merits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the distance between each point's two neighbours, summed over the scores.

    It is infinite where a point is outermost in a score; a score in which another point has the
    same value adds nothing, and neither does NaN.
    """
    total = np.zeros(len(merits))
    for score in merits.T:
        there = ~np.isnan(score)
        values, index, counts = np.unique(score[there], return_inverse=True, return_counts=True)
        bounded = np.concatenate([[-np.inf], values, [np.inf]])
        gaps = np.where(counts > 1, 0.0, bounded[2:] - bounded[:-2])
        total[there] += gaps[index]
    return total
