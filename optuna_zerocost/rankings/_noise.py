"""Scores that look like noise: alike architectures differ in them as any others do."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, solve_triangular

from optuna_zerocost.rankings._configuration_space import Features

__all__ = ["are_unstructured"]

_Array = npt.NDArray[np.float64]

_DECAYS = (1.5, 4.0)  # of the similarity of parameters, over their mean difference
_DECAY_OF_ONE = 2.0  # of the similarity in a single parameter
_NOISES = (0.2, 0.6)  # share of the variance that has nothing to do with parameters
# Nats that a score gains on average which is nearly a function of parameters: so many it takes,
# or there is no telling, and of these so large a share from which on there is structure.
_VISIBLE = 10.0
_CLEAR = 0.07

# Below this share of it, what tells architectures apart in a similarity is rounding.
_SMALLEST_SHARE = 1e-6


def are_unstructured(features: Features, scores: _Array) -> npt.NDArray[np.bool_]:
    """Tell which scores differ between alike architectures as much as between any others.

    Such a score is noise as far as can be seen without a training, while accuracy is not: alike
    architectures are about as good. It takes no training to find out.

    A score with structure is one that a Gaussian process over the parameters, over all or over one
    of them, makes more likely than independent numbers (Rasmussen & Williams, "Gaussian Processes
    for Machine Learning", 2006, equation 2.30), as far as it tells architectures apart: what all
    have in common is left out. Where architectures are too few, or all equally different, nothing
    could be seen, and nothing is said against any score.

    Features of n architectures and their scores, shape (n, q), give shape (q,).
    """
    count, columns = scores.shape
    if not columns or count < 3:
        return np.zeros(columns, dtype=np.bool_)
    # What all have in common does not tell them apart, neither in scores nor in similarities.
    deviations = scores.std(axis=0, ddof=1)
    targets = (scores - scores.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    independent = 0.5 * (targets**2).sum(axis=0)
    found, visible = np.full(columns, -math.inf), 0.0
    for similarity, log_prior in _similarities(features):
        means = similarity.mean(axis=0)
        centred = similarity - means - means[:, None] + means.mean()
        share = np.trace(centred) / (count - 1)
        if share < _SMALLEST_SHARE:
            continue
        for noise in _NOISES:
            # What all have in common is the last of the eigenvectors, here with eigenvalue 1.
            covariance = (1.0 - noise) * (centred / share + 1.0 / count)
            covariance[np.diag_indices_from(covariance)] += noise
            factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)[0]
            white = solve_triangular(factor, targets, lower=True, check_finite=False)
            volume = float(np.log(np.diag(factor)).sum())
            gains = independent - 0.5 * (white**2).sum(axis=0) - volume + log_prior
            found = np.maximum(found, gains)
            visible = max(visible, -volume)
    return np.asarray((found < _CLEAR * visible) & (deviations > 0) & (visible >= _VISIBLE))


def _similarities(features: Features) -> Iterator[tuple[_Array, float]]:
    """Yield similarities of the architectures, each with the logarithm of its prior."""
    count = len(features.columns)
    differences: dict[int, _Array] = {}
    for group, column in zip(features.groups.tolist(), features.columns.T, strict=True):
        # Two choices differ by 1, as do half of a range and being absent.
        unit = column.max() if len(np.unique(column)) <= 2 else 2.0
        difference = unit * np.abs(column[:, None] - column)
        differences[group] = differences.get(group, np.zeros((count, count))) + difference
    for decay in _DECAYS:
        total = sum(differences.values(), np.zeros((count, count)))
        yield np.exp(-decay * total / max(len(differences), 1)), 0.0
    if len(differences) > 1:
        for difference in differences.values():
            yield np.exp(-_DECAY_OF_ONE * difference), -math.log(len(differences))
