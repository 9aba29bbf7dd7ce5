"""The warmup's pool as a study stores it: pieces of scored candidates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.study import Study

from optuna_zerocost import _compat
from optuna_zerocost.records._attributes import PREFIX, read_json
from optuna_zerocost.records._candidate import ArchitectureKey, Candidate
from optuna_zerocost.records._fingerprint import fingerprint_of

__all__ = [
    "Pool",
    "decode_pool",
    "encode_pool",
    "hashed",
    "merged",
    "pool_identity",
    "pool_prefix",
    "stored_pools",
]

_PIECE_KEY = re.compile(
    rf"(?P<pool>{PREFIX}warmup:[0-9a-f]{{16}}:[0-9a-f]{{16}}):(?P<start>\d+)-(?P<stop>\d+)"
)


@dataclass(frozen=True)
class Pool:
    """A scored pool.

    Attributes:
        candidates: The architectures that were scored, each once, in the order of their draws.
        rejected: How many draws the scorer rejected.
        reason: Why the first of these was rejected; empty if none was.
        draws: How many draws there were.
        outside: How many of them were outside of the limits.
    """

    candidates: list[Candidate]
    rejected: int
    reason: str
    draws: int
    outside: int = 0

    @property
    def within(self) -> int:
        """Draws within the limits, as far as is known of those that were rejected."""
        return self.draws - self.outside

    @property
    def feasible(self) -> float:
        """Share of the draws within the limits, of those for which this is known."""
        known = self.draws - self.rejected
        return (known - self.outside) / known if known else 0.0


def pool_prefix(scorer: Callable[..., Any], fixed: Mapping[str, Any]) -> str:
    """Return how the keys of a scorer's pools begin.

    Args:
        scorer: Scores the candidates.
        fixed: Parameters that are not drawn.
    """
    return f"{PREFIX}warmup:{hashed(pool_identity(scorer, fixed)):016x}"


def pool_identity(scorer: Callable[..., Any], fixed: Mapping[str, Any]) -> str:
    return f"{fingerprint_of(scorer)};{sorted(fixed.items())!r}"


def stored_pools(study: Study, prefix: str = f"{PREFIX}warmup:") -> list[Pool]:
    """Return what is stored of the pools of ``study``, whoever scored it.

    Args:
        study: The study that the pools belong to.
        prefix: Only pools with this prefix, see :func:`pool_prefix`.

    Returns:
        One pool for each scorer and seed that the study has seen, the largest first. A pool that
        is still being scored has the candidates of the pieces that are there. A pool with choices
        that JSON cannot hold is not stored, and not here.
    """
    attributes = _compat.storage_of(study).get_study_system_attrs(_compat.study_id_of(study))
    pieces: dict[str, dict[tuple[int, int], Pool]] = {}
    for key in attributes:
        if key.startswith(prefix) and (match := _PIECE_KEY.fullmatch(key)):
            encoded = read_json(attributes, key)
            if encoded is not None:
                piece = int(match["start"]), int(match["stop"])
                pieces.setdefault(match["pool"], {})[piece] = decode_pool(encoded, piece)
    pools = [merged(of_pool[piece] for piece in sorted(of_pool)) for of_pool in pieces.values()]
    return sorted(pools, key=lambda pool: -len(pool.candidates))


def hashed(text: str) -> int:
    """Return 63 bits that depend on ``text`` alone, in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def encode_pool(piece: Pool) -> dict[str, Any]:
    """Return a piece as JSON values: each distribution once, values as the storage has them."""
    table: dict[str, int] = {}

    def index_of(distribution: BaseDistribution) -> int:
        return table.setdefault(distribution_to_json(distribution), len(table))

    candidates = [
        {
            "params": {
                name: [
                    index_of(distribution),
                    distribution.to_internal_repr(candidate.params[name]),
                ]
                for name, distribution in candidate.distributions.items()
            },
            "scores": dict(candidate.scores),
        }
        for candidate in piece.candidates
    ]
    return {
        "distributions": list(table),
        "candidates": candidates,
        "rejected": piece.rejected,
        "reason": piece.reason,
        "outside": piece.outside,
    }


def decode_pool(encoded: Mapping[str, Any], piece: tuple[int, int]) -> Pool:
    table = [json_to_distribution(text) for text in encoded["distributions"]]
    candidates = []
    for candidate in encoded["candidates"]:
        distributions = {name: table[index] for name, (index, _) in candidate["params"].items()}
        params = {
            name: distributions[name].to_external_repr(value)
            for name, (_, value) in candidate["params"].items()
        }
        candidates.append(Candidate(params, distributions, candidate["scores"]))
    return Pool(
        candidates,
        encoded["rejected"],
        encoded["reason"],
        piece[1] - piece[0],
        # Pieces of a version without limits lack it.
        encoded.get("outside", 0),
    )


def merged(pieces: Iterable[Pool]) -> Pool:
    distinct: dict[ArchitectureKey, Candidate] = {}
    rejected, reason, draws, outside = 0, "", 0, 0
    for piece in pieces:
        for candidate in piece.candidates:
            distinct.setdefault(candidate.key, candidate)
        rejected, reason = rejected + piece.rejected, reason or piece.reason
        draws, outside = draws + piece.draws, outside + piece.outside
    return Pool(list(distinct.values()), rejected, reason, draws, outside)
