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
    measured again: it is compared with the limits as they are now. What is in ``bans`` is rejected
    before it is built. If the study's are known by network, so are those of this judge: an
    architecture whose network was met is repeated.
    """

    def __init__(
        self,
        scorer: BaseScorer,
        known: KnownArchitectures | None = None,
        bans: Mapping[ArchitectureKey, str] | None = None,
    ) -> None:
        self._scorer = scorer
        self._bans = bans or {}
        self._known = known or KnownArchitectures()
        self._seen: set[ArchitectureKey] = set()
        self._seen_networks: set[str] = set()

    def __call__(self, draw: Draw) -> Proposal:
        """Let the scorer ask for an architecture, and score it if that is worth it."""
        trial = draw.trial
        trial.bans = self._bans
        trial.needs_no_score = lambda key: self._needs_no_score(key, trial.network)
        verdict = verdict_on(trial, self._scorer)
        candidate = verdict.candidate
        if candidate is not None and self._known.by_network:
            candidate = dataclasses.replace(candidate, by_network=True)
        proposal = dataclasses.replace(
            verdict, candidate=candidate, origin=draw.origin, answer=draw.answer
        )
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
        if self._known.by_network and candidate.network is not None:
            is_new &= not self._has_met_network(candidate.network)
            self._seen_networks.add(candidate.network)
        return is_new

    def has_met(self, key: ArchitectureKey) -> bool:
        """Return whether the study or this judge has met an architecture."""
        return key in self._seen or key in self._known

    def _has_met_network(self, network: str | None) -> bool:
        return network in self._seen_networks or self._known.has_network(network)

    def _needs_no_score(self, key: ArchitectureKey, network: str | None) -> bool:
        limits = self._scorer.limits
        if key in self._seen or network in self._seen_networks:
            return True
        if limits is None and self._known.by_network and self._known.has_network(network):
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
        candidate = _drawn(trial, error.measured)
        return Proposal(Fate.OUTSIDE, candidate, violation=error.violation)
    except CandidateRejected as error:
        return Proposal(Fate.REJECTED, None, reason=str(error), asked=_asked(trial))
    return Proposal(Fate.NEW, _drawn(trial, scores))


def _drawn(trial: FixedTrial, scores: Mapping[str, float]) -> Candidate:
    network = getattr(trial, "network", None)
    return Candidate(trial.params, trial.distributions, scores, network)


def _asked(trial: FixedTrial) -> Candidate:
    """Return the parameters that were asked for, but those whose value is none they can have."""
    distributions: dict[str, BaseDistribution] = {}
    for name, distribution in trial.distributions.items():
        # A user may have fixed anything; choices refuse what is none of them.
        with contextlib.suppress(ValueError, TypeError):
            if _compat.contains(distribution, trial.params[name]):
                distributions[name] = distribution
    return Candidate({name: trial.params[name] for name in distributions}, distributions, {})
