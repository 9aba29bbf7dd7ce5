"""Proposals: what sources drew for one trial, and what the judge said of each."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from optuna_zerocost.records import Candidate, KnownArchitectures, Pool
from optuna_zerocost.samplers._candidate_trial import CandidateTrial

__all__ = ["Answer", "Draw", "Fate", "Proposal", "Proposals"]


class Fate(enum.Enum):
    """The four ways that a draw can end."""

    NEW = "scored, and the study has not met it"
    REPEATED = "known to the study, or drawn before"
    REJECTED = "the scorer cannot score it"
    OUTSIDE = "outside of the scorer's limits"


class Answer(NamedTuple):
    """The base sampler's answer to the question for a relative sample.

    Attributes:
        relative: The sample, parameters outside of the architecture included.
        written: The system attributes that the base sampler wants to have on the trial; more of
            them may come while the trial's other parameters are drawn.
    """

    relative: Mapping[str, Any]
    written: Mapping[str, Any]


@dataclass(frozen=True)
class Draw:
    """A trial-like object that a source yields.

    Attributes:
        trial: A trial-like object, from which the scorer will ask for an architecture.
        origin: Where it comes from: ``"base"``, ``"random"``, ``"neighbour"`` or ``"pool"``.
        answer: What the base sampler gave besides; ``None`` where it was not asked.
    """

    trial: CandidateTrial
    origin: str
    answer: Answer | None = None


@dataclass(frozen=True)
class Proposal:
    """A draw that was judged.

    Attributes:
        fate: What became of it.
        candidate: The architecture. Without scores if it was repeated, with what was measured if
            it is outside of the limits, ``None`` if it was rejected.
        origin: See :class:`Draw`.
        answer: See :class:`Draw`.
        reason: Why it was rejected.
        violation: How far it is outside of the limits, see ``Limits.excess``.
    """

    fate: Fate
    candidate: Candidate | None
    origin: str
    answer: Answer | None = None
    reason: str = ""
    violation: float = 0.0

    @property
    def architecture(self) -> Candidate:
        """The candidate, of a proposal that has one."""
        assert self.candidate is not None
        return self.candidate


class Proposals:
    """A list of proposals, sorted by what became of them.

    Attributes:
        new: Scored architectures that the study has not met, each once.
        repeated: Architectures that the study knows, or that were drawn before.
        rejected: What the scorer rejected.
        outside: What is outside of the limits.
    """

    def __init__(self) -> None:
        self.new: list[Proposal] = []
        self.repeated: list[Proposal] = []
        self.rejected: list[Proposal] = []
        self.outside: list[Proposal] = []

    def add(self, proposal: Proposal) -> None:
        """Add one."""
        {
            Fate.NEW: self.new,
            Fate.REPEATED: self.repeated,
            Fate.REJECTED: self.rejected,
            Fate.OUTSIDE: self.outside,
        }[proposal.fate].append(proposal)

    def with_(self, other: Proposals) -> Proposals:
        """Return one list of both."""
        both = Proposals()
        both.new = [*self.new, *other.new]
        both.repeated = [*self.repeated, *other.repeated]
        both.rejected = [*self.rejected, *other.rejected]
        both.outside = [*self.outside, *other.outside]
        return both

    def best_of_failures(self, known: KnownArchitectures) -> Proposal:
        """Return what is left where nothing is new: a repetition, or what is least outside.

        Args:
            known: Architectures that the study has met; others are preferred.
        """
        if self.repeated:
            return self.repeated[0]
        if self.outside:
            return min(self.outside, key=lambda p: (p.architecture.key in known, p.violation))
        return self.rejected[0]

    def add_failures(self, other: Proposals) -> None:
        """Add what cannot be used of ``other``."""
        self.rejected += other.rejected
        self.outside += other.outside

    @property
    def settled(self) -> int:
        """Number of those that are not to be drawn again."""
        return len(self.new) + len(self.repeated) + len(self.rejected)

    @property
    def draws(self) -> int:
        """Number of all."""
        return self.settled + len(self.outside)

    def as_pool(self) -> Pool:
        """Return what is stored of them, and their counts."""
        return Pool(
            candidates=[proposal.architecture for proposal in self.new],
            rejected=len(self.rejected),
            reason=self.rejected[0].reason if self.rejected else "",
            draws=self.draws,
            outside=len(self.outside),
        )
