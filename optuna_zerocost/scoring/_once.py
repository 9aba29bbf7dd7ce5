"""Scorers that look at an architecture once: limits before scores, and nothing computed again."""

from __future__ import annotations

import abc
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from optuna_zerocost.records import (
    ArchitectureKey,
    Candidate,
    architecture_key,
    digest_of,
    name_of,
)
from optuna_zerocost.scoring._limits import Limits, OutsideLimits
from optuna_zerocost.scoring._rejection import RepeatedArchitecture
from optuna_zerocost.scoring._scorer import BaseScorer, DrawingTrial

__all__ = ["OnceScorer"]

_Made = TypeVar("_Made")


class OnceScorer(BaseScorer, Generic[_Made]):
    """Makes what a trial describes, checks the limits, and scores what is within.

    Scores are kept in memory by architecture, and so is what was measured of one that is outside.
    Running the maker is what draws the parameters, so that alone is done every time.
    """

    def __init__(self, limits: Limits | None) -> None:
        self.limits = limits
        self._known: dict[ArchitectureKey, dict[str, float]] = {}
        self._outside: dict[ArchitectureKey, dict[str, float]] = {}
        self._networks: dict[ArchitectureKey, str] = {}

    @abc.abstractmethod
    def _make(self, trial: Any) -> _Made:
        """Return what ``trial`` describes."""

    @abc.abstractmethod
    def _measure(self, made: _Made) -> dict[str, float]:
        """Return what is limited, in the limits' order; raise as soon as a limit is broken."""

    @abc.abstractmethod
    def _score(self, made: _Made, measured: Mapping[str, float]) -> dict[str, float]:
        """Return the scores, and what was measured, in the order in which they are stored."""

    def _network(self, made: _Made) -> str | None:
        """Return what tells the network from others, as far as it is known by now."""
        return None

    def _spared(self, *, was_scored: bool) -> None:  # noqa: B027  (optional)
        """Take note that a call made something that was known, or need not be known."""

    def _found_outside(self, measured: Mapping[str, float]) -> None:  # noqa: B027  (optional)
        """Take note that a call ended at a limit."""

    @property
    @abc.abstractmethod
    def determinants(self) -> Mapping[str, str]:
        """What the scores depend on, and what is within: a name for each part, and a digest."""

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with any of the determinants."""
        return f"{name_of(self)}:{digest_of(dict(self.determinants))}"

    def __call__(self, trial: Any, /) -> dict[str, float]:
        """Make one architecture, check the limits, and score it.

        Args:
            trial: An Optuna trial, or anything with its ``suggest_*``, ``params`` and
                ``distributions``, e.g. ``optuna.trial.FixedTrial(params)``.

        Returns:
            Name → score, and what was measured for the limits.

        Raises:
            OutsideLimits: If the architecture is outside of the limits.
        """
        made = self._make(trial)
        key = architecture_key(trial.params, trial.distributions)
        self._tell_network(trial, key, made)
        if key in self._known:
            self._spared(was_scored=True)
            return dict(self._known[key])
        try:
            if self.limits is not None and key in self._outside:
                raise OutsideLimits(self.limits, self._outside[key])
            if isinstance(trial, DrawingTrial) and trial.is_repeated():
                self._spared(was_scored=False)
                raise RepeatedArchitecture
            measured = self._measure(made)
        except OutsideLimits as error:
            self._outside[key] = error.measured
            self._found_outside(error.measured)
            raise
        # Measuring may have drawn anew.
        key = architecture_key(trial.params, trial.distributions)
        self._known[key] = self._score(made, measured)
        self._tell_network(trial, key, made)
        return dict(self._known[key])

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Keep scores of another process or an earlier run, of a scorer with this fingerprint."""
        for candidate in candidates:
            self._known.setdefault(candidate.key, dict(candidate.scores))
            if candidate.network is not None:
                self._networks.setdefault(candidate.key, candidate.network)

    def _tell_network(self, trial: Any, key: ArchitectureKey, made: _Made) -> None:
        """Set the trial's network, unless a scorer inside has done so."""
        if not isinstance(trial, DrawingTrial):
            return
        if (network := self._network(made)) is not None:
            trial.network = network
        if trial.network is not None:
            self._networks[key] = trial.network
        else:
            trial.network = self._networks.get(key)
