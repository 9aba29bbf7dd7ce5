"""The protocol of scorers, and all that one may have."""

from __future__ import annotations

import abc
import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from optuna_zerocost.records import (
    Candidate,
    ScoredBy,
    digested,
    fingerprint_of,
)
from optuna_zerocost.scoring._limits import Limits

__all__ = ["BaseScorer", "DrawingTrial", "Scorer", "as_scorer"]


@runtime_checkable
class Scorer(Protocol):
    """Anything that turns a trial into named scores: a function, a table, a :class:`ModelScorer`.

    It is called with a trial-like object: ``suggest_*`` work as on an Optuna trial and the calls
    decide which parameters make up the architecture. It must be a function of these parameters
    alone. A score that is left out, or is not finite, is missing: the candidate is ranked by its
    other scores, or comes last. An exception rejects the candidate; raise
    ``optuna_zerocost.scoring.CandidateRejected`` to say so on purpose.

    A scorer may have any of the attributes of :class:`BaseScorer` besides.
    """

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Return name → score for the architecture that ``trial`` suggests; no score is ``{}``."""
        ...


class BaseScorer(abc.ABC):
    """A scorer with all that one may have, as it is for a plain function.

    Attributes:
        score_names: The names of the scores, so that mistakes in a ranking are found before the
            first trial; ``None`` where only a call would tell.
        score_directions: Name → ``"maximize"`` or ``"minimize"``. Default: maximize.
        limits: The limits that it checks before it scores. A candidate that is outside makes it
            raise ``OutsideLimits``; for one that is within, what was measured is among the scores
            that it returns.
        n_jobs: Number of processes that score a warmup, see ``joblib.Parallel``; ``None`` for
            what ``joblib.parallel_config`` says.
        timeout: Seconds that the scoring of one candidate may take; it then happens in a process
            apart, which may also die. ``None`` for no such process.
        is_cheap: Whether a few architectures may be scored again when a study is resumed, to see
            whether the scores are what they were.
    """

    score_names: Sequence[str] | None = None
    score_directions: Mapping[str, str] = {}  # noqa: RUF012
    limits: Limits | None = None
    n_jobs: int | None = 1
    timeout: float | None = None
    is_cheap: bool = True

    @abc.abstractmethod
    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Return name → score for the architecture that ``trial`` suggests."""

    @property
    def fingerprint(self) -> str:
        """A string that changes when the scores would.

        Workers whose scorers have the same one share one warmup. Default: the name of the class,
        and a digest of its code and of what the scorer holds when this is asked first.
        """
        return digested(self)

    @property
    def determinants(self) -> Mapping[str, str]:
        """What the scores depend on: a name for each part, and a digest of it."""
        return {"scorer": self.fingerprint}

    @property
    def scored_by(self) -> ScoredBy:
        """What is stored with scores: what they depend on, and versions."""
        return ScoredBy(self.determinants, _versions())

    def remember(self, candidates: Iterable[Candidate]) -> None:  # noqa: B027  (optional)
        """Take scores that another process or an earlier run computed."""

    def prepare_worker(self) -> None:  # noqa: B027  (optional)
        """Make ready to score in a process of its own."""

    def outline_of(self, trial: Any, /) -> Mapping[str, Any] | None:
        """Return what the network of ``trial`` is like, as ``report_network`` notes it.

        ``None`` where there is no network, or nothing to be said of it.
        """
        return None


class _AnyScorer(BaseScorer):
    """A user's scorer, which has some of the attributes or none."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        names = getattr(scorer, "score_names", None)
        self.score_names = None if names is None else tuple(names)
        self.score_directions = dict(getattr(scorer, "score_directions", {}))
        self.limits = getattr(scorer, "limits", None)
        self.n_jobs = getattr(scorer, "n_jobs", 1)
        self.timeout = getattr(scorer, "timeout", None)
        self.is_cheap = getattr(scorer, "is_cheap", True)

    def __repr__(self) -> str:
        return repr(self._scorer)

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        return self._scorer(trial)

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint_of(self._scorer)

    def remember(self, candidates: Iterable[Candidate]) -> None:
        if remember := getattr(self._scorer, "remember", None):
            remember(candidates)

    def outline_of(self, trial: Any, /) -> Mapping[str, Any] | None:
        outline_of = getattr(self._scorer, "outline_of", None)
        return outline_of(trial) if outline_of is not None else None

    def prepare_worker(self) -> None:
        if prepare := getattr(self._scorer, "prepare_worker", None):
            prepare()


def _versions() -> dict[str, str]:
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in ("torch", "optuna_zerocost"):
        if (version := getattr(sys.modules.get(name), "__version__", None)) is not None:
            found[name] = str(version)
    return found


def as_scorer(scorer: Scorer) -> BaseScorer:
    """Return ``scorer`` with all attributes that a scorer may have.

    Raises:
        TypeError: If it cannot be called.
    """
    if not callable(scorer):
        raise TypeError(
            f"scorer is {scorer!r}, but it must be callable: a ModelScorer, or a function "
            "from a trial to a mapping of names to numbers."
        )
    return scorer if isinstance(scorer, BaseScorer) else _AnyScorer(scorer)


class DrawingTrial:
    """A trial whose values are drawn while the scorer runs, as far as a scorer may ask of it.

    Attributes:
        around_draw: Entered around each draw of a value. A scorer that seeds the global random
            states sets it to let the draws happen outside of the seeded state.
        network: What tells the network from others, if the scorer builds one and sets it: a short
            text, the same for parameters that make the same network. It is to be set before
            :meth:`is_repeated` is asked.
        run: The run of a builder or an objective that the trial is in at the moment, if any.
    """

    network: str | None = None

    run: Any = None

    around_draw: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext

    def is_repeated(self) -> bool:
        """Return whether the architecture, fully drawn by now, needs no score any more.

        A scorer may then raise :class:`RepeatedArchitecture` and save the work.
        """
        return False
