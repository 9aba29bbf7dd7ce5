"""Scores of candidates, turned so that higher is better."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optuna_zerocost.records._candidate import Candidate, History

__all__ = ["oriented_scores", "parse_name"]


def parse_name(name: str) -> tuple[str, float | None]:
    """Split ``"-flops"`` into the score's name and the sign that was forced, if any."""
    if not isinstance(name, str) or not name.lstrip("-+"):
        raise ValueError(
            f"A ranking names scores by strings, but {name!r} was given. Use for example "
            "'synflow', or '-flops' for a score that is better when lower."
        )
    return (name[1:], -1.0 if name[0] == "-" else 1.0) if name[0] in "-+" else (name, None)


def oriented_scores(
    candidates: Sequence[Candidate], history: History, name: str
) -> npt.NDArray[np.float64]:
    """Return one score of each of n candidates, shape (n,), turned so that higher is better.

    It is NaN for a candidate that lacks the score.

    ``"-name"`` takes it as better when lower, ``"+name"`` as better when higher, whatever its own
    direction in ``history`` says.
    """
    plain, sign = parse_name(name)
    if sign is None:
        sign = history.score_sign(plain)
    values = [candidate.scores.get(plain, math.nan) for candidate in candidates]
    return sign * np.array(values, dtype=np.float64)
