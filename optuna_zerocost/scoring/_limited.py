"""Limits without torch: a scorer that describes an architecture, checks it, and scores it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from optuna_zerocost.records import Candidate, digest_of, first_digest_of
from optuna_zerocost.scoring._limits import Limits
from optuna_zerocost.scoring._once import OnceScorer
from optuna_zerocost.scoring._scorer import BaseScorer, Scorer, as_scorer

__all__ = ["LimitedScorer"]


class LimitedScorer(OnceScorer[Any]):
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

    limits: Limits

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
        super().__init__(limits)
        self._maker = make
        self._scorer: BaseScorer | None = None if score is None else as_scorer(score)
        self.score_names = ()
        if self._scorer is not None:
            self.score_names = self._scorer.score_names
            self.score_directions = self._scorer.score_directions
            self.n_jobs = self._scorer.n_jobs
            self.timeout = self._scorer.timeout
            self.is_cheap = self._scorer.is_cheap

    def _make(self, trial: Any) -> Any:
        return trial, self._maker(trial)

    def _measure(self, made: Any) -> dict[str, float]:
        measured: dict[str, float] = {}
        for name, (function, _) in self.limits.custom.items():
            measured[name] = float(function(made[1]))
            self.limits.check(measured)
        return measured

    def _score(self, made: Any, measured: Mapping[str, float]) -> dict[str, float]:
        scores = {} if self._scorer is None else self._scorer(made[0])
        return {**scores, **measured}

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Keep measurements and scores of another process or run, with this fingerprint."""
        candidates = list(candidates)
        super().remember(candidates)
        if self._scorer is not None:
            measured = self.limits.custom
            for candidate in candidates:
                scores = {n: s for n, s in candidate.scores.items() if n not in measured}
                self._scorer.remember([dataclasses.replace(candidate, scores=scores)])

    def outline_of(self, trial: Any, /) -> Mapping[str, Any] | None:
        """Return what the scorer inside knows of the network."""
        return None if self._scorer is None else self._scorer.outline_of(trial)

    def prepare_worker(self) -> None:
        """Let the scorer inside prepare a process of its own."""
        if self._scorer is not None:
            self._scorer.prepare_worker()

    @functools.cached_property
    def determinants(self) -> Mapping[str, str]:
        """Digests of what makes an architecture, of the limits, and of what the scorer has."""
        inner = {} if self._scorer is None else self._scorer.determinants
        return {
            **inner,
            "maker": first_digest_of(self._maker),
            "limits": digest_of([self.limits.custom, inner.get("limits")]),
        }
