"""Candidates from elsewhere than the base sampler, for a ranking that can tell them apart."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.algorithms import one_edit_neighbours
from optuna_zerocost.rankings import Learned, Sources
from optuna_zerocost.records import ArchitectureKey, Candidate, History, KnownArchitectures
from optuna_zerocost.samplers._candidate_trial import (
    CandidateTrial,
    scored_architecture,
    trial_with,
)
from optuna_zerocost.scoring import CandidateRejected, OutsideLimits, Scorer

__all__ = ["Widened", "widen"]

# Random draws until one is new, where everything else is known. A training costs more than all of
# them, and in an exhausted space it is repeated all the same.
_MOST_REPEATED = 100


@dataclass
class Widened:
    """What was found.

    Attributes:
        found: New architectures, each once, scored; with where each comes from: ``"pool"``,
            ``"random"`` or ``"neighbour"``.
        reasons: For each architecture that the scorer rejected why.
        outside: Number of architectures that were outside of the limits.
        is_stuck: Whether the given parameters leave one architecture only.
    """

    found: list[tuple[Candidate, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    outside: int = 0
    is_stuck: bool = False

    @property
    def within(self) -> int:
        """Number of the architectures that were drawn here and are within the limits."""
        return sum(origin != "pool" for _, origin in self.found)


def widen(
    ranking: Learned,
    scorer: Scorer,
    history: History,
    *,
    pool: Sequence[Candidate],
    known: KnownArchitectures,
    drawn: Sequence[Candidate],
    fixed: Mapping[str, Any],
    draws_left: int,
    rng: random.Random,
) -> Widened:
    """Return the candidates that ``ranking.sources`` asks for, within the scorer's limits.

    Args:
        ranking: Says how many, and which neighbours are worth a score.
        scorer: Runs the builder, and scores.
        history: The finished trials.
        pool: Candidates that are scored already.
        known: Architectures that the study has met.
        drawn: Candidates that are there already.
        fixed: Parameters that are given.
        draws_left: Number of random draws, if those asked for are outside of the limits.
        rng: Decides about all that is random.
    """
    widened = Widened()
    sources = ranking.sources
    seen = {candidate.key for candidate in drawn}
    if sources.pool:
        for candidate in pool:
            if candidate.key not in seen and candidate.key not in known:
                seen.add(candidate.key)
                widened.found.append((candidate, "pool"))

    def try_out(
        params: Mapping[str, Any], like: Mapping[str, BaseDistribution], where: str
    ) -> bool:
        """Return whether that was within the limits, or no other draw would be."""
        trial = trial_with(params, like, rng, fixed=fixed, is_repeated=is_repeated)
        try:
            candidate = scored_architecture(scorer, trial)
        except OutsideLimits:
            widened.outside += 1
            widened.is_stuck = trial.is_fixed_by(fixed)
            return widened.is_stuck
        except CandidateRejected as error:
            widened.reasons.append(str(error))
            return True
        widened.is_stuck = trial.is_fixed_by(fixed)
        if not trial.is_repeated():
            seen.add(candidate.key)
            widened.found.append((candidate, where))
        return True

    def is_repeated(trial: CandidateTrial) -> bool:
        return trial.key in seen or trial.key in known

    settled = 0
    for _ in range(max(sources.random, draws_left)):
        if settled == sources.random:
            break
        settled += try_out({}, {}, "random")
    if sources.neighbours:
        candidates = [*drawn, *(candidate for candidate, _ in widened.found)]
        architecture = {name for candidate in candidates for name in candidate.params}
        edits = _edits(history, sources, architecture, fixed, rng, known, seen)
        settled = 0
        for index in ranking.by_parameters(edits, history):
            if settled == sources.neighbours:
                break
            settled += try_out(edits[index].params, edits[index].distributions, "neighbour")
    if sources.random and not drawn:
        for _ in range(_MOST_REPEATED):
            if widened.found or widened.is_stuck:
                break
            try_out({}, {}, "random")
    return widened


def _edits(
    history: History,
    sources: Sources,
    architecture: set[str],
    fixed: Mapping[str, Any],
    rng: random.Random,
    known: KnownArchitectures,
    seen: set[ArchitectureKey],
) -> list[Candidate]:
    """Return the new neighbours of the best trials, not scored and not run by the builder yet."""
    edits: dict[ArchitectureKey, Candidate] = {}
    for parent in _best_trials(history, sources.parents):
        params = {name: value for name, value in parent.params.items() if name in architecture}
        distributions = {name: parent.distributions[name] for name in params}
        for edited in one_edit_neighbours(params, distributions, rng, fixed=fixed):
            candidate = Candidate(edited, distributions, {})
            if candidate.key not in seen and candidate.key not in known:
                edits.setdefault(candidate.key, candidate)
    return list(edits.values())


def _best_trials(history: History, count: int) -> list[FrozenTrial]:
    complete = [t for t in history.trials if t.state == TrialState.COMPLETE]
    return sorted(complete, key=lambda trial: -history.value_sign() * trial.values[0])[:count]
