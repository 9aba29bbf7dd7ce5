"""The verdict on a trial's scores: a function of numbers, no study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optuna_zerocost.rankings import Ranking, best_first
from optuna_zerocost.records import Candidate, History

__all__ = ["Criterion", "Verdict", "merits_of", "share_not_better"]


@dataclass(frozen=True)
class Verdict:
    """The fate of a trial, and the reason for it; the attributes ``zerocost:verdict…``.

    What is ``None`` is undefined, or was not compared.
    """

    verdict: str
    reason: str
    trials: int | None = None
    correlation: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Criterion:
    """The condition on which scores are trusted; see the pruner's arguments of these names."""

    min_trials: int
    min_correlation: float | None

    def objection(self, trials: int, correlation: float | None) -> Verdict | None:
        """Return the verdict if the scores are not to be trusted yet, else ``None``."""
        if trials < self.min_trials:
            reason = (
                f"{trials} scored trials are complete; nothing is pruned before there are "
                f"{self.min_trials}."
            )
            return Verdict("too few trials", reason, trials, correlation)
        if self.min_correlation is None:
            return None
        if correlation is None or correlation <= self.min_correlation:
            seen = "undefined" if correlation is None else f"{correlation:.3f}"
            reason = (
                f"The rank correlation with the objective is {seen} over {trials} trials; nothing "
                f"is pruned unless it is above {self.min_correlation:g}."
            )
            return Verdict("no correlation", reason, trials, correlation)
        return None


def merits_of(
    ranking: Ranking, candidates: Sequence[Candidate], history: History
) -> npt.NDArray[np.float64]:
    """Return one number a candidate that orders them as ``ranking`` does, higher is better.

    Candidates with the same scores have the same merit. A ranking puts them in the order in which
    they were drawn, and a trial's number must not pass for a score.
    """
    names = getattr(ranking, "names", None)
    rows = [
        tuple(candidate.scores[name] for name in names or sorted(candidate.scores))
        for candidate in candidates
    ]
    first: dict[tuple[float, ...], Candidate] = {}
    for row, candidate in zip(rows, candidates, strict=True):
        first.setdefault(row, candidate)
    order = best_first(ranking, list(first.values()), history) if first else []
    distinct = list(first)
    merit = {distinct[index]: -float(position) for position, index in enumerate(order)}
    return np.array([merit[row] for row in rows])


def share_not_better(
    ranking: Ranking, candidate: Candidate, others: Sequence[Candidate], history: History
) -> float:
    """Return the share of ``others`` that ``ranking`` does not prefer to ``candidate``.

    It is below q if and only if a score is below the q-quantile of the others' scores, the
    smallest of them that a share q does not exceed.
    """
    merits = merits_of(ranking, [candidate, *others], history)
    return float(np.mean(merits[1:] <= merits[0]))
