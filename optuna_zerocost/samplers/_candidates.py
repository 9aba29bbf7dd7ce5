"""Candidates for one trial, drawn from any base sampler without a trial in the storage."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.algorithms import Mutations
from optuna_zerocost.records import ArchitectureKey, Candidate, KnownArchitectures
from optuna_zerocost.samplers._candidate_trial import (
    CandidateTrial,
    random_trial,
    scored_architecture,
)
from optuna_zerocost.samplers._outside import MeasuredTrials
from optuna_zerocost.samplers._study_view import Snapshot, StudyView
from optuna_zerocost.scoring import CandidateRejected, OutsideLimits, Scorer, limits_of

__all__ = ["Draw", "Draws", "Outside", "draw_candidates", "draw_neighbours", "draw_relative"]


@dataclass(frozen=True)
class Draw:
    """What a base sampler gave in one draw.

    Attributes:
        candidate: The architecture; ``None`` where it was not asked for one, or the scorer
            rejected it. A repeated one has no scores.
        relative: The relative sample, parameters outside of the architecture included.
        written: The system attributes that the base sampler wants to have on the trial.
    """

    candidate: Candidate | None
    relative: Mapping[str, Any]
    written: Mapping[str, Any]


@dataclass(frozen=True)
class Outside:
    """A draw outside of the limits.

    Attributes:
        candidate: The architecture; its scores are what was measured.
        draw: What the base sampler gave.
        violation: How far it is outside, see ``Limits.excess``.
    """

    candidate: Candidate
    draw: Draw
    violation: float


@dataclass
class Draws:
    """The draws for one trial, sorted by what became of them.

    Attributes:
        new: Scored architectures that the study has not met, each once.
        repeated: Draws of architectures that the study knows, or that were drawn before.
        rejected: Draws that the scorer rejected.
        reasons: For each rejected draw why.
        outside: Draws that are outside of the limits.
        are_random: Whether the last draws were random, since the base sampler found nothing.
    """

    new: list[tuple[Candidate, Draw]] = field(default_factory=list)
    repeated: list[Draw] = field(default_factory=list)
    rejected: list[Draw] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    outside: list[Outside] = field(default_factory=list)
    are_random: bool = False

    @property
    def settled(self) -> int:
        """Number of the draws that are not to be made again."""
        return len(self.new) + len(self.repeated) + len(self.rejected)

    @property
    def made(self) -> int:
        """Number of the draws."""
        return self.settled + len(self.outside)

    @property
    def within(self) -> int:
        """Number of the draws that are known to be within the limits."""
        return len(self.new) + len(self.repeated)

    def add_failures(self, other: Draws) -> None:
        """Add the draws of ``other`` that cannot be used."""
        self.rejected += other.rejected
        self.reasons += other.reasons
        self.outside += other.outside


def draw_relative(
    base_sampler: BaseSampler, snapshot: Snapshot, space: dict[str, BaseDistribution]
) -> Draw:
    """Ask the base sampler for a relative sample alone."""
    view = StudyView(snapshot)
    relative = base_sampler.sample_relative(view, view.trial(), space)  # type: ignore[arg-type]
    return Draw(None, relative, view.written)


# Of the draws that limits allow, the base sampler makes this part; if it finds nothing within,
# the rest are random. A sampler whose draw is a costly optimisation makes a smaller part.
_PART_OF_BASE = 1 / 4
_PART_OF_OPTIMISER = 1 / 40


def draw_candidates(
    base_sampler: BaseSampler,
    scorer: Scorer,
    snapshot: Snapshot,
    space: dict[str, BaseDistribution],
    known: KnownArchitectures,
    *,
    count: int,
    enough: int | None = None,
    rng: random.Random,
) -> Draws:
    """Draw ``count`` times from the base sampler and score what is new.

    What is outside of the scorer's limits is drawn again, up to as many draws as they allow. The
    base sampler does not learn of it, so that what it draws for this trial has its own
    distribution on condition of being within. Only lest it go on for ever, an architecture outside
    is shown to it as a running trial if it is drawn a second time, or if the sampler is one that
    would always give the same optimum of a model. If it has found nothing within after a part of
    the draws (its model may look where nothing is), the others are random.

    Args:
        base_sampler: Any sampler.
        scorer: Draws the architecture, by running the builder, and scores it.
        snapshot: The study and the trial. Each new candidate is shown to the later draws.
        space: The base sampler's relative search space.
        known: Architectures that need no score.
        count: Number of draws.
        enough: Stop at so many new architectures; ``None`` for ``count``.
        rng: Seeds the random draws.

    Raises:
        TypeError: If the scorer does not return a mapping of names to numbers.
    """
    collector = _Collector(base_sampler, scorer, snapshot, known)
    draws = collector.draws
    limits = limits_of(scorer)
    can_differ = limits is not None and not _compat.draws_are_given(base_sampler)
    most = max(count, limits.draws) if limits is not None and can_differ else count
    part = _PART_OF_OPTIMISER if _compat.draws_are_optima(base_sampler) else _PART_OF_BASE
    patience = max(count, int(most * part))
    view = StudyView(snapshot)
    relative: Mapping[str, Any] = {}
    for index in range(most):
        if draws.settled >= count or len(draws.new) >= (enough or count) or collector.is_stuck:
            break
        draws.are_random = index >= patience and (draws.are_random or not draws.settled)
        if draws.are_random:
            collector.add_random(view, relative, rng)
            continue
        view = StudyView(snapshot)
        frozen = view.trial()
        with _compat.quiet(base_sampler) if index else contextlib.nullcontext():
            relative = base_sampler.sample_relative(view, frozen, space)  # type: ignore[arg-type]
            collector.add(view, frozen, relative, values=relative, space=space)
    return draws


def draw_neighbours(
    base_sampler: BaseSampler,
    scorer: Scorer,
    snapshot: Snapshot,
    space: dict[str, BaseDistribution],
    known: KnownArchitectures,
    *,
    mutations: Mutations,
    enough: int | None = None,
) -> Draws:
    """Score the new architectures that are one edit away from another.

    What an edit makes appear is drawn from the base sampler independently, and so is what a
    ``PartialFixedSampler`` fixes. The base sampler is asked once for its relative sample, which
    has the parameters outside of the architecture.

    Args:
        base_sampler: Any sampler.
        scorer: See :func:`draw_candidates`.
        snapshot: The study and the trial.
        space: The base sampler's relative search space.
        known: Architectures that need no score.
        mutations: Of the architecture whose neighbours are scored.
        enough: Stop at so many new architectures; ``None`` for all neighbours.

    Raises:
        TypeError: If the scorer does not return a mapping of names to numbers.
    """
    collector = _Collector(base_sampler, scorer, snapshot, known)
    view = StudyView(snapshot)
    relative = base_sampler.sample_relative(view, view.trial(), space)  # type: ignore[arg-type]
    space = {**space, **mutations.parent.distributions}
    fixed = _compat.fixed_parameters(base_sampler)
    for index, neighbour in enumerate(mutations.neighbours()):
        if enough is not None and len(collector.draws.new) >= enough:
            break
        values = {
            name: value for name, value in {**relative, **neighbour}.items() if name not in fixed
        }
        with _compat.quiet(base_sampler) if index else contextlib.nullcontext():
            collector.add(view, view.trial(), relative, values=values, space=space)
    return collector.draws


class _Collector:
    """Scores one draw after the other, and sorts them by what becomes of them."""

    def __init__(
        self,
        base_sampler: BaseSampler,
        scorer: Scorer,
        snapshot: Snapshot,
        known: KnownArchitectures,
    ) -> None:
        self._base_sampler = base_sampler
        self._scorer = scorer
        self._snapshot = snapshot
        self._known = known
        limits = limits_of(scorer)
        # Without limits nothing has to be measured.
        self._measured: KnownArchitectures | MeasuredTrials = (
            known if limits is None else MeasuredTrials(limits, snapshot.other_trials)
        )
        self._seen: set[ArchitectureKey] = set()
        self._seen_outside: set[ArchitectureKey] = set()
        self._fixed = snapshot.system_attrs.get("fixed_params", {})
        # What is given to a random trial, so that no draw changes it.
        self._given = {
            **_compat.fixed_parameters(base_sampler),
            **self._fixed,
            **snapshot.trial.params,
        }
        self.draws = Draws()
        # Whether the only architecture that can be drawn is outside of the limits.
        self.is_stuck = False

    def add(
        self,
        view: StudyView,
        frozen: FrozenTrial,
        relative: Mapping[str, Any],
        *,
        values: Mapping[str, Any],
        space: Mapping[str, BaseDistribution],
    ) -> None:
        """Build and score the architecture that ``values`` describe.

        Args:
            view: The study as the base sampler sees it in this draw.
            frozen: The trial that the base sampler fills in.
            relative: The base sampler's relative sample.
            values: What the builder is given where it asks for it.
            space: The distributions of ``values``.
        """
        trial = CandidateTrial(
            frozen,
            functools.partial(self._base_sampler.sample_independent, view),  # type: ignore[arg-type]
            fixed=self._fixed,
            space=space,
            relative=values,
            is_repeated=self._is_repeated,
        )
        self._settle(trial, relative, view.written)

    def add_random(self, view: StudyView, relative: Mapping[str, Any], rng: random.Random) -> None:
        """Build and score a random architecture.

        Args:
            view: The study as the base sampler saw it in its last draw.
            relative: The base sampler's last relative sample, which has the parameters outside of
                the architecture.
            rng: Seeds what is random.
        """
        trial = random_trial(
            rng.getrandbits(32),
            fixed=self._given,
            space={},
            relative={},
            is_repeated=self._is_repeated,
        )
        self._settle(trial, relative, view.written)

    def _settle(
        self, trial: CandidateTrial, relative: Mapping[str, Any], written: Mapping[str, Any]
    ) -> None:
        try:
            candidate = scored_architecture(self._scorer, trial)
            self._check_stored(candidate.key)
        except OutsideLimits as error:
            self._add_outside(trial, error, relative, written)
            return
        except CandidateRejected as error:
            self.draws.rejected.append(Draw(None, relative, written))
            self.draws.reasons.append(str(error))
            return
        draw = Draw(candidate, relative, written)
        if candidate.key in self._seen or candidate.key in self._known:
            self.draws.repeated.append(draw)
            return
        self._seen.add(candidate.key)
        self._snapshot.consider(trial.params, trial.distributions)
        self.draws.new.append((candidate, draw))

    def _add_outside(
        self,
        trial: CandidateTrial,
        error: OutsideLimits,
        relative: Mapping[str, Any],
        written: Mapping[str, Any],
    ) -> None:
        candidate = Candidate(trial.params, trial.distributions, error.measured)
        draw = Draw(candidate, relative, written)
        self.draws.outside.append(Outside(candidate, draw, error.violation))
        if candidate.key in self._seen_outside or _compat.draws_are_optima(self._base_sampler):
            self._snapshot.consider(trial.params, trial.distributions)
        self._seen_outside.add(candidate.key)
        self.is_stuck = trial.is_fixed_by(self._given)

    def _is_repeated(self, trial: CandidateTrial) -> bool:
        return trial.key in self._seen or trial.key in self._measured

    def _check_stored(self, key: ArchitectureKey) -> None:
        if isinstance(self._measured, MeasuredTrials) and (error := self._measured.error_of(key)):
            raise error
