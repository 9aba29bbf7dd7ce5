"""The product of choosing: what is recorded with a trial, and told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna_zerocost.records import Candidate, History, Pool
from optuna_zerocost.samplers._proposals import Answer, Proposal

__all__ = ["Choice"]


@dataclass(frozen=True)
class Choice:
    """The architecture that a trial is to be, and how it came about.

    Attributes:
        source: ``"warmup"``, ``"move"``, ``"random"`` or ``"base"``.
        taken: The architecture; one without a candidate where the base sampler's own is used.
        answer: The base sampler's, which has the parameters outside of the architecture.
        tally: Counts of all draws.
        reasons: Why some of them were rejected.
        considered: New architectures that it was chosen from, as the ranking was shown them.
        history: The trials that the ranking was shown, if it decided.
    """

    source: str
    taken: Proposal
    answer: Answer
    tally: Pool
    reasons: Sequence[str] = ()
    considered: Sequence[Candidate] = ()
    history: History | None = None
