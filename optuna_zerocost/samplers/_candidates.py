"""Candidates for one trial, drawn from any base sampler without a trial in the storage."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.samplers._candidate_trial import CandidateTrial, scored_architecture
from optuna_zerocost.samplers._known import KnownArchitectures
from optuna_zerocost.samplers._mutations import Mutations
from optuna_zerocost.samplers._study_view import Snapshot, StudyView
from optuna_zerocost.scoring._candidate import ArchitectureKey, Candidate
from optuna_zerocost.scoring._scorer import CandidateRejected, Scorer

__all__ = ["Draw", "Draws", "draw_candidates", "draw_neighbours", "draw_relative"]


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


@dataclass
class Draws:
    """The draws for one trial, sorted by what became of them.

    Attributes:
        new: Scored architectures that the study has not met, each once.
        repeated: Draws of architectures that the study knows, or that were drawn before.
        rejected: Draws that the scorer rejected.
        reasons: For each rejected draw why.
    """

    new: list[tuple[Candidate, Draw]] = field(default_factory=list)
    repeated: list[Draw] = field(default_factory=list)
    rejected: list[Draw] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def draw_relative(
    base_sampler: BaseSampler, snapshot: Snapshot, space: dict[str, BaseDistribution]
) -> Draw:
    """Ask the base sampler for a relative sample alone."""
    view = StudyView(snapshot)
    relative = base_sampler.sample_relative(view, view.trial(), space)  # type: ignore[arg-type]
    return Draw(None, relative, view.written)


def draw_candidates(
    base_sampler: BaseSampler,
    scorer: Scorer,
    snapshot: Snapshot,
    space: dict[str, BaseDistribution],
    known: KnownArchitectures,
    *,
    count: int,
) -> Draws:
    """Draw ``count`` times from the base sampler and score what is new.

    Args:
        base_sampler: Any sampler.
        scorer: Draws the architecture, by running the builder, and scores it.
        snapshot: The study and the trial. Each new candidate is shown to the later draws.
        space: The base sampler's relative search space.
        known: Architectures that need no score.
        count: Number of draws.

    Raises:
        TypeError: If the scorer does not return a mapping of names to numbers.
    """
    collector = _Collector(base_sampler, scorer, snapshot, known)
    for index in range(count):
        view = StudyView(snapshot)
        frozen = view.trial()
        with _compat.quiet(base_sampler) if index else contextlib.nullcontext():
            relative = base_sampler.sample_relative(view, frozen, space)  # type: ignore[arg-type]
            collector.add(view, frozen, relative, values=relative, space=space)
    return collector.draws


def draw_neighbours(
    base_sampler: BaseSampler,
    scorer: Scorer,
    snapshot: Snapshot,
    space: dict[str, BaseDistribution],
    known: KnownArchitectures,
    *,
    mutations: Mutations,
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

    Raises:
        TypeError: If the scorer does not return a mapping of names to numbers.
    """
    collector = _Collector(base_sampler, scorer, snapshot, known)
    view = StudyView(snapshot)
    relative = base_sampler.sample_relative(view, view.trial(), space)  # type: ignore[arg-type]
    space = {**space, **mutations.parent.distributions}
    fixed = _compat.fixed_parameters(base_sampler)
    for index, neighbour in enumerate(mutations.neighbours()):
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
        self._seen: set[ArchitectureKey] = set()
        self._fixed = snapshot.system_attrs.get("fixed_params", {})
        self.draws = Draws()

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
        try:
            candidate = scored_architecture(self._scorer, trial)
        except CandidateRejected as error:
            self.draws.rejected.append(Draw(None, relative, view.written))
            self.draws.reasons.append(str(error))
            return
        draw = Draw(candidate, relative, view.written)
        if trial.is_repeated():
            self.draws.repeated.append(draw)
            return
        self._seen.add(candidate.key)
        self._snapshot.consider(trial.params, trial.distributions)
        self.draws.new.append((candidate, draw))

    def _is_repeated(self, trial: CandidateTrial) -> bool:
        return trial.key in self._seen or trial.key in self._known
