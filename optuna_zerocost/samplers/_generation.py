"""Candidate generation: sources and judge at work for one trial."""

from __future__ import annotations

import contextlib
import math
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
from optuna_zerocost.samplers._sources import Draws, Sources
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
    """All that one trial can be: the new architectures to choose from, and the draws behind them.

    What was ``drawn`` is the base sampler's, or edits of a parent; ``total`` is all draws. If it
    is this trial's turn, the one ``at_random`` is taken without a look at its scores.
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
        sources, limits = self._sources, self._setup.limits
        base_sampler, enough = self._setup.base_sampler, self._setup.ranking.enough
        edited, drawn = Proposals(), Proposals()
        count = DEFAULT_MOVES if self._setup.moves == "neighbours" else self._setup.moves
        if self._setup.moves == "neighbours":
            mutations = mutations_of_parent(base_sampler, self._snapshot, self._rng)
            if mutations is not None:
                self._settle(sources.edits(mutations), edited, enough=enough, is_base=True)
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
        enough = min(enough, count)
        self._settle(draws, drawn, count=count, enough=enough, most=most, is_base=True)
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
        sources, rng = self._sources, self._generator()
        ranking, limits = self._setup.ranking, self._setup.limits
        asked, found = ranking.sources, Proposals()
        if asked is None:
            return found
        left = limits.draws - drawn.draws if limits is not None else 0
        most = max(asked.random, left)
        is_stuck = self._settle(sources.at_random(rng), found, count=asked.random, most=most)
        if asked.neighbours:
            candidates = [p.architecture for p in (*drawn.new, *pooled, *found.new)]
            names = {name for candidate in candidates for name in candidate.params}
            edits = edits_of_best(history, asked.parents, names, sources.given, rng)
            edits = [edited for edited in edits if not self._judge.has_met(edited.key)]
            ranked = [edits[index] for index in ranking.by_parameters(edits, history)]
            self._settle(sources.neighbours(ranked, rng), found, count=asked.neighbours)
        if asked.random and not (is_stuck or drawn.new or pooled or found.new):
            self._settle(sources.at_random(rng), found, enough=1, most=_MOST_REPEATED)
        return found

    def _settle(
        self,
        draws: Draws,
        into: Proposals,
        *,
        count: float = math.inf,
        enough: float = math.inf,
        most: float = math.inf,
        is_base: bool = False,
    ) -> bool:
        """Judge draws until there are enough; return whether no other architecture can be drawn.

        It is enough when ``count`` are settled, that is within the limits or rejected, or there
        are ``enough`` new ones in the list, or ``most`` draws were made. What is outside of the
        limits is drawn again. The base sampler is shown what it drew, and its repetitions are
        kept, for want of anything new.
        """
        judge, sources = self._judge, self._sources
        settled, made, is_stuck = 0, 0, False
        with contextlib.closing(draws):
            while settled < count and len(into.new) < enough and made < most:
                draw = next(draws, None)
                if draw is None:
                    break
                proposal = judge(draw)
                made += 1
                settled += proposal.fate is not Fate.OUTSIDE
                if is_base or proposal.fate is not Fate.REPEATED:
                    into.add(proposal)
                if is_base:
                    sources.show(proposal, draw.trial)
                if proposal.fate is not Fate.REJECTED:
                    is_stuck = draw.trial.is_fixed_by(sources.given)
                if is_stuck and proposal.fate is Fate.OUTSIDE:
                    break
        return is_stuck

    def _generator(self, purpose: str = "") -> random.Random:
        return self._setup.generator(self._snapshot.study, self._snapshot.trial, purpose)
