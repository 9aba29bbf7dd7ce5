"""Every private Optuna name that this package uses, in one place.

A private name may move in any release of Optuna. The suite runs against the oldest and the newest
supported release, so a change shows here first.
"""

from __future__ import annotations

import abc
import contextlib
import copy
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner
from optuna.samplers import BaseSampler, GPSampler, GridSampler, PartialFixedSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

__all__ = [
    "MAX_ATTRIBUTE_LENGTH",
    "HyperbandStandIn",
    "all_trials",
    "as_stored",
    "constraint_attributes",
    "constraints_of",
    "contains",
    "default_base_sampler",
    "draws_are_given",
    "draws_are_optima",
    "evened_constraints",
    "fail",
    "fixed_parameters",
    "innermost",
    "is_being_asked",
    "is_trial",
    "is_within",
    "quiet",
    "single_value",
    "storage_of",
    "study_id_of",
    "study_in_memory",
    "trial_id_of",
    "violation_of",
    "whole_study",
]

# Optuna's own samplers cut what they store into pieces of this length, for the sake of storages
# with short text columns.
MAX_ATTRIBUTE_LENGTH = 2045


def storage_of(study: Study) -> BaseStorage:
    """Return the storage of ``study``."""
    return study._storage


def study_id_of(study: Study) -> int:
    """Return the identifier of ``study`` in its storage."""
    return study._study_id


def trial_id_of(trial: FrozenTrial) -> int:
    """Return the identifier of ``trial`` in its storage."""
    return trial._trial_id


def is_trial(trial: object) -> bool:
    """Return whether ``trial`` is one that Optuna runs an objective with, whatever it claims."""
    return issubclass(type(trial), Trial)


def is_being_asked() -> bool:
    """Return whether the trial that a value is suggested for is still inside of ``Study.ask``.

    That is so with ``ask(fixed_distributions)``: nobody has the trial yet, so nobody can tell it.
    """
    suggest, ask = Trial._suggest.__code__, inspect.unwrap(Study.ask).__code__
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not suggest:
        frame = frame.f_back
    return frame is not None and frame.f_back is not None and frame.f_back.f_code is ask


def fail(study: Study, trial: FrozenTrial) -> None:
    """Let a running trial end in failure, without a word to its sampler."""
    study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def whole_study(study: Study) -> Study:
    """Return ``study``, or the one of which a pruner shows a bracket."""
    if type(study) is Study:
        return study
    return Study(study.study_name, study._storage, sampler=study.sampler, pruner=study.pruner)


def study_in_memory(
    name: str,
    directions: Sequence[StudyDirection],
    user_attrs: Mapping[str, Any],
    system_attrs: Mapping[str, Any],
) -> Study:
    """Return a study without trials, in a storage of its own."""
    storage = InMemoryStorage()
    verbosity = optuna.logging.get_verbosity()
    # It tells of each study that it makes.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study_id = storage.create_new_study(directions, name)
    finally:
        optuna.logging.set_verbosity(verbosity)
    for key, value in user_attrs.items():
        storage.set_study_user_attr(study_id, key, value)
    for key, value in system_attrs.items():
        storage.set_study_system_attr(study_id, key, value)
    return Study(name, storage)


def all_trials(study: Study) -> list[FrozenTrial]:
    """Return every trial of the whole study, whatever bracket a pruner shows to the sampler."""
    return list(study._storage.get_all_trials(study._study_id, deepcopy=False))


def constraints_of(trial: FrozenTrial) -> dict[str, float]:
    """Return the constraints of ``trial`` by name or place; each is met where it is at most 0."""
    # Since Optuna 5.0 a trial has constraints by name; before, samplers stored a list.
    constraints = getattr(trial, "constraints", None)
    if constraints is None:
        constraints = dict(enumerate(trial.system_attrs.get("constraints") or ()))
    return {str(name): float(value) for name, value in constraints.items()}


def violation_of(trial: FrozenTrial) -> float:
    """Return by how much ``trial`` violates its constraints: the sum of the positive ones."""
    return sum(value for value in constraints_of(trial).values() if value > 0)


# Optuna 5 stores one attribute for each named constraint, earlier versions a list of them all.
_HAS_NAMED_CONSTRAINTS = hasattr(Trial, "set_constraint")


def constraint_attributes(name: str, value: float) -> dict[str, Any]:
    """Return the system attributes by which a trial has the constraint ``name``: ``value`` ≤ 0.

    Where the constraint is met, there is none to store since Optuna 5. Before, a trial without
    constraints counted as one that violates them as soon as another had some.
    """
    if _HAS_NAMED_CONSTRAINTS:
        return {f"constraints:{name}": value} if value > 0 else {}
    return {"constraints": [value]}


def evened_constraints(trials: list[FrozenTrial], name: str) -> list[FrozenTrial]:
    """Return the trials, all with the constraint ``name`` if one of them has it.

    A trial without a constraint meets it, but ``GPSampler`` wants equally many in all trials.
    """
    key = f"constraints:{name}"
    if not any(key in trial.system_attrs for trial in trials):
        return trials
    evened = []
    for trial in trials:
        if key not in trial.system_attrs:
            trial = copy.copy(trial)
            trial.system_attrs = {**trial.system_attrs, key: 0.0}
        evened.append(trial)
    return evened


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether ``value``, as a user sees it, lies in ``distribution``."""
    return is_within(distribution, distribution.to_internal_repr(value))


def is_within(distribution: BaseDistribution, stored: float) -> bool:
    """Return whether a value, as a storage has it, lies in ``distribution``."""
    return bool(distribution._contains(stored))


def as_stored(distribution: BaseDistribution, value: Any) -> Any:
    """Return ``value``, as a user sees it, as it comes back from a storage.

    Raises:
        ValueError: If Optuna refuses it, as it refuses what is none of the choices. What is out
            of a range or off its grid it takes, and warns.
    """
    return distribution.to_external_repr(distribution.to_internal_repr(value))


def single_value(distribution: BaseDistribution) -> Any:
    """Return the only value of a ``distribution`` that has just one, as a user sees it."""
    from optuna.distributions import _get_single_value

    return _get_single_value(distribution)


def default_base_sampler(seed: int | None) -> BaseSampler:
    """Return Optuna's TPE with the options that proposing many candidates a trial needs.

    Without the constant liar its draws for one trial hardly differ from each other. It is the
    default since Optuna 5; before, the option is called experimental.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, constant_liar=True)


def _chain(sampler: BaseSampler) -> list[BaseSampler]:
    """Return ``sampler`` and what ``PartialFixedSampler`` has inside, outermost first."""
    chain = [sampler]
    while isinstance(chain[-1], PartialFixedSampler):
        chain.append(chain[-1]._base_sampler)
    return chain


def fixed_parameters(
    sampler: BaseSampler, *, within: BaseSampler | None = None, study: Study | None = None
) -> dict[str, Any]:
    """Return what ``PartialFixedSampler`` fixes, if ``sampler`` is one; the outermost wins.

    Where ``sampler`` is the base sampler ``within`` another one, so does what the ``study`` has
    around that one.
    """
    fixed: dict[str, Any] = {}
    around = None if study is None else getattr(study, "sampler", None)
    if within is not None and around is not None and innermost(around) is within:
        return {**fixed_parameters(sampler), **fixed_parameters(around)}
    for link in reversed(_chain(sampler)):
        if isinstance(link, PartialFixedSampler):
            fixed.update(link._fixed_params)
    return fixed


def innermost(sampler: BaseSampler) -> BaseSampler:
    """Return what ``PartialFixedSampler`` has inside, or ``sampler`` itself."""
    return _chain(sampler)[-1]


def draws_are_optima(sampler: BaseSampler) -> bool:
    """Return whether the sampler hands out the optimum of a model, the same again and again.

    It gives another only if it is told that somebody is evaluating the first.
    """
    return isinstance(innermost(sampler), GPSampler)


def draws_are_given(sampler: BaseSampler) -> bool:
    """Return whether a trial's point is fixed before any draw, so that draws cannot differ."""
    return isinstance(innermost(sampler), GridSampler)


@contextlib.contextmanager
def quiet(sampler: BaseSampler) -> Iterator[None]:
    """Silence the advice on independent sampling: once a trial is enough, once a draw floods."""
    switched = [s for s in _chain(sampler) if getattr(s, "_warn_independent_sampling", False)]
    _set_warn(switched, False)
    try:
        yield
    finally:
        _set_warn(switched, True)


def _set_warn(samplers: Sequence[BaseSampler], value: bool) -> None:
    for sampler in samplers:
        sampler._warn_independent_sampling = value  # type: ignore[attr-defined]


class HyperbandStandIn(HyperbandPruner):
    """A pruner around a Hyperband pruner, to which it leaves all questions about brackets.

    Before a trial is drawn, Optuna asks the study's pruner for the trial's bracket if that pruner
    is an instance of ``HyperbandPruner``, and shows the sampler this bracket alone.
    """

    @property
    @abc.abstractmethod
    def wrapped_pruner(self) -> BasePruner:
        """The Hyperband pruner."""

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        assert isinstance(self.wrapped_pruner, HyperbandPruner)
        return self.wrapped_pruner._get_bracket_id(study, trial)

    def _create_bracket_study(self, study: Study, bracket_id: int) -> Study:
        assert isinstance(self.wrapped_pruner, HyperbandPruner)
        return self.wrapped_pruner._create_bracket_study(study, bracket_id)
