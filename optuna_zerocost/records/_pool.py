"""The warmup's pool as a study stores it: pieces of scored candidates."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.study import Study

from optuna_zerocost import _compat
from optuna_zerocost.records._attributes import PREFIX
from optuna_zerocost.records._candidate import ArchitectureKey, Candidate
from optuna_zerocost.records._long_values import read_json, write_json

__all__ = [
    "Piece",
    "Pool",
    "PoolStore",
    "Reject",
    "hashed",
    "merged",
    "store_bans",
    "stored_bans",
    "stored_pools",
]

Piece = tuple[int, int]
"""Numbers of the first draw of a piece, and of the first one after it."""

_PIECE_KEY = re.compile(
    rf"(?P<pool>{PREFIX}warmup:[0-9a-f]{{16}}:[0-9a-f]{{16}}):(?P<start>\d+)-(?P<stop>\d+)"
)

# How the fingerprint of a scorer ends that has none of its own.
_DIGEST = re.compile(r":[0-9a-f]{16}$")


class Reject(NamedTuple):
    """A draw that the scorer rejected: what it had asked for by then, and the reason."""

    asked: Candidate
    reason: str

    @property
    def is_ban(self) -> bool:
        """True if the process that scored it died or hung, so that no other should try."""
        return bool(self.asked.params) and self.reason.startswith(("ProcessDied:", "ProcessHung:"))


@dataclass(frozen=True)
class Pool:
    """Random architectures that were drawn and scored, all of a warmup's or a piece of them.

    Each candidate is there once, in the order of the draws. ``rejected`` counts the draws that the
    scorer could not score, the first of them for ``reason``, and ``outside`` those beyond limits.
    The ``rejects`` are what is known of those that were rejected.
    """

    candidates: list[Candidate]
    rejected: int
    reason: str
    draws: int
    outside: int = 0
    rejects: Sequence[Reject] = ()

    @property
    def within(self) -> int:
        """Draws within the limits, as far as is known of those that were rejected."""
        return self.draws - self.outside

    @property
    def feasible(self) -> float | None:
        """Share of the draws within the limits, of those for which this is known, if any."""
        known = self.draws - self.rejected
        return (known - self.outside) / known if known else None


def stored_pools(
    study: Study, fingerprint: str | None = None, *, fixed: Mapping[str, Any] | None = None
) -> list[Pool]:
    """Return what is stored of the pools of ``study``, the largest first.

    One for each scorer and seed that the study has seen; or those of the scorer with this
    ``fingerprint`` for which the ``fixed`` parameters were not drawn. A pool that is still being
    scored has the candidates of the pieces that are there. A pool with choices that JSON cannot
    hold is not stored, and not here.
    """
    prefix = "" if fingerprint is None else _prefix(fingerprint, fixed or {})
    attributes = _compat.storage_of(study).get_study_system_attrs(_compat.study_id_of(study))
    pieces: dict[str, dict[Piece, Pool]] = {}
    for key in attributes:
        match = _PIECE_KEY.fullmatch(key) if key.startswith(prefix) else None
        if match and (encoded := read_json(attributes, key)) is not None:
            piece = int(match["start"]), int(match["stop"])
            pieces.setdefault(match["pool"], {})[piece] = _decode(encoded, piece)
    pools = [merged(of_pool[piece] for piece in sorted(of_pool)) for of_pool in pieces.values()]
    return sorted(pools, key=lambda pool: -len(pool.candidates))


class PoolStore:
    """The pool of one study, scorer and seed, as its workers agree on it and store it.

    The argument ``seed`` proposes the pool's seed, so that an unnamed study can be repeated;
    ``None`` proposes one that is derived from the study's name. The first proposal that is stored
    counts for all workers, and is the attribute ``seed``.
    """

    def __init__(
        self, study: Study, fingerprint: str, *, fixed: Mapping[str, Any], seed: int | None
    ) -> None:
        self._storage = _compat.storage_of(study)
        self._study_id = _compat.study_id_of(study)
        self._prefix = _prefix(fingerprint, fixed)
        proposed = study.study_name if seed is None else seed
        # Without the digest: after an edit of the scorer's code the same architectures are drawn.
        drawn_for = _DIGEST.sub("", fingerprint)
        self.seed = hashed(f"{_identity(drawn_for, fixed)};{proposed}")
        self._attributes: Mapping[str, Any] = {}
        self._own: dict[str, Pool] = {}
        self._there: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Read what is stored by now.

        If two workers propose a seed at the same moment, the later proposal stays; the other
        worker sees it when it comes back for its second piece.
        """
        key = f"{self._prefix}:seed"
        self._attributes = self._storage.get_study_system_attrs(self._study_id)
        if key not in self._attributes:
            self._write(key, str(self.seed))
            self._attributes = self._storage.get_study_system_attrs(self._study_id)
        self.seed = int(self._attributes[key])

    @property
    def key(self) -> str:
        """A text that is the same only for pools of the same candidates, but for their number."""
        return f"{self._prefix}:{self.seed:016x}"

    def key_of(self, piece: Piece) -> str:
        """Return the same for a piece."""
        return f"{self.key}:{piece[0]}-{piece[1]}"

    def is_begun(self) -> bool:
        """Return whether any piece was written here, or is stored."""
        stored = filter(_PIECE_KEY.match, [*self._own, *self._attributes])
        return any(key.startswith(f"{self.key}:") for key in stored)

    def has(self, piece: Piece) -> bool:
        """Return whether ``piece`` was written here, or is stored."""
        key = self.key_of(piece)
        if key in self._own or key in self._there:
            return True
        if key in self._attributes and read_json(self._attributes, key) is not None:
            self._there.add(key)
            return True
        return False

    def read(self, piece: Piece) -> Pool:
        """Return ``piece``, which is there."""
        key = self.key_of(piece)
        own = self._own.get(key)
        return _decode(read_json(self._attributes, key), piece) if own is None else own

    def is_announced(self, piece: Piece) -> bool:
        """Return whether a worker has said that it is at ``piece``."""
        return f"{self.key_of(piece)}:announced" in self._attributes

    def announce(self, piece: Piece, worker: int) -> None:
        """Say that ``worker`` is at ``piece``."""
        self._write(f"{self.key_of(piece)}:announced", worker)

    def write(self, key: str, scored: Pool, scored_by: str) -> None:
        """Store a piece under its :meth:`key_of`; the seed may be another one by now.

        And by what it was scored, see ``ScoredBy.key``.
        """
        self._own[key] = scored
        # Choices that JSON cannot hold (classes, say) live in this process alone; Optuna warns
        # of them, and a study with such choices has no other workers.
        with contextlib.suppress(TypeError):
            write_json(self._write, key, {**_encode(scored), "scored_by": scored_by})

    def _write(self, key: str, value: Any) -> None:
        self._storage.set_study_system_attr(self._study_id, key, value)


def merged(pieces: Iterable[Pool]) -> Pool:
    """Return the pool that ``pieces`` make up, each architecture once."""
    distinct: dict[ArchitectureKey, Candidate] = {}
    # Equal distributions are one object: who looks for what is new among thousands compares them.
    one_of: dict[BaseDistribution, BaseDistribution] = {}
    rejected, reason, draws, outside = 0, "", 0, 0
    rejects: list[Reject] = []
    for piece in pieces:
        for candidate in piece.candidates:
            same = {n: one_of.setdefault(d, d) for n, d in candidate.distributions.items()}
            distinct.setdefault(candidate.key, replace(candidate, distributions=same))
        rejected, reason = rejected + piece.rejected, reason or piece.reason
        draws, outside = draws + piece.draws, outside + piece.outside
        rejects += piece.rejects
    return Pool(list(distinct.values()), rejected, reason, draws, outside, rejects)


def store_bans(study: Study, fingerprint: str, rejects: Iterable[Reject]) -> None:
    """Store those of ``rejects`` by which a process of the scorer died or hung."""
    storage, study_id = _compat.storage_of(study), _compat.study_id_of(study)
    write = functools.partial(storage.set_study_system_attr, study_id)
    for reject in rejects:
        if reject.is_ban:
            key = f"{_bans_prefix(fingerprint)}{hashed(repr(reject.asked.key)):016x}"
            # As a pool's piece, choices that JSON cannot hold live in this process alone.
            with contextlib.suppress(TypeError):
                write_json(write, key, _encode(Pool([], 1, reject.reason, 1, rejects=[reject])))


def stored_bans(study: Study, fingerprint: str) -> list[Reject]:
    """Return the architectures by which processes of the scorer died or hung, with the reasons."""
    attributes = _compat.storage_of(study).get_study_system_attrs(_compat.study_id_of(study))
    pattern = re.compile(rf"{_bans_prefix(fingerprint)}[0-9a-f]{{16}}")
    found = (read_json(attributes, key) for key in attributes if pattern.fullmatch(key))
    return [reject for encoded in found if encoded for reject in _decode(encoded, (0, 1)).rejects]


def _bans_prefix(fingerprint: str) -> str:
    return f"{PREFIX}banned:{hashed(fingerprint):016x}:"


def hashed(text: str) -> int:
    """Return 63 bits that depend on ``text`` alone, in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _prefix(fingerprint: str, fixed: Mapping[str, Any]) -> str:
    return f"{PREFIX}warmup:{hashed(_identity(fingerprint, fixed)):016x}"


def _identity(fingerprint: str, fixed: Mapping[str, Any]) -> str:
    return f"{fingerprint};{sorted(fixed.items())!r}"


def _encode(piece: Pool) -> dict[str, Any]:
    # Each distribution once, values as the storage has them.
    table: dict[str, int] = {}

    def index_of(distribution: BaseDistribution) -> int:
        return table.setdefault(distribution_to_json(distribution), len(table))

    def encoded(candidate: Candidate) -> dict[str, Any]:
        return {
            name: [index_of(distribution), distribution.to_internal_repr(candidate.params[name])]
            for name, distribution in candidate.distributions.items()
        }

    candidates = [
        {"params": encoded(c), "scores": dict(c.scores), "network": c.network}
        for c in piece.candidates
    ]
    rejects = [{"params": encoded(r.asked), "reason": r.reason} for r in piece.rejects]
    return {
        "distributions": list(table),
        "candidates": candidates,
        "rejects": rejects,
        "rejected": piece.rejected,
        "reason": piece.reason,
        "outside": piece.outside,
    }


def _decode(encoded: Mapping[str, Any], piece: Piece) -> Pool:
    table = [json_to_distribution(text) for text in encoded["distributions"]]

    def decoded(
        params: Mapping[str, Any], scores: Mapping[str, float], network: str | None = None
    ) -> Candidate:
        distributions = {name: table[index] for name, (index, _) in params.items()}
        values = {
            name: distributions[name].to_external_repr(value)
            for name, (_, value) in params.items()
        }
        return Candidate(values, distributions, scores, network)

    return Pool(
        # Pieces of earlier versions have neither networks, nor what is outside, nor rejects.
        candidates=[
            decoded(c["params"], c["scores"], c.get("network")) for c in encoded["candidates"]
        ],
        rejected=encoded["rejected"],
        reason=encoded["reason"],
        draws=piece[1] - piece[0],
        outside=encoded.get("outside", 0),
        rejects=[
            Reject(decoded(r["params"], {}), r["reason"]) for r in encoded.get("rejects", ())
        ],
    )
