"""From searches to curves: the best network so far against the number of trained networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zerocost_bench.searches import Search

__all__ = ["GAPS", "Curve", "Quartiles", "best_so_far", "summarise", "trained_until"]

Array = npt.NDArray[np.float64]

GAPS = (0.5, 0.1)
"""Distances from the best accuracy of all networks to which a search is to come, in points."""


@dataclass(frozen=True)
class Quartiles:
    """Quartiles over the seeds, for each number of trained networks, from 1.

    Attributes:
        lower: A quarter of the searches is below.
        median: Half of them are.
        upper: Three quarters are.
    """

    lower: Array
    median: Array
    upper: Array

    @classmethod
    def of(cls, values: Array) -> Quartiles:
        """Return those of ``values``, shape (seeds, trained networks)."""
        return cls(*np.quantile(values, [0.25, 0.5, 0.75], axis=0))


@dataclass(frozen=True)
class Curve:
    """The outcome of the searches of one arm on one data set.

    Accuracies are in %.

    Attributes:
        label: The arm's.
        dataset: What was searched.
        seeds: Number of searches.
        best: The best accuracy so far, of what was searched for.
        test: The test accuracy of that network; ``None`` if not known.
        needed: Gap → lower quartile, median and upper quartile over the seeds of the trained
            networks until one was within that gap of the best; infinite where none was.
        milliseconds: Time of the processor for a trial that costs nothing to train, mean.
    """

    label: str
    dataset: str
    seeds: int
    best: Quartiles
    test: Quartiles | None
    needed: Mapping[float, tuple[float, float, float]]
    milliseconds: float

    def speedup(self, base: Curve, gap: float) -> float:
        """Return how many times as many networks ``base`` needs; NaN if neither gets there."""
        ours, theirs = self.needed[gap][1], base.needed[gap][1]
        return math.nan if math.isinf(ours) and math.isinf(theirs) else theirs / ours


def best_so_far(trained: npt.NDArray[np.int64], objective: Array) -> npt.NDArray[np.int64]:
    """Return after each training the network with the highest ``objective`` so far.

    Args:
        trained: n networks in the order of training.
        objective: Accuracy of every network there is.

    Returns:
        Shape (n,); of equally good networks the earlier one.
    """
    values = objective[trained]
    is_better = np.concatenate([[True], values[1:] > np.maximum.accumulate(values)[:-1]])
    places = np.maximum.accumulate(np.where(is_better, np.arange(len(trained)), 0))
    return trained[places]


def trained_until(trained: npt.NDArray[np.int64], objective: Array, gap: float) -> float:
    """Return how many networks were trained until one was within ``gap`` of the best there is.

    Infinity if none was.
    """
    found = np.flatnonzero(objective[trained] >= objective.max() - gap)
    return float(found[0] + 1) if len(found) else math.inf


def summarise(
    searches: Sequence[Search],
    objectives: Mapping[str, Array],
    tests: Mapping[str, Array | None],
) -> list[Curve]:
    """Return a curve for each data set and arm, in the order of the searches.

    Args:
        searches: Those that ended early count as if they had trained nothing better later on.
        objectives: Data set → what was searched for, of all networks.
        tests: Data set → test accuracies of all networks, if known.
    """
    groups: dict[tuple[str, str], list[Search]] = {}
    for search in searches:
        groups.setdefault((search.dataset, search.label), []).append(search)
    longest = max((len(search.trained) for search in searches), default=0)
    curves = []
    for (dataset, label), group in groups.items():
        objective, test = objectives[dataset], tests[dataset]
        best = np.stack([_lengthened(best_so_far(s.trained, objective), longest) for s in group])
        curves.append(
            Curve(
                label,
                dataset,
                len(group),
                Quartiles.of(objective[best]),
                None if test is None else Quartiles.of(test[best]),
                {
                    gap: _quartiles([trained_until(s.trained, objective, gap) for s in group])
                    for gap in GAPS
                },
                float(np.mean([1000 * s.seconds / len(s.trained) for s in group])),
            )
        )
    return curves


def _lengthened(best: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    return np.pad(best, (0, length - len(best)), mode="edge")


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return quartiles, where some values may be infinite, without interpolating towards these."""
    ordered = sorted(values)
    last = len(ordered) - 1
    lower, median, upper = (ordered[math.ceil(share * last)] for share in (0.25, 0.5, 0.75))
    return lower, median, upper
