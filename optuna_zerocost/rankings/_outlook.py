"""The outlook: what finished trials make one expect of any configuration."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from optuna_zerocost.rankings._acquisition import (
    HypervolumeImprovement,
    log_expected_improvement,
)
from optuna_zerocost.rankings._configuration_space import Features
from optuna_zerocost.rankings._gaussian_process import GaussianProcess
from optuna_zerocost.rankings._observations import Observations, Table
from optuna_zerocost.rankings._output_warp import SOFTNESSES, OutputWarp, warps_of
from optuna_zerocost.rankings._prospects import LIKELY, Prospects, known_quantity
from optuna_zerocost.rankings._rank_correlation import spearman

__all__ = ["Outlook", "trust_in_scores"]

_Array = npt.NDArray[np.float64]

# What will hardly succeed and be feasible comes after all that may.
_LOG_LIKELY, _LAST = math.log(LIKELY), -1e6

_SURE = 1e-6  # deviation of what is known, on a scale of variance 1

_NEGLIGIBLE = 0.03  # weight of a scale that is not looked at


class _Surrogate(NamedTuple):
    """A Gaussian process of one objective, on a scale of its values."""

    process: GaussianProcess
    warp: OutputWarp
    targets: _Array  # of this study's trials
    log_weight: float  # of the scale among those that are looked at


class Outlook:
    """Predictions and acquisition values, given observations.

    Each objective has a Gaussian process over the coordinates of whole configurations, on each of
    several scales of its values. A scale weighs as much as it makes the values, as they are,
    likely. Trials that other workers are at count as if they had the value that is predicted for
    them.

    With one objective the acquisition value is the logarithm of the expected improvement on the
    best feasible trial, averaged over the scales, with several that of the hypervolume; with
    ``exploration`` mean + exploration · deviation on the likeliest scale. It is multiplied by the
    probability of success and of feasibility, and where that is below one half, it is less than
    all others.
    """

    def __init__(
        self, seen: Observations, *, with_scores: bool = True, exploration: float | None = None
    ) -> None:
        self._seen, self._with_scores, self._exploration = seen, with_scores, exploration
        count = seen.values.shape[1]
        self._surrogates = [self._fitted(objective, count) for objective in range(count)]

    @functools.cached_property
    def prospects(self) -> Prospects:
        """What failures and constraints teach."""
        return Prospects(self._seen)

    def _fitted(self, objective: int, count: int) -> list[_Surrogate]:
        """Return the surrogates on each scale that counts, the likeliest first."""
        seen = self._seen
        values = seen.values[:, objective]
        # The hypervolume is one of values as they are.
        softnesses = SOFTNESSES if count == 1 else SOFTNESSES[:1]
        features = self._features(Table.joined([seen.own, *seen.priors]))
        found: list[_Surrogate] = []
        for warp in warps_of(values, softnesses):
            targets, log_slope = [warp.warp(values)], warp.log_slope
            for prior in seen.prior_values:
                own_warp = warps_of(prior[:, objective], (warp.softness,))[0]
                targets.append(own_warp.warp(prior[:, objective]))
                log_slope += own_warp.log_slope
            process = GaussianProcess(features, np.concatenate(targets))
            evidence = process.log_posterior + log_slope
            found.append(_Surrogate(process, warp, targets[0], evidence))
        found.sort(key=lambda each: -each.log_weight)
        total = float(logsumexp([each.log_weight for each in found]))
        found = [each._replace(log_weight=each.log_weight - total) for each in found]
        kept = [each for each in found if each.log_weight > math.log(_NEGLIGIBLE)]
        if not len(seen.running):
            return kept
        every = self._features(Table.joined([seen.own, *seen.priors, seen.running]))
        running = self._features(seen.running)

        def told(one: _Surrogate) -> _Surrogate:
            known = np.concatenate([one.process.targets, one.process.predict(running)[0]])
            return one._replace(process=one.process.given(every, known))

        return [told(one) for one in kept]

    def _features(self, table: Table) -> Features:
        return self._seen.features(table, with_scores=self._with_scores)

    def predict(self, table: Table) -> tuple[_Array, _Array]:
        """Return means and deviations on the likeliest scales, both of shape (m, objectives).

        A quantity that is known before the training is predicted as it is.
        """
        found = [
            self._predicted(objective, surrogates[:1], table)[0]
            for objective, surrogates in enumerate(self._surrogates)
        ]
        means, deviations = zip(*found, strict=True)
        return np.stack(means, axis=1), np.stack(deviations, axis=1)

    def _predicted(
        self, objective: int, surrogates: list[_Surrogate], table: Table
    ) -> list[tuple[_Array, _Array]]:
        """Return means and deviations by each of an objective's surrogates."""
        known = self._known(objective, table)
        if known is not None:
            sure = np.full(len(table), _SURE)
            return [(one.warp.warp(known), sure) for one in surrogates]
        features = self._features(table)
        return [one.process.predict(features) for one in surrogates]

    def _known(self, objective: int, table: Table) -> _Array | None:
        if not self._with_scores:
            return None
        values = self._seen.values[:, objective]
        return known_quantity(self._seen, self._seen.own, values, table) if len(values) else None

    @functools.cached_property
    def levels(self) -> _Array:
        """Values of this study's trials on the likeliest scales, shape (n, objectives)."""
        return np.stack([surrogates[0].targets for surrogates in self._surrogates], axis=1)

    @functools.cached_property
    def _believed(self) -> Table:
        """What other workers are at, as far as it will probably succeed and be feasible."""
        running = self._seen.running
        return running[self.prospects.log_probability(running) >= _LOG_LIKELY]

    @functools.cached_property
    def _best(self) -> list[float]:
        """What there is to exceed on each scale: the best that is feasible, as predicted.

        Nothing where none is feasible.
        """
        seen = self._seen
        table = seen.own[seen.is_feasible] if len(seen.own) else Table.joined(seen.priors)
        if not len(table):
            return []
        known = Table.joined([table, self._believed])
        return [float(mean.max()) for mean, _ in self._predicted(0, self._surrogates[0], known)]

    @functools.cached_property
    def _hypervolume(self) -> HypervolumeImprovement:
        reached = self.levels[self._seen.is_feasible]
        if len(self._believed):
            reached = np.concatenate([reached, self.predict(self._believed)[0]])
        return HypervolumeImprovement(reached, self.levels)

    def acquisition(self, table: Table) -> _Array:
        """Return the acquisition values, shape (m,); the highest is trained next."""
        if not len(table):
            return np.zeros(0)
        chances: _Array = np.zeros(len(table))
        if self.prospects:
            chances = self.prospects.log_probability(table)
            # A large improvement is expected of much that is not possible.
            chances = np.where(chances < _LOG_LIKELY, chances + _LAST, chances)
        if len(self._surrogates) > 1:
            return self._hypervolume.log_expectation(*self.predict(table)) + chances
        if self._exploration is not None:
            means, deviations = self.predict(table)
            return means[:, 0] + self._exploration * deviations[:, 0] + chances
        if not self._best:  # whatever is feasible is an improvement
            return chances
        surrogates = self._surrogates[0]
        predicted = self._predicted(0, surrogates, table)
        improvements = [
            one.log_weight + log_expected_improvement(*each, best)
            for one, each, best in zip(surrogates, predicted, self._best, strict=True)
        ]
        return np.asarray(logsumexp(improvements, axis=0) + chances)

    def told(self, table: Table) -> list[tuple[float, float]]:
        """Return value and deviation of each objective, as maximised, for one row."""
        means, deviations = self.predict(table)
        found = []
        for index, surrogates in enumerate(self._surrogates):
            mean, deviation = float(means[0, index]), float(deviations[0, index])
            unwarp = surrogates[0].warp.unwarp
            half = unwarp(mean + deviation) / 2 - unwarp(mean - deviation) / 2
            found.append((unwarp(mean), half))
        return found


def trust_in_scores(seen: Observations) -> dict[str, float]:
    """Return what each score explains beyond the parameters; see ``Learned.trust``."""
    without = Outlook(seen, with_scores=False)._surrogates[0][0]
    count = len(seen.own)
    missed = without.process.left_out_errors()[:count]
    ranks = seen.ranks(seen.own)
    found = {}
    for index, name in enumerate(seen.names):
        column = ranks[:, index]
        share = 0.0
        if count > 2 and column.std() > 0 and missed.std() > 0:
            # The part of the errors' variance that a line explains, but for what chance explains.
            squared = float(np.corrcoef(column, missed)[0, 1]) ** 2
            share = max(0.0, 1.0 - (1.0 - squared) * (count - 1) / (count - 2))
        rho = spearman(column.tolist(), seen.values[:, 0].tolist()).value
        found[name] = math.copysign(share, rho) if share and rho == rho else 0.0
    return found
