"""Candidate generation: sources and judge at work for one trial."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from optuna.distributions import BaseDistribution

from optuna_zerocost import _compat
from optuna_zerocost.records import History
from optuna_zerocost.samplers._edits import edits_of_best, mutations_of_parent
from optuna_zerocost.samplers._judge import Judge
from optuna_zerocost.samplers._pool_source import PoolCache
from optuna_zerocost.samplers._proposals import Answer, Fate, Proposal, Proposals
from optuna_zerocost.samplers._setup import DEFAULT_MOVES, Setup
from optuna_zerocost.samplers._sources import Sources, settle
from optuna_zerocost.samplers._study_view import Snapshot

__all__ = ["CandidateGeneration"]

# Of the draws that limits allow, the base sampler makes this part; if it finds nothing within,
# the rest are random. A sampler whose draw is a costly optimisation makes a smaller part.
_PART_OF_BASE = 1 / 4
_PART_OF_OPTIMISER = 1 / 40

# Random draws until one is new, where everything else is known. A training costs more than all of
# them, and in an exhausted space it is repeated all the same.
_MOST_REPEATED = 100


class Candidates(NamedTuple):
    """All that one trial can be: the new architectures that were found, of which draws.

    Those ``drawn`` are the base sampler's, and edits of a parent. If it is this trial's turn, the
    one ``at_random`` is taken without a look at its scores.
    """

    found: list[Proposal]
    drawn: Proposals
    total: Proposals
    at_random: Proposal | None = None


class CandidateGeneration:
    """Asks the sources for what one trial can be, and has it judged."""

    def __init__(
        self, setup: Setup, snapshot: Snapshot, space: Mapping[str, BaseDistribution]
    ) -> None:
        self._setup = setup
        self._snapshot = snapshot
        self._judge = Judge(setup.scorer, snapshot.known)
        self._sources = Sources(setup.base_sampler, snapshot, space)
        self._rng = self._generator()

    def candidates(self, history: History, pools: PoolCache) -> Candidates:
        """Return all candidates that the sampler's arguments and the ranking ask for."""
        drawn = self._drawn()
        if drawn.new and self._rng.random() < self._setup.random_share:
            return Candidates(drawn.new, drawn, drawn, self._rng.choice(drawn.new))
        if self._setup.ranking.sources is None:
            return Candidates(drawn.new, drawn, drawn)
        pooled = self._pooled(pools)
        elsewhere = self._elsewhere(history, pooled, drawn)
        found = [*drawn.new, *pooled, *elsewhere.new]
        return Candidates(found, drawn, Proposals([*drawn, *elsewhere]))

    def answer(self, taken: Proposal) -> Answer:
        """Return what the base sampler gave besides a proposal, or gives now."""
        return taken.answer or self._sources.answer()

    def _drawn(self) -> Proposals:
        """Draw from the base sampler, or edit a parent where it has new edits.

        What is outside of the scorer's limits is drawn again, as often as they allow.
        """
        sources, judge = self._sources, self._judge
        base_sampler, limits = self._setup.base_sampler, self._setup.limits
        enough = self._setup.ranking.enough
        edited, drawn = Proposals(), Proposals()
        count = DEFAULT_MOVES if self._setup.moves == "neighbours" else self._setup.moves
        if self._setup.moves == "neighbours":
            mutations = mutations_of_parent(base_sampler, self._snapshot, self._rng)
            if mutations is not None:
                edits = sources.edits(mutations)
                settle(edits, judge, edited, sources.given, enough=enough, show=sources.show)
            if edited.new:
                return edited
        most = count
        if _compat.draws_are_given(base_sampler):
            count = most = 1
        elif limits is not None:
            most = max(count, limits.draws)
        is_costly = _compat.draws_are_optima(base_sampler)
        part = _PART_OF_OPTIMISER if is_costly else _PART_OF_BASE
        patience = max(count, int(most * part))
        draws = sources.base(drawn, patience=patience, rng=self._generator(";draws"))
        settle(
            draws,
            judge,
            drawn,
            sources.given,
            count=count,
            enough=min(enough, count),
            most=most,
            show=sources.show,
        )
        drawn.add(*edited.rejected, *edited.outside)
        return drawn

    def _pooled(self, pools: PoolCache) -> list[Proposal]:
        """Return what is new of the pool, which is scored already, if the ranking wants it."""
        asked, warmup = self._setup.ranking.sources, self._setup.warmup
        if asked is None or not asked.pool or warmup is None or self._snapshot.enqueued:
            return []
        pool = pools.get(self._snapshot.study, self._snapshot.trial)
        is_new = self._judge.is_new
        return [Proposal(Fate.NEW, c, "pool") for c in pool.candidates if is_new(c)]

    def _elsewhere(
        self, history: History, pooled: Sequence[Proposal], drawn: Proposals
    ) -> Proposals:
        """Draw at random, and neighbours of good trials, as many as the ranking asks for."""
        sources, judge, rng = self._sources, self._judge, self._generator()
        ranking, limits, given = self._setup.ranking, self._setup.limits, sources.given
        asked, found = ranking.sources, Proposals()
        if asked is None:
            return found
        left = limits.draws - drawn.draws if limits is not None else 0
        is_stuck = settle(
            sources.at_random(rng),
            judge,
            found,
            given,
            count=asked.random,
            most=max(asked.random, left),
            keeps_repeated=False,
        )
        if asked.neighbours:
            candidates = [p.architecture for p in (*drawn.new, *pooled, *found.new)]
            names = {name for candidate in candidates for name in candidate.params}
            edits = edits_of_best(history, asked.parents, names, given, rng)
            edits = [edited for edited in edits if not judge.has_met(edited.key)]
            ranked = [edits[index] for index in ranking.by_parameters(edits, history)]
            neighbours = sources.neighbours(ranked, rng)
            settle(neighbours, judge, found, given, count=asked.neighbours, keeps_repeated=False)
        if asked.random and not (is_stuck or drawn.new or pooled or found.new):
            draws = sources.at_random(rng)
            settle(draws, judge, found, given, enough=1, most=_MOST_REPEATED, keeps_repeated=False)
        return found

    def _generator(self, purpose: str = "") -> random.Random:
        return self._setup.generator(self._snapshot.study, self._snapshot.trial, purpose)
