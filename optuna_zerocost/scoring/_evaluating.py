"""The one way in which the package calls scorers."""

from __future__ import annotations

import math
import signal
import traceback
from collections.abc import Mapping
from typing import Any

from optuna_zerocost.records import is_score_name
from optuna_zerocost.scoring._apart import ScorerApart
from optuna_zerocost.scoring._rejection import (
    CandidateRejected,
    NetworkNotReported,
    RepeatedArchitecture,
    ScoringProcessError,
)
from optuna_zerocost.scoring._scorer import Scorer, as_scorer

__all__ = ["evaluate"]

# Reasons are stored, and some errors quote half a traceback.
_LONGEST_REASON = 500


def evaluate(scorer: Scorer, trial: Any) -> dict[str, float]:
    """Call ``scorer`` and return its scores as finite floats (storages accept no NumPy scalars).

    A score that is not finite is left out. A builder that leaves by ``sys.exit`` fails as one that
    raises does; an interruption, by the keyboard or a signal's handler, is let through.

    Raises:
        CandidateRejected: If the scorer raised.
        NetworkNotReported: If it runs an objective that reports no network.
        ScoringProcessError: If there is no process apart that could score.
        RepeatedArchitecture: If the scorer gave up since the architecture is known.
        TypeError: If the scorer does not return a mapping of names to numbers.
        ValueError: If a score has a name that the package uses itself.
    """
    whole = as_scorer(scorer)
    if whole.timeout is not None:
        whole = ScorerApart(whole)
    try:
        scores = whole(trial)
    except (RepeatedArchitecture, CandidateRejected, NetworkNotReported, ScoringProcessError):
        raise
    except (Exception, SystemExit) as error:
        if _is_from_a_signal(error):
            raise
        reason = f"{type(error).__name__}: {error}"
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}…"
        raise CandidateRejected(reason) from error
    if not isinstance(scores, Mapping):
        raise TypeError(
            f"The scorer returned {scores!r} ({type(scores).__name__}), but the sampler needs a "
            "mapping from names to numbers. Return for example {'my_score': 0.5}, or {} where no "
            "score is defined."
        )
    checked = {name: _checked(name, value) for name, value in scores.items()}
    return {name: score for name, score in checked.items() if math.isfinite(score)}


def _is_from_a_signal(error: BaseException) -> bool:
    """Return whether a signal's handler raised ``error``, which then is about the process."""
    handlers = map(signal.getsignal, signal.valid_signals())
    codes = {getattr(handler, "__code__", None) for handler in handlers}
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def _checked(name: str, value: Any) -> float:
    if not is_score_name(name):
        raise ValueError(
            f"The scorer returned a score called {name!r}, but the trial attribute "
            f"'zerocost:{name}' is written by the package itself. Choose another name."
        )
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"The scorer returned {value!r} ({type(value).__name__}) as {name!r}, but a score "
            "must be a real number. Convert it with float() in the scorer."
        ) from None
