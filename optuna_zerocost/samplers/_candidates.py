"""Candidates for one trial, drawn from any base sampler without a trial in the storage."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from optuna_zerocost import _compat
from optuna_zerocost.samplers._candidate_trial import CandidateTrial
from optuna_zerocost.samplers._known import KnownArchitectures
from optuna_zerocost.samplers._study_view import Snapshot, StudyView
from optuna_zerocost.scoring._candidate import ArchitectureKey, Candidate
from optuna_zerocost.scoring._scorer import (
    CandidateRejected,
    RepeatedArchitecture,
    Scorer,
    evaluate,
)

__all__ = ["Draw", "Draws", "draw_candidates", "draw_relative"]


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
    draws = Draws()
    seen: set[ArchitectureKey] = set()
    fixed = snapshot.system_attrs.get("fixed_params", {})
    for index in range(count):
        view = StudyView(snapshot)
        frozen = view.trial()
        with _compat.quiet(base_sampler) if index else contextlib.nullcontext():
            relative = base_sampler.sample_relative(view, frozen, space)  # type: ignore[arg-type]
            trial = CandidateTrial(
                frozen,
                functools.partial(base_sampler.sample_independent, view),  # type: ignore[arg-type]
                fixed=fixed,
                space=space,
                relative=relative,
                is_repeated=lambda trial: trial.key in seen or trial.key in known,
            )
            try:
                scores = evaluate(scorer, trial)
            except RepeatedArchitecture:
                scores = {}
            except CandidateRejected as error:
                draws.rejected.append(Draw(None, relative, view.written))
                draws.reasons.append(str(error))
                continue
        candidate = Candidate(trial.params, trial.distributions, scores)
        draw = Draw(candidate, relative, view.written)
        if trial.is_repeated():
            draws.repeated.append(draw)
            continue
        seen.add(candidate.key)
        snapshot.consider(trial.params, trial.distributions)
        draws.new.append((candidate, draw))
    return draws
