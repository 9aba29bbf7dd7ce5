"""The warmup's pool: many random architectures, scored once, shared by all workers of a study.

No storage has a lock, so the workers share by agreement instead. Every worker derives the same
candidates from the same seed. The pool is cut into pieces; a worker draws and scores pieces that
are not stored yet, in an order of its own, announces each and stores it when it is done. Scores
are a function of the architecture, so two writers of one piece agree; a dead worker's pieces are
done by others; a study that is resumed finds what it had.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.study import Study

from optuna_zerocost import _compat
from optuna_zerocost.records import Piece, Pool, PoolStore, agree, hashed, merged
from optuna_zerocost.samplers._candidate_trial import random_trial
from optuna_zerocost.samplers._judge import Judge
from optuna_zerocost.samplers._notices import Notices
from optuna_zerocost.samplers._progress import progress_bar
from optuna_zerocost.samplers._proposals import Draw, Proposals
from optuna_zerocost.samplers._setup import Setup
from optuna_zerocost.samplers._study_view import Snapshot
from optuna_zerocost.samplers._warmup import Warmup
from optuna_zerocost.scoring import BaseScorer, Scorer, StudyToRead, as_scorer, map_unordered

__all__ = ["PoolCache", "PoolSource"]

_LONGEST_PIECE = 20
_FEWEST_PIECES = 32

# A worker looks what others have stored after so many times as long as a look takes: in a large
# pool it takes long, and there are many pieces.
_REST = 20

# Parameters that a ``PartialFixedSampler`` fixes.
_Fixed = Mapping[str, Any]

# Arguments of _score_piece, besides the scorer.
_Task = tuple[str, int, Piece, _Fixed, StudyToRead]


class PoolCache:
    """The pools that this process has read or scored."""

    def __init__(self, setup: Setup, notices: Notices) -> None:
        self._setup = setup
        self._notices = notices
        self._pools: dict[str, Pool] = {}
        # The threads of one process score one pool after the other: they would share its cores.
        self._lock = threading.Lock()

    def get(self, snapshot: Snapshot) -> Pool:
        """Return the pool of the study; score what no worker has scored yet."""
        return self._get(snapshot, self._source(snapshot, snapshot.fixed))

    def known(self, snapshot: Snapshot) -> Pool:
        """Return the pool, for a trial that is not taken from it alone.

        Where a study is under way when parameters are fixed around this sampler, it is what has
        these values in the study's first pool: a pool of its own would come too late to be taken
        from.
        """
        own = self._source(snapshot, snapshot.fixed)
        inside = _compat.fixed_parameters(self._setup.base_sampler)
        if snapshot.fixed == inside or own.is_begun():
            return self._get(snapshot, own)
        before = self._source(snapshot, inside)
        if not before.is_begun():
            return self._get(snapshot, own)
        pool = self._get(snapshot, before)
        agreeing = [c for c in pool.candidates if agree(c.params, snapshot.fixed)]
        return replace(pool, candidates=agreeing)

    def _source(self, snapshot: Snapshot, fixed: _Fixed) -> PoolSource:
        setup = self._setup
        assert setup.warmup is not None
        return PoolSource(snapshot.study, setup.scorer, setup.warmup, fixed=fixed, seed=setup.seed)

    def _get(self, snapshot: Snapshot, source: PoolSource) -> Pool:
        setup = self._setup
        with self._lock:
            key = source.key()
            if key not in self._pools:
                started = time.perf_counter()
                pool = self._pools[key] = source.get(worker=snapshot.trial.number)
                setup.scorer.remember(pool.candidates)
                seconds = time.perf_counter() - started
                self._notices.pool_scored(snapshot.study, pool, seconds=seconds)
                if setup.ranking.by_network:
                    named = [replace(c, by_network=True) for c in pool.candidates]
                    self._pools[key] = replace(pool, candidates=named)
            return self._pools[key]


class PoolSource:
    """Draws, scores, stores and finds the pool of one study.

    Parameters that are fixed are not drawn. The seed is a ``PoolStore``'s.
    """

    def __init__(
        self, study: Study, scorer: Scorer, warmup: Warmup, *, fixed: _Fixed, seed: int | None
    ) -> None:
        self._scorer = as_scorer(scorer)
        self._warmup = warmup
        self._fixed = fixed
        self._study = StudyToRead(study)
        self._study_name = study.study_name
        self._store = PoolStore(study, self._scorer.fingerprint, fixed=fixed, seed=seed)

    def key(self) -> str:
        """Return what tells this pool from others, those of other studies included."""
        return f"{self._study_name}:{self._store.key}:{self._warmup.candidates}"

    def is_begun(self) -> bool:
        """Return whether any of it is stored, or was scored here."""
        return self._store.is_begun()

    def get(self, worker: int) -> Pool:
        """Return the whole pool; score what no worker has scored yet.

        Workers with different numbers, e.g. their trials', take the pieces in different orders.
        """
        pieces: list[Piece] = []
        with progress_bar(
            total=self._warmup.candidates,
            desc="warmup: scoring untrained networks",
            unit="network",
            is_shown=self._warmup.show_progress_bar,
        ) as progress:
            pool = Pool([], 0, "", draws=0)
            while stop := self._next_stop(pool):
                progress.total = stop
                pieces += _cut(pool, stop)
                pool = self._complete(worker, pieces, progress)
        return pool

    def _next_stop(self, pool: Pool) -> int | None:
        """Return up to which number to draw next, or ``None`` if there is no need or no use.

        What was outside of the limits is drawn again, all of it at once and as often as the share
        within suggests. It depends on the pool alone, so all workers agree about it.
        """
        wanted, limits = self._warmup.candidates, self._scorer.limits
        if not pool.draws:
            return wanted
        most = max(wanted, limits.draws * self._warmup.trials) if limits is not None else wanted
        lacking = wanted - pool.within
        if lacking <= 0 or pool.draws >= most:
            return None
        # Where nothing at all is found, a trial's worth of draws is enough to give up.
        if limits is not None and not pool.within:
            return limits.draws if pool.draws < limits.draws else None
        share = pool.within / pool.draws
        return min(most, pool.draws + math.ceil(lacking / share))

    def _complete(self, worker: int, pieces: Sequence[Piece], progress: Any) -> Pool:
        """Score what is missing of ``pieces``; return the pool that they make up."""
        is_complete = False
        while not is_complete:
            tasks = self._missing(worker, pieces, progress)
            is_complete = True
            for key, scored in map_unordered(_score_piece, self._scorer, tasks):
                self._store.write(key, scored, self._scorer.scored_by.key)
                is_complete = False
        self._store.refresh()
        return merged(map(self._store.read, pieces))

    def _missing(self, worker: int, pieces: Sequence[Piece], progress: Any) -> Iterator[_Task]:
        """Yield what is to be scored, until all is there or under way here.

        What another worker has announced comes last: it is only scored again if that worker does
        not store it before everything else is done.
        """
        # A random order of its own for each worker: two of them rarely meet at one piece.
        pieces = random.Random(worker).sample(pieces, len(pieces))
        taken: set[str] = set()
        left: list[Piece] = []
        due = 0.0
        while True:
            began = time.perf_counter()
            if began >= due or not left:
                self._store.refresh()
                absent = [piece for piece in pieces if not self._store.has(piece)]
                progress.n = progress.total - sum(stop - start for start, stop in absent)
                progress.refresh()
                left = [piece for piece in absent if self._store.key_of(piece) not in taken]
                # The next one is the last; what is announced is the first.
                left = sorted(left, key=self._store.is_announced)[::-1]
                ended = time.perf_counter()
                due = ended + _REST * (ended - began)
            if not left:
                return
            piece = left.pop()
            key = self._store.key_of(piece)
            self._store.announce(piece, worker)
            taken.add(key)
            yield key, self._store.seed, piece, self._fixed, self._study


def _cut(pool: Pool, stop: int) -> list[Piece]:
    """Cut the draws that follow those of ``pool`` into pieces of about as many candidates each."""
    share = pool.within / pool.draws if pool.within else 1.0
    longest, count = math.ceil(_LONGEST_PIECE / share), stop - pool.draws
    length = max(1, min(longest, count // _FEWEST_PIECES))
    return [(start, min(start + length, stop)) for start in range(pool.draws, stop, length)]


def _score_piece(
    scorer: BaseScorer, key: str, seed: int, piece: Piece, fixed: _Fixed, study: StudyToRead
) -> tuple[str, Pool]:
    """Draw and score the candidates of one piece; a function of its arguments alone."""
    judge, proposals = Judge(scorer), Proposals()
    for index in range(*piece):
        # One generator a candidate: how the pool is cut does not change what is in it.
        trial = random_trial(hashed(f"{seed};{index}") % 2**32, fixed=fixed, study=study)
        proposals.add(judge(Draw(trial, "pool")))
    return key, proposals.as_pool()
