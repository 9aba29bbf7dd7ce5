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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from tqdm import tqdm

from optuna_zerocost import _compat
from optuna_zerocost.records import (
    ArchitectureKey,
    Candidate,
    Pool,
    decode_pool,
    encode_pool,
    hashed,
    merged,
    pool_identity,
    pool_prefix,
    read_json,
    write_json,
)
from optuna_zerocost.samplers._candidate_trial import random_trial, scored_architecture
from optuna_zerocost.scoring import (
    CandidateRejected,
    OutsideLimits,
    Scorer,
    limits_of,
    map_unordered,
)

__all__ = ["PoolSource", "Warmup"]

_LONGEST_PIECE = 20
_FEWEST_PIECES = 32
_ANNOUNCED = "announced"
# What _score_piece is called with, besides the scorer.
_Task = tuple[str, int, tuple[int, int], Mapping[str, Any]]


@dataclass(frozen=True)
class Warmup:
    """How a study begins: the first trials are the best of many random architectures.

    Where the scorer has limits, the candidates are random architectures within them: what is
    outside is drawn again, at most ``Limits.draws`` times for each of the trials.

    Args:
        candidates: Number of random architectures that are scored. The paper uses 1000 to 3000.
        trials: Trials with a number below this are taken from the best of them, best first. The
            ranking ``Learned`` takes no more of them than it needs before it learns.
        show_progress_bar: Show a progress bar while the pool is scored, if the standard error
            stream is a terminal.

    Raises:
        ValueError: If there are fewer candidates than trials, or less than one of either.
    """

    candidates: int = 1000
    trials: int = 64
    show_progress_bar: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= self.candidates:
            raise ValueError(
                f"Warmup(candidates={self.candidates}, trials={self.trials}) cannot be: the "
                "trials are the best of the candidates, so 1 ≤ trials ≤ candidates. To have no "
                "warmup, pass warmup=None to the sampler."
            )


class PoolSource:
    """Draws, scores, stores and finds the pool of one study.

    Args:
        study: The study that the pool belongs to.
        scorer: Scores the candidates.
        warmup: How many there are.
        fixed: Parameters that are not drawn, since the base sampler fixes them.
        seed: Proposes the pool's seed, so that an unnamed study can be repeated; ``None``
            proposes one that is derived from the study's name. The first proposal that is stored
            counts for all workers.
    """

    def __init__(
        self,
        study: Study,
        scorer: Scorer,
        warmup: Warmup,
        *,
        fixed: Mapping[str, Any],
        seed: int | None,
    ) -> None:
        self._storage = _compat.storage_of(study)
        self._study_id = _compat.study_id_of(study)
        self._scorer = scorer
        self._warmup = warmup
        self._fixed = fixed
        identity = pool_identity(scorer, fixed)
        self._prefix = pool_prefix(scorer, fixed)
        self._proposed_seed = hashed(f"{identity};{study.study_name if seed is None else seed}")

    def key(self) -> str:
        """Return what tells this pool from others; the same key means the same candidates."""
        _, seed = self._attributes_and_seed()
        return f"{self._prefix}:{seed:016x}:{self._warmup.candidates}"

    def get(self, worker: int) -> Pool:
        """Return the whole pool; score what no worker has scored yet.

        Args:
            worker: A number that differs between workers, e.g. the trial's. Workers with different
                numbers take the pieces in different orders.
        """
        own: dict[str, Pool] = {}
        wanted = self._warmup.candidates
        pieces: list[tuple[int, int]] = []
        with tqdm(
            total=wanted,
            desc="warmup: scoring untrained networks",
            unit="network",
            disable=None if self._warmup.show_progress_bar else True,
        ) as progress:
            pool = Pool([], 0, "", draws=0)
            while stop := self._next_stop(pool):
                progress.total = stop
                pieces += _cut(pool, stop)
                pool = self._complete(worker, pieces, own, progress)
        return pool

    def _next_stop(self, pool: Pool) -> int | None:
        """Return up to which number to draw next, or ``None`` if there is no need or no use.

        What was outside of the limits is drawn again, all of it at once and as often as the share
        within suggests. It depends on the pool alone, so all workers agree about it.
        """
        wanted, limits = self._warmup.candidates, limits_of(self._scorer)
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

    def _complete(
        self, worker: int, pieces: list[tuple[int, int]], own: dict[str, Pool], progress: Any
    ) -> Pool:
        """Score what is missing of ``pieces``; return the pool that they make up."""
        while True:
            is_complete = True
            tasks = self._missing(worker, pieces, own, progress)
            for key, piece in map_unordered(_score_piece, self._scorer, tasks):
                own[key] = piece
                self._store(key, piece)
                is_complete = False
            if is_complete:
                break
        attributes, seed = self._attributes_and_seed()
        return merged(
            own[key] if key in own else decode_pool(read_json(attributes, key), piece)
            for piece in pieces
            for key in (self._key(seed, piece),)
        )

    def _missing(
        self,
        worker: int,
        pieces: Sequence[tuple[int, int]],
        own: Mapping[str, Pool],
        progress: Any,
    ) -> Iterator[_Task]:
        """Yield what is to be scored, until all is there or under way here.

        What another worker has announced comes last: it is only scored again if that worker does
        not store it before everything else is done.
        """
        # A random order of its own for each worker: two of them rarely meet at one piece.
        pieces = random.Random(worker).sample(pieces, len(pieces))
        taken: set[str] = set()
        while True:
            attributes, seed = self._attributes_and_seed()
            keys = {self._key(seed, piece): piece for piece in pieces}
            absent = [k for k in keys if k not in own and read_json(attributes, k) is None]
            waiting = sum(keys[key][1] - keys[key][0] for key in absent)
            progress.n = progress.total - waiting
            progress.refresh()
            left = [key for key in absent if key not in taken]
            if not left:
                return
            key = min(left, key=lambda key: f"{key}:{_ANNOUNCED}" in attributes)
            self._storage.set_study_system_attr(self._study_id, f"{key}:{_ANNOUNCED}", worker)
            taken.add(key)
            yield key, seed, keys[key], self._fixed

    def _key(self, seed: int, piece: tuple[int, int]) -> str:
        return f"{self._prefix}:{seed:016x}:{piece[0]}-{piece[1]}"

    def _attributes_and_seed(self) -> tuple[dict[str, Any], int]:
        """Read the study's attributes, and agree on a seed with the other workers.

        If two workers propose at the same moment, the later proposal stays; the other worker sees
        it when it comes back for its second piece.
        """
        key = f"{self._prefix}:seed"
        attributes = self._storage.get_study_system_attrs(self._study_id)
        if key not in attributes:
            self._storage.set_study_system_attr(self._study_id, key, str(self._proposed_seed))
            attributes = self._storage.get_study_system_attrs(self._study_id)
        return attributes, int(attributes[key])

    def _store(self, key: str, piece: Pool) -> None:
        try:
            encoded = encode_pool(piece)
        except TypeError:
            # Choices that JSON cannot hold (classes, say) live in this process alone; Optuna warns
            # of them, and a study with such choices has no other workers.
            return
        write_json(
            lambda name, text: self._storage.set_study_system_attr(self._study_id, name, text),
            key,
            encoded,
        )


def _cut(pool: Pool, stop: int) -> list[tuple[int, int]]:
    """Cut the draws that follow those of ``pool`` into pieces of about as many candidates each."""
    share = pool.within / pool.draws if pool.within else 1.0
    longest, count = math.ceil(_LONGEST_PIECE / share), stop - pool.draws
    length = max(1, min(longest, count // _FEWEST_PIECES))
    return [(start, min(start + length, stop)) for start in range(pool.draws, stop, length)]


def _score_piece(
    scorer: Scorer, key: str, seed: int, piece: tuple[int, int], fixed: Mapping[str, Any]
) -> tuple[str, Pool]:
    """Draw and score the candidates of one piece; a function of its arguments alone."""
    scored: dict[ArchitectureKey, Candidate] = {}
    rejected, reason, outside = 0, "", 0
    for index in range(*piece):
        # One generator a candidate: how the pool is cut does not change what is in it.
        trial = random_trial(
            hashed(f"{seed};{index}") % 2**32,
            fixed=fixed,
            space={},
            relative={},
            is_repeated=lambda candidate: candidate.key in scored,
        )
        try:
            candidate = scored_architecture(scorer, trial)
        except OutsideLimits:
            outside += 1
        except CandidateRejected as error:
            rejected, reason = rejected + 1, reason or str(error)
        else:
            scored.setdefault(candidate.key, candidate)
    return key, Pool(list(scored.values()), rejected, reason, piece[1] - piece[0], outside)
