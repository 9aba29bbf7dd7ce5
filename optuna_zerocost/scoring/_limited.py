"""Limits without torch: a scorer that describes an architecture, checks it, and scores it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from optuna_zerocost.records import (
    ArchitectureKey,
    Candidate,
    architecture_key,
    fingerprint_of,
    qualified_name,
)
from optuna_zerocost.scoring._limits import Limits
from optuna_zerocost.scoring._scorer import DrawingTrial, RepeatedArchitecture, Scorer

__all__ = ["LimitedScorer"]


class LimitedScorer:
    """Checks limits of any architecture before it is scored, without torch.

    For tables, analytic cost models and other frameworks. The sampler draws an architecture again
    that is outside; what was measured is returned with the scores, and kept in memory.

    Args:
        make: Makes of a trial whatever the functions of the limits are to be given: a tuple of
            operations, a configuration, a network. The parameters that it asks for make up the
            architecture.
        limits: Limits with ``custom`` functions alone, each called with what ``make`` returned.
        score: Turns a trial into named scores; called only for what is within. ``None`` for a
            search that is only limited.

    Raises:
        ValueError: If ``limits`` has a limit that needs a network of torch.
        TypeError: If an argument is of the wrong kind.

    Example::

        LimitedScorer(
            nasbench201.suggest_architecture,
            Limits(custom={"size": (nasbench201.count_parameters, 5e5)}),
        )
    """

    def __init__(
        self, make: Callable[[Any], Any], limits: Limits, *, score: Scorer | None = None
    ) -> None:
        if not callable(make) or not (score is None or callable(score)):
            raise TypeError(
                f"make is {make!r} and score is {score!r}, but both must be functions of a trial."
            )
        if not isinstance(limits, Limits):
            raise TypeError(f"limits is {limits!r}, but it must be Limits(custom={{…}}).")
        if needy := [name for name in limits.names if name not in limits.custom]:
            raise ValueError(
                f"{needy} can be measured only of a network of torch. Use ModelScorer, or pass a "
                "function of your own in Limits(custom={…})."
            )
        self.limits = limits
        self._make = make
        self._score = score
        self._measured: dict[ArchitectureKey, dict[str, float]] = {}
        self.score_directions = dict(getattr(score, "score_directions", {}))
        self.n_jobs = getattr(score, "n_jobs", 1)
        if score is None or hasattr(score, "score_names"):
            self.score_names = tuple(getattr(score, "score_names", ()))

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Return the scores, and what was measured.

        Raises:
            OutsideLimits: If the architecture is outside of the limits.
        """
        architecture = self._make(trial)
        if isinstance(trial, DrawingTrial) and trial.is_repeated():
            raise RepeatedArchitecture
        key = architecture_key(trial.params, trial.distributions)
        measured = self._measured.setdefault(key, {})
        for name, (function, _) in self.limits.custom.items():
            if name not in measured:
                measured[name] = float(function(architecture))
            self.limits.check(measured)
        scores: Mapping[str, float] = {} if self._score is None else self._score(trial)
        return {**scores, **measured}

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Keep what was measured and scored elsewhere, by another process or in an earlier run.

        Args:
            candidates: Scored by a scorer with the same fingerprint.
        """
        inner: list[Candidate] = []
        for candidate in candidates:
            scores = dict(candidate.scores)
            measured = {name: scores.pop(name) for name in self.limits.names if name in scores}
            self._measured.setdefault(candidate.key, {}).update(measured)
            inner.append(Candidate(candidate.params, candidate.distributions, scores))
        if remember := getattr(self._score, "remember", None):
            remember(inner)

    def prepare_worker(self) -> None:
        """Let the scorer inside prepare a process of its own."""
        if prepare := getattr(self._score, "prepare_worker", None):
            prepare()

    @property
    def fingerprint(self) -> str:
        """Changes when what is within, or its scores, would."""
        functions = [
            (name, qualified_name(function), limit)
            for name, (function, limit) in self.limits.custom.items()
        ]
        inner = None if self._score is None else fingerprint_of(self._score)
        return f"{qualified_name(self._make)};{functions!r};{inner}"
