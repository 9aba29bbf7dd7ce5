"""Trials that stand in for one of a study's, while the network of its parameters is scored."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, NoReturn

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.study import Study
from optuna.trial import FixedTrial, Trial

from optuna_zerocost import _compat
from optuna_zerocost.records import PREFIX
from optuna_zerocost.scoring._rejection import CandidateRejected
from optuna_zerocost.scoring._scorer import DrawingTrial

__all__ = ["StandInTrial", "StudyToRead", "TrialToScore"]

# What a study's methods with these names do would outlast the candidate.
_IGNORED = frozenset(
    {
        "add_trial",
        "add_trials",
        "enqueue_trial",
        "set_metric_names",
        "set_system_attr",
        "set_user_attr",
        "stop",
    }
)
# And these have to return something.
_REFUSED = frozenset({"ask", "optimize", "tell"})


class StudyToRead:
    """A study as a builder may see it: all can be read, and what is written goes nowhere.

    In another process it has the study's name, directions and attributes, and no trials: no
    storage need be within reach there.
    """

    def __init__(self, study: Study) -> None:
        self._whole = _compat.whole_study(study)

    # Who checks its class is told that of a study, as of a mock that has a specification.
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Study

    def __getattr__(self, name: str) -> Any:
        if name in _IGNORED:
            return _nothing
        if name in _REFUSED:
            return _refused(name)
        found = getattr(self._whole, name)
        return _StorageToRead(found) if name == "_storage" else found

    def __reduce__(self) -> Any:
        study = self._whole
        storage, study_id = _compat.storage_of(study), _compat.study_id_of(study)
        # A warmup's pool is stored with the study, and may be large.
        system_attrs = {
            name: value
            for name, value in storage.get_study_system_attrs(study_id).items()
            if not name.startswith(PREFIX)
        }
        return _copied, (study.study_name, study.directions, study.user_attrs, system_attrs)


class _StorageToRead:
    def __init__(self, storage: Any) -> None:
        self._whole = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name) if name.startswith("get_") else _nothing


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def _refused(name: str) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise CandidateRejected(
            f"trial.study.{name} was called for a candidate, which is no trial of the study and "
            "can only read it"
        )

    return refuse


def _copied(*attributes: Any) -> StudyToRead:
    return StudyToRead(_compat.study_in_memory(*attributes))


class StandInTrial(FixedTrial, DrawingTrial):
    """A trial that a builder or an objective cannot tell from one of Optuna's.

    It has a study to read, if there is one, and forgets with the candidate whatever is reported,
    or set as an attribute or constraint. A copy is the trial itself.
    """

    def __init__(
        self, params: dict[str, Any], number: int = 0, study: StudyToRead | None = None
    ) -> None:
        super().__init__(params, number=max(number, 0))
        self._study = study
        self._trial_id = -1

    # Who checks its class, as annotations that are enforced do, is told that of a trial.
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Trial

    def __copy__(self) -> StandInTrial:
        return self

    def __deepcopy__(self, memo: Any) -> StandInTrial:
        # Libraries copy what an estimator is made with, and what is asked counts for this trial.
        return self

    @property
    def study(self) -> StudyToRead:
        """The study that the candidate is for, to be read."""
        if self._study is None:
            raise AttributeError(
                "this trial has no study: the scorer was called by hand, or without one. "
                "Let the builder do without trial.study there, or run it in a study."
            )
        return self._study

    @property
    def storage(self) -> Any:
        """The study's storage, to be read."""
        return self.study._storage

    @property
    def relative_params(self) -> dict[str, Any]:
        """What a sampler has suggested for the parameters together; here nothing."""
        return {}

    @property
    def relative_search_space(self) -> dict[str, BaseDistribution]:
        """The distributions of the relative parameters."""
        return {}

    def report(self, value: float, step: int) -> None:
        """Forget it."""
        self._go_on()

    def should_prune(self) -> bool:
        """Return ``False``."""
        self._go_on()
        return False

    def set_constraint(self, key: str, value: float) -> None:
        """Keep a constraint's value for the time of the scoring."""
        # A network may be built twice, and then sets it twice.
        self._system_attrs.pop(f"constraints:{key}", None)
        super().set_constraint(key, value)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        self._go_on()
        return super()._suggest(name, distribution)

    def _go_on(self) -> None:
        """End an objective that went on although its network is there."""
        if self.run is not None:
            self.run.go_on()


class DrawnTrial(StandInTrial):
    """A trial whose values are drawn when they are asked for, each once."""

    @abc.abstractmethod
    def _value_of(self, name: str, distribution: BaseDistribution) -> Any:
        """Return a value for what was not asked for before."""

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        self._go_on()
        if name in self._distributions:
            check_distribution_compatibility(self._distributions[name], distribution)
            return self._suggested_params[name]
        value = self._value_of(name, distribution)
        self._suggested_params[name], self._distributions[name] = value, distribution
        return value


class TrialToScore(StandInTrial):
    """A trial with fixed parameters that keeps what the scorer says of the network.

    What is out of range was enqueued or fixed by the user, to whom Optuna has said so.
    """

    def __init__(
        self, params: Mapping[str, Any], number: int = 0, study: Study | None = None
    ) -> None:
        super().__init__(dict(params), number, None if study is None else StudyToRead(study))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        self._go_on()
        if name not in self._params and distribution.single():
            self._params[name] = _compat.single_value(distribution)
        if name not in self._params:
            raise CandidateRejected(
                f"the scorer asks for {name!r}, which the trial does not have; it has "
                f"{', '.join(map(repr, self._params)) or 'no parameters'}. Give a parameter the "
                "same name in the objective and in what the scorer builds networks with"
            )
        if name in self._distributions:
            check_distribution_compatibility(self._distributions[name], distribution)
        value = _compat.as_stored(distribution, self._params[name])
        self._suggested_params[name], self._distributions[name] = value, distribution
        return value
