"""The judge: runs the scorer on what a source yields, and says what became of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping

from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial

from optuna_zerocost import _compat
from optuna_zerocost.records import ArchitectureKey, Candidate, KnownArchitectures
from optuna_zerocost.samplers._proposals import Draw, Fate, Proposal
from optuna_zerocost.scoring import (
    BaseScorer,
    CandidateRejected,
    OutsideLimits,
    RepeatedArchitecture,
    evaluate,
)

__all__ = ["Judge", "verdict_on"]


class Judge:
    """Tells the four fates apart, for one trial or one piece of a warmup's pool.

    Architectures that the study has met need no score, and what was measured of them is not
    measured again: it is compared with the limits as they are now.
    """

    def __init__(self, scorer: BaseScorer, known: KnownArchitectures | None = None) -> None:
        self._scorer = scorer
        self._known = known or KnownArchitectures()
        self._seen: set[ArchitectureKey] = set()

    def __call__(self, draw: Draw) -> Proposal:
        """Let the scorer ask for an architecture, and score it if that is worth it."""
        draw.trial.needs_no_score = self._needs_no_score
        verdict = verdict_on(draw.trial, self._scorer)
        proposal = dataclasses.replace(verdict, origin=draw.origin, answer=draw.answer)
        candidate = proposal.candidate
        if candidate is None or proposal.fate is Fate.OUTSIDE:
            return proposal
        if stored := self._stored_as_outside(candidate.key):
            measured = dataclasses.replace(candidate, scores=stored.measured)
            return dataclasses.replace(
                proposal, fate=Fate.OUTSIDE, candidate=measured, violation=stored.violation
            )
        if not self.is_new(candidate):
            return dataclasses.replace(proposal, fate=Fate.REPEATED)
        return proposal

    def is_new(self, candidate: Candidate) -> bool:
        """Return whether neither the study nor this judge has met it; from now on this one has."""
        is_new = not self.has_met(candidate.key)
        self._seen.add(candidate.key)
        return is_new

    def has_met(self, key: ArchitectureKey) -> bool:
        """Return whether the study or this judge has met an architecture."""
        return key in self._seen or key in self._known

    def _needs_no_score(self, key: ArchitectureKey) -> bool:
        limits = self._scorer.limits
        if key in self._seen:
            return True
        if limits is None:
            return key in self._known
        # One that ran without limits was not measured.
        measured = self._known.scores_of(key, limits.names)
        return len(measured) == len(limits.names) or limits.violation(measured) > 0

    def _stored_as_outside(self, key: ArchitectureKey) -> OutsideLimits | None:
        """Return how the measurements stored with a trial are outside of the limits, if so."""
        limits = self._scorer.limits
        if limits is None:
            return None
        measured = self._known.scores_of(key, limits.names)
        return OutsideLimits(limits, measured) if limits.violation(measured) > 0 else None


def verdict_on(trial: FixedTrial, scorer: BaseScorer) -> Proposal:
    """Run the scorer on ``trial``, without a look at what the study knows.

    Raises:
        TypeError: If the scorer does not return a mapping of names to numbers.
        ValueError: If a score has a name that the package uses itself.
    """
    scores: Mapping[str, float] = {}
    try:
        with contextlib.suppress(RepeatedArchitecture):
            scores = evaluate(scorer, trial)
    except OutsideLimits as error:
        candidate = Candidate(trial.params, trial.distributions, error.measured)
        return Proposal(Fate.OUTSIDE, candidate, violation=error.violation)
    except CandidateRejected as error:
        return Proposal(Fate.REJECTED, None, reason=str(error), asked=_asked(trial))
    return Proposal(Fate.NEW, Candidate(trial.params, trial.distributions, scores))


def _asked(trial: FixedTrial) -> Candidate:
    """Return the parameters that were asked for, but those whose value is none they can have."""
    distributions: dict[str, BaseDistribution] = {}
    for name, distribution in trial.distributions.items():
        # A user may have fixed anything; choices refuse what is none of them.
        with contextlib.suppress(ValueError, TypeError):
            if _compat.contains(distribution, trial.params[name]):
                distributions[name] = distribution
    return Candidate({name: trial.params[name] for name in distributions}, distributions, {})
