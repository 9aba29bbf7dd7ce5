"""A study as a base sampler sees it while it draws candidates for one trial.

The base sampler may read the history many times and write to its trial's system attributes, but
only one of its candidates becomes the trial. So reads come from one snapshot, and writes go to a
buffer of which the winner's is kept.
"""

from __future__ import annotations

import copy
import functools
from collections import ChainMap
from collections.abc import Container, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_zerocost import _compat
from optuna_zerocost.records import (
    CONSTRAINT,
    History,
    KnownArchitectures,
    chosen_key,
    comparable,
)
from optuna_zerocost.scoring import StudyToRead

__all__ = ["Snapshot", "StudyView"]

# Larger than the number of any real trial: what is only being considered comes last.
_FIRST_CONSIDERED_NUMBER = 2**30


class _BufferedStorage:
    """Delegates to a storage, except for writes to the attributes of one trial."""

    def __init__(self, storage: BaseStorage, trial_id: int, stored: dict[str, Any]) -> None:
        self._wrapped = storage
        self._trial_id = trial_id
        self.buffer: dict[str, Any] = {}
        self.system_attrs: ChainMap[str, Any] = ChainMap(self.buffer, stored)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if trial_id == self._trial_id:
            self.buffer[key] = value
        else:
            self._wrapped.set_trial_system_attr(trial_id, key, value)

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        if trial_id == self._trial_id:
            return dict(self.system_attrs)
        return self._wrapped.get_trial_system_attrs(trial_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        trial = self._wrapped.get_trial(trial_id)
        if trial_id == self._trial_id:
            trial = copy.copy(trial)
            trial.system_attrs = dict(self.system_attrs)
        return trial


class Snapshot:
    """The contents of a study at the moment when the drawing for one trial begins.

    Its architectures are known ``by_network`` if the ranking goes by the scores alone. What is
    ``fixed`` for the trial is so by a ``PartialFixedSampler``. Scores that were not
    ``scored_by`` the scorer of this key are not in it.
    """

    def __init__(
        self,
        study: Study,
        trial: FrozenTrial,
        *,
        by_network: bool = False,
        fixed: Mapping[str, Any] | None = None,
        scored_by: str | None = None,
    ) -> None:
        self._scored_by = scored_by
        self._by_network = by_network
        self.fixed = dict(fixed or {})
        self.study = study
        self.trial = trial
        self.all_trials = self._shown(_compat.all_trials(study))
        # Read again: `before_trial` may have written after the trial was handed out.
        self.system_attrs = _compat.storage_of(study).get_trial_system_attrs(
            _compat.trial_id_of(trial)
        )
        # Hyperband's study filters by bracket in the public method, not in the private one.
        self.visible_trials = (
            self.all_trials
            if type(study) is Study
            else self._shown(study.get_trials(deepcopy=False))
        )
        self.considered: list[FrozenTrial] = []

    def now(self) -> Snapshot:
        """Return what the study holds by now."""
        return Snapshot(
            self.study,
            self.trial,
            by_network=self._by_network,
            fixed=self.fixed,
            scored_by=self._scored_by,
        )

    def _shown(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        if self._scored_by is not None:
            trials = comparable(trials, self._scored_by)
        return _compat.evened_constraints(trials, CONSTRAINT)

    @property
    def enqueued(self) -> dict[str, Any]:
        """Parameters of the trial that were enqueued."""
        enqueued: dict[str, Any] = self.system_attrs.get("fixed_params", {})
        return enqueued

    @functools.cached_property
    def study_to_read(self) -> StudyToRead:
        """The study as candidates see it."""
        return StudyToRead(self.study)

    @property
    def other_trials(self) -> list[FrozenTrial]:
        """All trials but the one that the drawing is for."""
        return [trial for trial in self.all_trials if trial.number != self.trial.number]

    @functools.cached_property
    def known(self) -> KnownArchitectures:
        """The architectures of the other trials."""
        return KnownArchitectures(self.other_trials, by_network=self._by_network)

    @property
    def places_before(self) -> int:
        """Number of the architectures of the trials before, but for what may be tried again."""
        places: set[object] = set()
        for trial in self.all_trials:
            if trial.number >= self.trial.number:
                continue
            key = chosen_key(trial)
            if trial.state != TrialState.FAIL or (key is not None and key in self.known):
                places.add(key or trial.number)
        return len(places)

    def history(self, score_directions: Mapping[str, str]) -> History:
        """Return the other trials as a ranking may know them."""
        return History.of(self.other_trials, self.study.directions, score_directions)

    def consider(self, params: dict[str, Any], distributions: dict[str, BaseDistribution]) -> None:
        """Show a candidate to the later draws as a running trial, so that they avoid it."""
        trial = create_trial(state=TrialState.RUNNING)
        # Not by arguments, which must be in range: what is enqueued need not be.
        trial.params, trial.distributions = dict(params), dict(distributions)
        trial.number = _FIRST_CONSIDERED_NUMBER + len(self.considered)
        trial._trial_id = -1 - len(self.considered)
        self.considered.append(trial)


class StudyView:
    """Duck-typed study for one draw; not a subclass, since Hyperband's study cannot be copied."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._storage = _BufferedStorage(
            _compat.storage_of(snapshot.study),
            _compat.trial_id_of(snapshot.trial),
            snapshot.system_attrs,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._snapshot.study, name)

    @property
    def written(self) -> dict[str, Any]:
        """The system attributes that the base sampler has set on the trial."""
        return self._storage.buffer

    def trial(self) -> FrozenTrial:
        """Return the trial as the base sampler is to see it; its parameters may be filled in."""
        trial = copy.copy(self._snapshot.trial)
        trial.params = dict(trial.params)
        trial.distributions = dict(trial.distributions)
        # Live, so that what the base sampler writes in one call is there in its next one.
        trial.system_attrs = self._storage.system_attrs
        return trial

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        return self._select(self._snapshot.all_trials, deepcopy, states)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials as :meth:`optuna.study.Study.get_trials` does."""
        return self._select(self._snapshot.visible_trials, deepcopy, states)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, copied."""
        return self.get_trials()

    def _select(
        self, trials: list[FrozenTrial], deepcopy: bool, states: Container[TrialState] | None
    ) -> list[FrozenTrial]:
        selected = [
            trial
            for trial in [*trials, *self._snapshot.considered]
            if states is None or trial.state in states
        ]
        return copy.deepcopy(selected) if deepcopy else selected
