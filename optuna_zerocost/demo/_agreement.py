"""How well scores of untrained networks agree with the accuracy of the trained ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optuna_zerocost import ByScore, Candidate, History, RankSum, analysis

__all__ = [
    "PROXIES",
    "RANKED",
    "RANK_SUM",
    "Agreement",
    "Trained",
    "agreements",
    "by_rank_sum",
    "positions",
    "spearman",
]

RANKED = ("synflow", "jacob_cov", "snip")
"""The proxies whose ranks, added up, order the demo's candidates.

They are those of the vote of Abdelfattah et al. (ICLR 2021). Of all 165 rank sums of two or three
of :data:`PROXIES`, theirs agreed best with accuracy in two surveys of 300 random architectures
(Spearman ρ .73 and .78, seeds 1000 and 5000), and better than any single proxy (snip .59 and .56,
jacob_cov .57 and .63, synflow .42 and .46, flops .39 and .20, params .31 and .15).
"""

PROXIES = (
    *RANKED,
    "grad_norm",
    "grasp",
    "fisher",
    "plain",
    "l2_norm",
    "params",
    "flops",
)
"""The proxies that are compared with the accuracy of trained networks."""

RANK_SUM = "rank sum"


@dataclass(frozen=True)
class Trained:
    """Trained networks.

    Attributes:
        accuracies: The validation accuracy of each.
        scores: What each scored before; at least :data:`PROXIES`.
    """

    accuracies: Sequence[float]
    scores: Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Agreement:
    """How well one score agrees with accuracy. A ρ over nothing but equal values is NaN.

    Attributes:
        score: A proxy, or :data:`RANK_SUM` for the demo's ranking.
        pooled: Spearman ρ over the networks of all groups.
        by_group: Spearman ρ in each group.
        best_half: Spearman ρ over the networks that are better than the median.
    """

    score: str
    pooled: float
    by_group: tuple[float, ...]
    best_half: float


def agreements(groups: Sequence[Trained]) -> tuple[Agreement, ...]:
    """Return the agreement of the demo's ranking and of each proxy, the highest ρ first.

    Args:
        groups: Networks that were trained in the same way, e.g. those of each seed.
    """
    accuracies = np.array([accuracy for group in groups for accuracy in group.accuracies])
    scores = [of_network for group in groups for of_network in group.scores]
    best_half = accuracies > np.median(accuracies)
    found = []
    for name in (RANK_SUM, *PROXIES):
        values = _values(name, scores)
        found.append(
            Agreement(
                name,
                spearman(values, accuracies),
                tuple(
                    spearman(_values(name, group.scores), np.array(group.accuracies))
                    for group in groups
                ),
                spearman(values[best_half], accuracies[best_half]),
            )
        )
    return tuple(sorted(found, key=lambda a: -np.nan_to_num(a.pooled, nan=-2.0)))


def by_rank_sum(scores: Sequence[Mapping[str, float]], names: Sequence[str] = RANKED) -> list[int]:
    """Return the indices of networks as the ranking orders them, best first.

    Args:
        scores: What each network scored.
        names: The scores whose ranks are added up; one alone ranks by itself.
    """
    ranking = ByScore(*names) if len(names) == 1 else RankSum(*names)
    return ranking([Candidate({}, {}, of_network) for of_network in scores], History())


def positions(order: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return for each network how many others ``order`` puts behind it."""
    values = np.empty(len(order))
    values[list(order)] = np.arange(len(order))[::-1]
    return values


def _values(name: str, scores: Sequence[Mapping[str, float]]) -> npt.NDArray[np.float64]:
    """Return one score of each network, or how many others the demo's ranking puts behind it."""
    if name != RANK_SUM:
        return np.array([of_network[name] for of_network in scores])
    return positions(by_rank_sum(scores))


def spearman(values: npt.NDArray[np.float64], accuracies: npt.NDArray[np.float64]) -> float:
    """Return Spearman ρ, or NaN where one side holds nothing but equal values."""
    return analysis.spearman(list(values), list(accuracies)).value
