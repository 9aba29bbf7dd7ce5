"""Candidate generation: sources and judge at work for one trial."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from optuna.distributions import BaseDistribution

from optuna_zerocost import _compat
from optuna_zerocost.records import ArchitectureKey, Candidate, History, Pool, agree, chosen_key
from optuna_zerocost.samplers._edits import mutations_of_parent
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

    The ``options`` are what the ranking makes of those that were ``found``. What was ``drawn`` is
    the base sampler's, or edits of a parent; ``total`` is all draws. If it is this trial's turn,
    the first option is taken ``at_random``, without a look at its scores.
    """

    found: list[Proposal]
    options: Sequence[Candidate]
    drawn: Proposals
    total: Proposals
    at_random: bool = False


class CandidateGeneration:
    """Asks the sources for what one trial can be, and has it judged."""

    def __init__(
        self,
        setup: Setup,
        snapshot: Snapshot,
        space: Mapping[str, BaseDistribution],
        bans: Mapping[ArchitectureKey, str],
        attempt: int = 0,
    ) -> None:
        self._setup = setup
        self._attempt = f";{attempt}" if attempt else ""
        self._snapshot = snapshot
        self._judge = Judge(setup.scorer, snapshot.known, bans)
        self._sources = Sources(setup.base_sampler, snapshot, space)
        self._rng = self._generator()

    def candidates(self, history: History, pools: PoolCache) -> Candidates:
        """Return all candidates that the sampler's arguments and the ranking ask for."""
        ranking = self._setup.ranking
        pool = self._pool(pools)
        given, rejects = self._sources.given, (reject.asked for reject in pool.rejects)
        is_exhausted = self._snapshot.known.is_exhausted(given, rejects)
        drawn = self._drawn(is_exhausted=is_exhausted)
        if drawn.new and self._rng.random() < self._setup.random_share:
            first = self._rng.choice(drawn.architectures)
            others = (one for one in drawn.architectures if one is not first)
            return Candidates(drawn.new, [first, *others], drawn, drawn, at_random=True)
        if ranking.sources is None:
            return Candidates(drawn.new, drawn.architectures, drawn, drawn)
        known: Sequence[Candidate] = pool.candidates
        elsewhere = Proposals() if is_exhausted else self._elsewhere(history, known, drawn)
        found = [*drawn.new, *elsewhere.new]
        candidates = [proposal.architecture for proposal in found]
        if is_exhausted and not candidates and not self._has_hyperparameters():
            return Candidates(found, (), drawn, Proposals([*drawn, *elsewhere]))
        seed = self._generator(";completed").getrandbits(32)
        given = self._sources.given_in([*candidates, *known])
        known = [candidate for candidate in known if agree(candidate.params, given)]
        whole = ranking.completed(candidates, history, known, given, seed)
        return Candidates(found, whole, drawn, Proposals([*drawn, *elsewhere]))

    def answer(self, taken: Proposal) -> Answer:
        """Return what the base sampler gave besides a proposal, or gives now."""
        return taken.answer or self._sources.answer()

    def _has_hyperparameters(self) -> bool:
        """Return whether a trial was asked for more than its architecture."""
        return any(
            len(trial.params) > len(chosen_key(trial) or trial.params)
            for trial in self._snapshot.other_trials
        )

    def _drawn(self, *, is_exhausted: bool) -> Proposals:
        """Draw from the base sampler, or edit a parent where it has new edits.

        What is outside of the scorer's limits is drawn again, as often as they allow. In an
        exhausted space the first repetition is enough.
        """
        sources, limits = self._sources, self._setup.limits
        base_sampler, enough = self._setup.base_sampler, self._setup.ranking.enough
        edited, drawn = Proposals(), Proposals()
        count = DEFAULT_MOVES if self._setup.moves == "neighbours" else self._setup.moves
        if self._setup.moves == "neighbours" and not is_exhausted:
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
        repeated = math.inf
        if is_exhausted and most > 1:  # what the scorer rejects is no repetition
            repeated, count = 1, max(count, DEFAULT_MOVES)
            most = max(most, count)
        is_stuck = self._settle(
            draws, drawn, count=count, enough=enough, most=most, repeated=repeated, is_base=True
        )
        drawn.add(*edited.rejected, *edited.outside)
        if most > 1 and not (is_exhausted or is_stuck) and self._is_needless(drawn):
            random_draws = sources.at_random(self._generator(";unmet"))
            self._settle(random_draws, drawn, enough=enough, most=_MOST_REPEATED)
        return drawn

    def _is_needless(self, drawn: Proposals) -> bool:
        """Return whether there are but repetitions, and no other source, nor use for one of them.

        With other hyperparameters an architecture is worth another training, though not while
        another trial is at it.
        """
        known = self._snapshot.known
        if self._setup.ranking.sources is not None or drawn.new or not drawn.repeated:
            return False
        return not self._has_hyperparameters() or all(
            known.is_under_way(proposal.architecture.key) for proposal in drawn.repeated
        )

    def _pool(self, pools: PoolCache) -> Pool:
        """Return the warmup's pool, where the study has one and the ranking asks for it."""
        ranking = self._setup.ranking
        if self._setup.warmup is None or ranking.sources is None or not ranking.opening:
            return Pool([], 0, "", 0)
        return pools.known(self._snapshot)

    def _elsewhere(
        self, history: History, known: Sequence[Candidate], drawn: Proposals
    ) -> Proposals:
        """Draw at random, and what the ranking wants, as many as it asks for."""
        sources, rng = self._sources, self._generator()
        ranking, limits = self._setup.ranking, self._setup.limits
        asked, found = ranking.sources, Proposals()
        if asked is None:
            return found
        left = limits.draws - drawn.draws if limits is not None else 0
        most = max(asked.random, left)
        is_stuck = self._settle(sources.at_random(rng), found, count=asked.random, most=most)
        if asked.searched:
            shown = [*known, *(p.architecture for p in (*drawn.new, *found.new))]
            seed = self._generator(";wanted").getrandbits(32)
            wanted = ranking.wanted(history, shown, sources.given_in(shown), seed)
            wanted = (each for each in wanted if not self._judge.has_met(each.key))
            most = max(asked.searched, left - found.draws)
            searched = sources.searched(wanted, rng)
            self._settle(searched, found, count=asked.searched, most=most)
        if asked.random and not (is_stuck or drawn.new or found.new):
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
        repeated: float = math.inf,
        is_base: bool = False,
    ) -> bool:
        """Judge draws until there are enough; return whether no other architecture can be drawn.

        It is enough when ``count`` are settled, that is within the limits or rejected, or there
        are ``enough`` new or ``repeated`` ones in the list, or ``most`` draws were made. What is
        outside of the limits is drawn again. The base sampler is shown what it drew, and its
        repetitions are kept, for want of anything new.
        """
        judge, sources = self._judge, self._sources
        settled, made, is_stuck = 0, 0, False
        with contextlib.closing(draws):
            while settled < count and len(into.new) < enough and made < most:
                if len(into.repeated) >= repeated:
                    break
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
        snapshot = self._snapshot
        return self._setup.generator(snapshot.study, snapshot.trial, f"{purpose}{self._attempt}")
