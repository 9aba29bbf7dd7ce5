"""Candidates: architectures that were scored, and the trials that they are ranked against."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost.records._trial_order import sign_of

__all__ = ["ArchitectureKey", "Candidate", "History", "agree", "architecture_key"]

ArchitectureKey = tuple[tuple[str, str], ...]


def architecture_key(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> ArchitectureKey:
    """Return what tells one architecture from another: its parameters' names and values.

    Two samplers may hand out one value as different types (a NumPy float and a Python float), so
    values are first brought into the form in which a storage returns them.
    """
    return tuple(
        (name, repr(_as_stored(value, distributions[name])))
        for name, value in sorted(params.items())
    )


def agree(some: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether names that are in both have the same values."""
    return all(some.get(name, value) == value for name, value in others.items())


def _as_stored(value: Any, distribution: BaseDistribution) -> Any:
    """Return ``value`` as a storage would; the usual types, which come often, need no work."""
    if isinstance(distribution, CategoricalDistribution):
        return value
    if type(value) is (int if isinstance(distribution, IntDistribution) else float):
        return value
    return distribution.to_external_repr(distribution.to_internal_repr(value))


@dataclass(frozen=True)
class Candidate:
    """What was proposed, and perhaps scored, but not trained: an architecture or a configuration.

    Attributes:
        params: The parameters that the builder named, values as a user sees them.
        distributions: For each parameter the distribution it was drawn from.
        scores: Name → score, as the scorer returned them: finite floats, not yet turned by their
            direction. A score that is undefined for the architecture is absent.
        network: What tells the network from others, where the scorer builds one and says so.
        by_network: Whether another architecture with the same network would be the same again.
        hyperparameters: Parameters besides the architecture's that were chosen with it, if any.
        hyperparameter_distributions: For each of these the distribution.
    """

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    scores: Mapping[str, float]
    network: str | None = None
    by_network: bool = False
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    hyperparameter_distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)

    @property
    def configuration(self) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """All parameters, the architecture's first, and their distributions."""
        distributions = {**self.distributions, **self.hyperparameter_distributions}
        return {**self.params, **self.hyperparameters}, distributions

    @functools.cached_property
    def configuration_key(self) -> ArchitectureKey:
        """The names and values of all parameters."""
        return architecture_key(*self.configuration) if self.hyperparameters else self.key

    @functools.cached_property
    def key(self) -> ArchitectureKey:
        """The parameters' names and values, which tell this architecture from another."""
        return architecture_key(self.params, self.distributions)


@dataclass(frozen=True)
class History:
    """The trials of a study, as far as a ranking may know them.

    Attributes:
        trials: The study's finished trials (complete, pruned and failed), oldest first.
        directions: One direction for each objective of the study.
        running: The trials that other workers are at, as far as they are known.
        score_directions: Name → ``"maximize"`` or ``"minimize"``, for the scores whose direction
            is known; a score that is not named here is better when higher.
    """

    trials: Sequence[FrozenTrial] = ()
    directions: Sequence[StudyDirection] = (StudyDirection.MAXIMIZE,)
    score_directions: Mapping[str, str] = field(default_factory=dict)
    running: Sequence[FrozenTrial] = ()

    @classmethod
    def of(
        cls,
        trials: Iterable[FrozenTrial],
        directions: Sequence[StudyDirection],
        score_directions: Mapping[str, str],
    ) -> History:
        """Return the history that these trials of a study make up."""
        trials = list(trials)
        return cls(
            trials=[trial for trial in trials if trial.state.is_finished()],
            directions=tuple(directions),
            score_directions=dict(score_directions),
            running=[trial for trial in trials if trial.state == TrialState.RUNNING],
        )

    def score_sign(self, name: str) -> float:
        """Return what turns a score so that higher is better: 1 or -1."""
        return -1.0 if self.score_directions.get(name) == "minimize" else 1.0

    def value_sign(self, objective: int = 0) -> float:
        """Return what turns an objective's values so that higher is better: 1 or -1."""
        return sign_of(self.directions[objective])
