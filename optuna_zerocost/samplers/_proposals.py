"""Proposals: what sources drew for one trial, what the judge said of each, and what was chosen."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from optuna_zerocost.records import Candidate, History, KnownArchitectures, Pool, Reject
from optuna_zerocost.samplers._candidate_trial import CandidateTrial

__all__ = ["Answer", "Choice", "Draw", "Fate", "Proposal", "Proposals"]


class Fate(enum.Enum):
    """The four ways that a draw can end."""

    NEW = "scored, and the study has not met it"
    REPEATED = "known to the study, or drawn before"
    REJECTED = "the scorer cannot score it"
    OUTSIDE = "outside of the scorer's limits"


class Answer(NamedTuple):
    """The base sampler's answer to the question for a relative sample.

    The sample has parameters outside of the architecture too. The system attributes that the base
    sampler has ``written`` may grow while the trial's other parameters are drawn.
    """

    relative: Mapping[str, Any]
    written: Mapping[str, Any]


@dataclass(frozen=True)
class Draw:
    """A trial-like object of a source, from which the scorer will ask for an architecture.

    Its origin is ``"base"``, ``"random"``, ``"searched"`` or ``"pool"``. Where the base sampler
    was not asked, there is no answer.
    """

    trial: CandidateTrial
    origin: str
    answer: Answer | None = None


@dataclass(frozen=True)
class Proposal:
    """A draw that was judged.

    The candidate is without scores if it was repeated, with what was measured if it is outside of
    the limits, and ``None`` if it was rejected, for a ``reason``; then there is what the scorer
    had ``asked`` for by that time. The violation is how far it is outside, see ``Limits.excess``.
    """

    fate: Fate
    candidate: Candidate | None
    origin: str = ""
    answer: Answer | None = None
    reason: str = ""
    violation: float = 0.0
    asked: Candidate | None = None

    @property
    def architecture(self) -> Candidate:
        """The candidate, of a proposal that has one."""
        assert self.candidate is not None
        return self.candidate


class Proposals:
    """A list of proposals, sorted by what became of them."""

    def __init__(self, proposals: Iterable[Proposal] = ()) -> None:
        self._of: dict[Fate, list[Proposal]] = {fate: [] for fate in Fate}
        self.new = self._of[Fate.NEW]
        self.repeated = self._of[Fate.REPEATED]
        self.rejected = self._of[Fate.REJECTED]
        self.outside = self._of[Fate.OUTSIDE]
        self.add(*proposals)

    def __iter__(self) -> Iterator[Proposal]:
        for proposals in self._of.values():
            yield from proposals

    def add(self, *proposals: Proposal) -> None:
        """Add each to those of its fate."""
        for proposal in proposals:
            self._of[proposal.fate].append(proposal)

    def best_of_failures(self, known: KnownArchitectures) -> Proposal:
        """Return what is left where nothing is new: a repetition, or what is least outside.

        Of repetitions one that no other trial is at is preferred, of what is outside an
        architecture that the study has not met.
        """
        if self.repeated:
            return min(self.repeated, key=lambda p: known.is_under_way(p.architecture.key))
        if self.outside:
            return min(self.outside, key=lambda p: (p.architecture.key in known, p.violation))
        return self.rejected[0]

    @property
    def architectures(self) -> list[Candidate]:
        """The new architectures."""
        return [proposal.architecture for proposal in self.new]

    @property
    def draws(self) -> int:
        """Number of all."""
        return sum(map(len, self._of.values()))

    def as_pool(self) -> Pool:
        """Return what is stored of them, and their counts."""
        return Pool(
            candidates=self.architectures,
            rejected=len(self.rejected),
            reason=self.rejected[0].reason if self.rejected else "",
            draws=self.draws,
            outside=len(self.outside),
            rejects=self._rejects(),
        )

    def _rejects(self) -> list[Reject]:
        # A reason quotes numbers of its own draw; one of each kind is enough to be stored.
        first: dict[str, str] = {}
        return [
            Reject(p.asked, first.setdefault(p.reason.partition(":")[0], p.reason))
            for p in self.rejected
            if p.asked is not None
        ]


@dataclass(frozen=True)
class Choice:
    """The architecture that a trial is to be, and how it came about.

    What was ``taken`` has no candidate where the base sampler's own is used; the answer has the
    parameters outside of the architecture. The tally counts all draws, of which some were rejected
    for ``reasons``. The new architectures that it was chosen from are ``considered``; the
    ranking was shown them as ``options``, perhaps with hyperparameters, and the ``history``, if it
    decided.
    """

    source: str
    taken: Proposal
    answer: Answer
    tally: Pool
    reasons: Sequence[str] = ()
    considered: Sequence[Candidate] = ()
    options: Sequence[Candidate] = ()
    history: History | None = None
