"""The choice of a trial's architecture: from the warmup's pool, or the best of many candidates."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence

from optuna.distributions import BaseDistribution
from optuna.study import Study

from optuna_zerocost import _compat
from optuna_zerocost.rankings import proposed_first
from optuna_zerocost.records import (
    ArchitectureKey,
    Candidate,
    History,
    Reject,
    choose,
    claim_best,
    store_bans,
    stored_bans,
)
from optuna_zerocost.samplers._generation import CandidateGeneration
from optuna_zerocost.samplers._notices import Notices
from optuna_zerocost.samplers._pool_source import PoolCache
from optuna_zerocost.samplers._proposals import Choice, Fate, Proposal
from optuna_zerocost.samplers._setup import Setup
from optuna_zerocost.samplers._sources import Sources
from optuna_zerocost.samplers._study_view import Snapshot

__all__ = ["Chooser"]

# So often other candidates are drawn where other workers have taken all of them.
_MOST_ATTEMPTS = 5


class Chooser:
    """Chooses, from what a study holds at the moment, and claims the choice for the trial."""

    def __init__(self, setup: Setup, pools: PoolCache, notices: Notices) -> None:
        self._setup = setup
        self._pools = pools
        self._notices = notices
        # The threads of one process claim one after the other.
        self._lock = threading.Lock()
        self._bans: dict[int, dict[ArchitectureKey, str]] = {}

    def choose(self, snapshot: Snapshot, space: Mapping[str, BaseDistribution]) -> Choice | None:
        """Return the choice; ``None`` where the base sampler decides alone."""
        if self._setup.opens(snapshot):
            choice = self._from_warmup(snapshot, space)
            if choice is not None:
                return choice
        if not self._setup.has_moves:
            return None
        return self._from_moves(snapshot, space)

    def _from_warmup(
        self, snapshot: Snapshot, space: Mapping[str, BaseDistribution]
    ) -> Choice | None:
        """Take the best architecture of the pool that no other trial has, or will take."""
        pool = self._pools.get(snapshot)
        self._ban(snapshot.study, pool.rejects)
        if not pool.candidates:
            # Where all is outside of the limits, the base sampler may find something within.
            if not pool.outside:
                self._notices.all_rejected("warmup", pool.rejected, pool.reason)
            return None
        # The pool may have taken a while; other trials have finished meanwhile.
        snapshot = snapshot.now()
        ordered = self._ordered(pool.candidates, self._history(snapshot))
        claimed, is_claimed = self._claim(snapshot, ordered)
        if not is_claimed:
            return None
        # The base sampler is asked as well: its attributes make the trial part of its history, and
        # the parameters outside of the architecture are its own.
        answer = Sources(self._setup.base_sampler, snapshot, space).answer()
        taken = Proposal(Fate.NEW, claimed, "pool")
        return Choice("warmup", taken, answer, pool, considered=pool.candidates)

    def _from_moves(self, snapshot: Snapshot, space: Mapping[str, BaseDistribution]) -> Choice:
        """Take the best of many candidates, or now and then a random one.

        Where other workers have taken all of them meanwhile, others are drawn.
        """
        bans = self._bans_of(snapshot.study)
        for attempt in range(_MOST_ATTEMPTS):
            generation = CandidateGeneration(self._setup, snapshot, space, bans, attempt)
            history = self._history(snapshot)
            found, options, drawn, total, at_random = generation.candidates(history, self._pools)
            tally = total.as_pool()
            self._ban(snapshot.study, tally.rejects)
            if not options:
                break
            order = options if at_random else self._ordered(options, history)
            best, is_claimed = self._claim(snapshot, order)
            if is_claimed:
                break
            snapshot = snapshot.now()
        reasons = [proposal.reason for proposal in total.rejected]
        considered = [proposal.architecture for proposal in found]
        source = "random" if at_random else "move"
        if options:
            known = Proposal(Fate.NEW, best, "pool")
            if best.key in snapshot.known:  # trained before, with other hyperparameters
                known = Proposal(Fate.REPEATED, best, "trained")
            taken = next((p for p in found if p.architecture.key == best.key), known)
            taken = dataclasses.replace(taken, candidate=best)
        else:
            is_claimed = False
            source, taken, tally = "base", drawn.best_of_failures(snapshot.known), drawn.as_pool()
        if not is_claimed and taken.candidate is not None:
            choose(snapshot.study, snapshot.trial, taken.candidate)
        answer = generation.answer(taken)
        shown = history if source == "move" else None
        return Choice(source, taken, answer, tally, reasons, considered, options, shown)

    def _bans_of(self, study: Study) -> dict[ArchitectureKey, str]:
        """Return what no process should score any more, as far as this one knows, and why."""
        study_id = _compat.study_id_of(study)
        if study_id not in self._bans:
            stored = stored_bans(study, self._setup.scorer.fingerprint)
            self._bans[study_id] = {reject.asked.key: reject.reason for reject in stored}
        return self._bans[study_id]

    def _ban(self, study: Study, rejects: Sequence[Reject]) -> None:
        bans = self._bans_of(study)
        new = [each for each in rejects if each.is_ban and each.asked.key not in bans]
        bans.update({reject.asked.key: reject.reason for reject in new})
        store_bans(study, self._setup.scorer.fingerprint, new)

    def _history(self, snapshot: Snapshot) -> History:
        return snapshot.history(self._setup.scorer.score_directions)

    def _ordered(self, candidates: Sequence[Candidate], history: History) -> list[Candidate]:
        order = proposed_first(self._setup.ranking, candidates, history)
        return [candidates[index] for index in order]

    def _claim(self, snapshot: Snapshot, ordered: Sequence[Candidate]) -> tuple[Candidate, bool]:
        """Claim the first candidate that no other trial has; or return the first, not claimed."""
        with self._lock:
            claimed = claim_best(snapshot.study, snapshot.trial, ordered)
        return (ordered[0], False) if claimed is None else (claimed, True)
