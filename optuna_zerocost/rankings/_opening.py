"""Opening trials of a ranking that learns: some trust the scores, some are random."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from optuna_zerocost.rankings._observations import Observations
from optuna_zerocost.records import Candidate

__all__ = ["opening_order"]


def opening_order(
    candidates: Sequence[Candidate],
    seen: Observations,
    begun: int,
    *,
    trusting: int,
    trusts_noise: bool,
) -> list[int]:
    """Return the indices of ``candidates``: the best by the scores first, later a random order.

    In turns the first score decides, and the mean rank in all of them but those that look like
    noise: which of several scores deserves the trust is not known. What they agree about is seldom
    much worse than the best of them, and much better than the worst.

    Args:
        candidates: The candidates.
        seen: Their scores, and those of the trials.
        begun: Number of trials that have begun.
        trusting: Number of first trials that trust the scores.
        trusts_noise: Whether they do so if all scores look like noise.
    """
    if begun < trusting and seen.names:
        is_noise_alone = bool(seen.is_doubted.all())
        if not is_noise_alone or trusts_noise:
            left_out = seen.is_doubted & (not is_noise_alone)
            scores = seen.scores[seen.candidates][:, ~left_out]
            merit = scores.mean(axis=1) if begun % 2 else scores[:, 0]
            return [int(i) for i in np.argsort(-merit, kind="stable")]
    # Random, but a function of the architectures: it does not matter how they are drawn.
    digests = [hashlib.sha256(f"{begun};{c.key}".encode()).digest() for c in candidates]
    return sorted(range(len(candidates)), key=digests.__getitem__)
