"""The protocol of scorers, and the one way in which the package calls them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from optuna_zerocost.records import is_score_name

if TYPE_CHECKING:
    from optuna_zerocost.scoring._limits import Limits

__all__ = [
    "CandidateRejected",
    "DrawingTrial",
    "RepeatedArchitecture",
    "Scorer",
    "check_scorer",
    "evaluate",
    "limits_of",
    "score_directions_of",
    "score_names_of",
]


@runtime_checkable
class Scorer(Protocol):
    """Anything that turns a trial into named scores: a function, a table, a :class:`ModelScorer`.

    It is called with a trial-like object: ``suggest_*`` work as on an Optuna trial and the calls
    decide which parameters make up the architecture. It must be a function of these parameters
    alone. An exception or a score that is not finite rejects the candidate.

    A scorer may also have

    * ``score_names``: a sequence of the names that it returns, so that mistakes in a ranking are
      found before the first trial;
    * ``score_directions``: name → ``"maximize"`` or ``"minimize"`` (default: maximize);
    * ``limits``: the :class:`~optuna_zerocost.scoring.Limits` that it checks before it scores. A
      candidate that is outside makes it raise ``OutsideLimits``; for one that is within, what was
      measured is among the scores that it returns;
    * ``remember(candidates)``: takes scores that another process or an earlier run computed;
    * ``n_jobs``: how many processes score a warmup (see ``joblib.Parallel``; default: 1), and
      ``prepare_worker()``, which such a worker calls before it scores;
    * ``fingerprint``: a string that changes when the scores would. Workers whose scorers have
      the same fingerprint share one warmup. Default: the function's or class's qualified name.
    """

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Return name → score for the architecture that ``trial`` suggests."""
        ...


# Reasons are stored, and some errors quote half a traceback.
_LONGEST_REASON = 500


class DrawingTrial:
    """What a scorer may ask of a trial whose values are drawn while the scorer runs.

    Attributes:
        around_draw: Entered around each draw of a value. A scorer that seeds the global random
            states sets it to let the draws happen outside of the seeded state.
    """

    around_draw: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext

    def is_repeated(self) -> bool:
        """Return whether the architecture, fully drawn by now, needs no score any more.

        A scorer may then raise :class:`RepeatedArchitecture` and save the work.
        """
        return False


class CandidateRejected(Exception):
    """A candidate that cannot be used; the message says why."""


class RepeatedArchitecture(Exception):
    """Raised by a scorer that was told, after drawing, that the architecture is known already."""


def evaluate(scorer: Scorer, trial: Any) -> dict[str, float]:
    """Call ``scorer`` and check what it returns.

    Returns:
        Name → finite Python float (storages accept no NumPy scalars), in the scorer's order.

    Raises:
        CandidateRejected: If the scorer raised, or a score is not finite; ``OutsideLimits`` if the
            architecture is outside of the scorer's limits.
        RepeatedArchitecture: If the scorer gave up since the architecture is known.
        TypeError: If the scorer does not return a mapping of names to numbers.
        ValueError: If a score has a name that the package uses itself.
    """
    try:
        scores = scorer(trial)
    except (RepeatedArchitecture, CandidateRejected):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if len(reason) > _LONGEST_REASON:
            reason = f"{reason[:_LONGEST_REASON]}…"
        raise CandidateRejected(reason) from error
    if not isinstance(scores, Mapping) or not scores:
        raise TypeError(
            f"The scorer returned {scores!r} ({type(scores).__name__}), but the sampler needs a "
            "mapping from at least one name to a number. Return for example {'my_score': 0.5}."
        )
    return {name: _checked(name, value) for name, value in scores.items()}


def _checked(name: str, value: Any) -> float:
    if not is_score_name(name):
        raise ValueError(
            f"The scorer returned a score called {name!r}, but the trial attribute "
            f"'zerocost:{name}' is written by the package itself. Choose another name."
        )
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"The scorer returned {value!r} ({type(value).__name__}) as {name!r}, but a score "
            "must be a real number. Convert it with float() in the scorer."
        ) from None
    if not math.isfinite(number):
        raise CandidateRejected(f"the score {name!r} is {number}")
    return number


def check_scorer(scorer: Any) -> None:
    """Refuse what cannot be a scorer.

    Raises:
        TypeError: If it cannot be called.
    """
    if not callable(scorer):
        raise TypeError(
            f"scorer is {scorer!r}, but it must be callable: a ModelScorer, or a function "
            "from a trial to a mapping of names to numbers."
        )


def limits_of(scorer: Scorer) -> Limits | None:
    """Return the limits that the scorer checks, if it has any."""
    limits: Limits | None = getattr(scorer, "limits", None)
    return limits


def score_names_of(scorer: Scorer) -> tuple[str, ...] | None:
    """Return the names of the scores, or ``None`` where only a call would tell."""
    names = getattr(scorer, "score_names", None)
    return None if names is None else tuple(names)


def score_directions_of(scorer: Scorer) -> Mapping[str, str]:
    """Return the known directions, name → ``"maximize"`` or ``"minimize"``."""
    return dict(getattr(scorer, "score_directions", {}))
