"""Agreement of scores of untrained networks with the accuracies of the trained ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from optuna_zerocost.proxies import describe
from optuna_zerocost.proxy_table import MEASURED_COSTS
from optuna_zerocost.rankings import kendall, spearman
from zerocost_bench.accuracies import Accuracies, Array
from zerocost_bench.score_table import MeasuredScores

__all__ = [
    "RANK_SUMS",
    "REDUCED_TRAINING",
    "VOTE",
    "WITHIN",
    "Agreement",
    "agreement",
    "correlate",
    "majority",
    "rank_sum",
]

VOTE = ("synflow", "jacob_cov", "snip")
"""The proxies that Abdelfattah et al. (ICLR 2021) let vote."""

RANK_SUMS = (VOTE, ("naswot", "logsynflow"), ("naswot", "logsynflow", "flops"))
"""Scores whose ranks are added up, logarithmically, as by :class:`optuna_zerocost.RankSum`."""

REDUCED_TRAINING = "12 epochs"
"""The validation accuracy after 12 epochs, which takes training: the rival of the proxies."""

WITHIN = 0.1
"""Distance from the best at which a network counts as found, in percentage points."""

_TOP = 0.1
# Rows of a block in which pairs are compared: such a block of all 15,625 takes some 60 MB.
_BLOCK = 500


@dataclass(frozen=True)
class Agreement:
    """Agreement of one score with accuracy; higher is better in all but ``first_rank``.

    A network for which the score is undefined counts as worst. A correlation over nothing but
    equal values is NaN.

    Attributes:
        score: The proxy's name, or what scores were combined.
        direction: Whether the score is better when larger or smaller.
        networks: Number of networks compared: all, or those for which it was measured.
        undefined: For how many of these the score is undefined.
        spearman: Spearman ρ over all of them, of the score as it is: negative for a good score
            that is better when smaller.
        kendall: Kendall τ-b, likewise.
        top_spearman: Spearman ρ over the tenth with the highest accuracy.
        top_kendall: Kendall τ-b over these.
        concordant: Share of pairs with different accuracies that the score orders as accuracy
            does, its direction considered; equal scores count as half a pair.
        first_rank: How many networks have to be trained, best score first, until one is within
            :data:`WITHIN` of the best. Of networks with equal scores a mean one is taken.
        passes: Cost for a network in training passes (forward and backward) over 64 images.
        seconds: The same in seconds of the processor that measured the scores, or NaN.
    """

    score: str
    direction: str
    networks: int
    undefined: int
    spearman: float
    kendall: float
    top_spearman: float
    top_kendall: float
    concordant: float
    first_rank: float
    passes: float
    seconds: float


def correlate(
    accuracies: Accuracies, scores: MeasuredScores, *, metric: str = "validation"
) -> list[Agreement]:
    """Compare every score with accuracy, over the whole space and over the networks of the sample.

    Args:
        accuracies: Of one data set.
        scores: The proxies' scores.
        metric: ``"validation"`` or ``"test"``, the accuracy that they are compared with.

    Returns:
        For each set of networks for which scores were measured, the largest first: all scores that
        there are for them, and what is combined of these, by falling absolute ρ.
    """
    target = accuracies.of(metric)
    seconds = _training_pass_seconds(scores)
    found = []
    for mask in _samples(scores):
        there = [name for name in scores if scores.measured[name][mask].all()]
        merits = {name: _merit(scores, name)[mask] for name in there}
        rows = [
            agreement(
                merit,
                target[mask],
                score=name,
                direction=scores.directions[name],
                passes=_passes([name]),
            )
            for name, merit in merits.items()
        ]
        if accuracies.short is not None:
            rows.append(
                agreement(
                    accuracies.short[mask],
                    target[mask],
                    score=REDUCED_TRAINING,
                    passes=accuracies.short_passes,
                )
            )
        if set(VOTE) <= set(merits):
            share, won = majority([merits[name] for name in VOTE], target[mask])
            row = agreement(won, target[mask], score=_label("vote", VOTE), passes=_passes(VOTE))
            rows.append(replace(row, concordant=share))
        for names in RANK_SUMS:
            if set(names) <= set(merits):
                merit = rank_sum([merits[name] for name in names])
                label = _label("rank sum", names)
                rows.append(agreement(merit, target[mask], score=label, passes=_passes(names)))
        rows = [replace(row, seconds=row.passes * seconds) for row in rows]
        found += sorted(rows, key=lambda row: -np.nan_to_num(abs(row.spearman)))
    return found


def _samples(scores: MeasuredScores) -> list[npt.NDArray[np.bool_]]:
    """Return the sets of networks for which scores were measured, the largest first."""
    distinct = {mask.tobytes(): mask for mask in scores.measured.values()}
    return sorted(distinct.values(), key=lambda mask: -int(mask.sum()))


def _label(kind: str, names: Sequence[str]) -> str:
    return f"{kind}({', '.join(names)})"


def agreement(
    merit: Array,
    target: Array,
    *,
    score: str = "",
    direction: str = "maximize",
    passes: float = math.nan,
) -> Agreement:
    """Compare one score with accuracy.

    Args:
        merit: The score of n networks, turned so that higher is better; NaN where undefined.
        target: Their accuracies, shape (n,).
        score: What the result is called.
        direction: ``"minimize"`` if the score was turned round.
        passes: Cost in training passes.

    Returns:
        The comparison, without seconds.
    """
    undefined = np.isnan(merit)
    # Ranks, since an undefined score has a place (the last), but no value.
    ranks = stats.rankdata(np.where(undefined, -np.inf, merit))
    sign = -1.0 if direction == "minimize" else 1.0
    top = target >= np.quantile(target, 1 - _TOP)
    tau = _kendall(ranks, target)
    good = target >= target.max() - WITHIN
    return Agreement(
        score,
        direction,
        len(target),
        int(undefined.sum()),
        sign * _spearman(ranks, target),
        sign * tau,
        sign * _spearman(ranks[top], target[top]),
        sign * _kendall(ranks[top], target[top]),
        (1 + tau * _share_of_untied(ranks, target)) / 2,
        float(len(ranks) + 1 - ranks[good].max()),
        passes,
        math.nan,
    )


def _spearman(ranks: Array, target: Array) -> float:
    return spearman(ranks.tolist(), target.tolist()).value


def _kendall(ranks: Array, target: Array) -> float:
    return kendall(ranks.tolist(), target.tolist()).value


def _share_of_untied(ranks: Array, target: Array) -> float:
    """Return what turns τ-b into the difference of concordant and discordant pairs.

    Both relative to the pairs with different accuracies; τ-b is relative to a geometric mean.
    """
    untied_ranks, untied_target = (_untied_pairs(values) for values in (ranks, target))
    return math.sqrt(untied_ranks / untied_target) if untied_target else math.nan


def _untied_pairs(values: Array) -> int:
    _, counts = np.unique(values, return_counts=True)
    return (len(values) * (len(values) - 1) - int((counts * (counts - 1)).sum())) // 2


def majority(merits: Sequence[Array], target: Array) -> tuple[float, Array]:
    """Let scores vote on every pair of networks, each score for the one that it has higher.

    A score with two equal values, or that is undefined for both, abstains.

    Args:
        merits: Scores of n networks, higher is better; NaN, where undefined, is below all others.
        target: Their accuracies, shape (n,).

    Returns:
        The share of pairs with different accuracies in which the majority is right, a tie counting
        as half; and for each network the pairs it wins minus those it loses.
    """
    ranks = [
        stats.rankdata(np.where(np.isnan(merit), -np.inf, merit)).astype(np.float32)
        for merit in merits
    ]
    right = pairs = 0.0
    won = np.empty(len(target))
    for start, stop in _blocks(len(target)):
        votes = np.zeros((stop - start, len(target)), dtype=np.int8)
        for rank in ranks:
            votes += _sign(rank, start, stop)
        votes = np.sign(votes)
        truth = _sign(target, start, stop)
        won[start:stop] = votes.sum(axis=1, dtype=np.int64)
        # Each pair is met twice, once from either side.
        right += float((votes * truth).sum(dtype=np.int64)) / 2
        pairs += float(np.count_nonzero(truth)) / 2
    return ((right / pairs + 1) / 2 if pairs else math.nan), won


def _sign(values: npt.NDArray[np.floating], start: int, stop: int) -> npt.NDArray[np.int8]:
    block = values[start:stop, None]
    return (block > values[None, :]).astype(np.int8) - (block < values[None, :]).astype(np.int8)


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, _BLOCK):
        yield start, min(start + _BLOCK, count)


def rank_sum(merits: Sequence[Array]) -> Array:
    """Return Σₖ log(rankₖ / n) for n networks (Lee & Ham, CVPR 2024), undefined scores last."""
    ranks = [stats.rankdata(np.where(np.isnan(merit), -np.inf, merit)) for merit in merits]
    return np.asarray(sum(np.log(rank / len(rank)) for rank in ranks))


def _merit(scores: MeasuredScores, name: str) -> Array:
    return -scores[name] if scores.directions[name] == "minimize" else scores[name]


def _passes(names: Sequence[str]) -> float:
    """Return the cost of scores together: of each pass over the network, its dearest reader."""
    dearest: dict[str, float] = {}
    for name in names:
        source = describe(name).source.name
        dearest[source] = max(dearest.get(source, 0.0), MEASURED_COSTS.get(name, math.nan))
    return sum(dearest.values())


def _training_pass_seconds(scores: MeasuredScores) -> float:
    measured = [about["training_pass_seconds"] for about in scores.about.values()]
    known = [seconds for seconds in measured if seconds is not None]
    return float(np.median(known)) if known else math.nan
