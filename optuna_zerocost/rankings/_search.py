"""The search for configurations: scores are scarce, hyperparameters are free."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from optuna_zerocost.rankings._configuration_space import ConfigurationSpace

__all__ = ["FEWEST_SETS", "SETS", "completions", "widely"]

_Array = npt.NDArray[np.float64]

# Configurations that are looked at without scores, by the surrogate alone. More of them were
# worse: where little is known of a dozen parameters, the best of many is a far corner.
_RANDOM, _NEIGHBOURS = 32, 64

# For each architecture so many sets of hyperparameters, and so many for all at least; a share is
# random, and the others are neighbours of what good trials had.
SETS, FEWEST_SETS = 12, 96
_SHARE_OF_RANDOM = 0.2


def widely(
    space: ConfigurationSpace,
    acquisition: Callable[[_Array], _Array],
    parents: _Array,
    rng: np.random.Generator,
) -> _Array:
    """Return points of the space, shape (n, parameters), the highest acquisition value first.

    The parents are points of good trials, shape (p, parameters).
    """
    points = space.sampled(rng, _RANDOM)
    every = range(len(space.names))
    if len(parents):
        chosen = parents[rng.integers(len(parents), size=_NEIGHBOURS)]
        points = np.concatenate([points, space.neighbours(chosen, rng, every)])
    order = np.argsort(-acquisition(points), kind="stable")
    return points[order]


def completions(
    space: ConfigurationSpace,
    acquisition: Callable[[_Array, npt.NDArray[np.intp]], _Array],
    architectures: _Array,
    counts: Sequence[int],
    columns: Sequence[int],
    parents: _Array,
    rng: np.random.Generator,
) -> tuple[_Array, npt.NDArray[np.intp]]:
    """Return architectures with hyperparameters, the highest acquisition value first.

    For each architecture so many sets of hyperparameters are tried as ``counts`` says. They are
    the ``columns`` of the points; ``acquisition`` is told points and which of the architectures
    each has.

    Returns:
        Points of shape (n, parameters), and which of the architectures each has, shape (n,).
    """
    which = np.repeat(np.arange(len(architectures)), counts)
    points = architectures[which]
    drawn = space.sampled(rng, len(points))
    if len(parents):
        near = space.neighbours(
            parents[rng.integers(len(parents), size=len(points))], rng, columns
        )
        is_random = rng.random(len(points)) < _SHARE_OF_RANDOM
        drawn = np.where(is_random[:, None], drawn, near)
    points[:, columns] = drawn[:, columns]
    points = space.settled(points, rng)
    values = acquisition(points, which)
    order = np.argsort(-values, kind="stable")
    return points[order], which[order]
