"""What scores were computed by: stored with each trial and pool, so that none are mixed."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.records._attributes import PREFIX, is_score_name
from optuna_zerocost.records._long_values import read_json, write_json

__all__ = ["ScoredBy", "comparable", "is_scored_by", "mark", "other_scorers", "scored_by"]

_TRIAL_KEY = f"{PREFIX}scored_by"
_STUDY_KEY = f"{PREFIX}scorer:"

# What a scorer has that decides which architectures are scored, but not about their scores.
_NO_MATTER = "limits"


@dataclass(frozen=True)
class ScoredBy:
    """What scores depend on, each part by name with a digest, and the versions at the time."""

    determinants: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """The same for the same scores, and after a colon for the same versions."""
        parts = {name: d for name, d in self.determinants.items() if name != _NO_MATTER}
        return f"{_hashed(parts, 16)}:{_hashed(self.versions, 8)}"

    def differences(self, other: ScoredBy) -> list[str]:
        """Return the names of the parts by which the scores are others."""
        return _differing(self.determinants, other.determinants)

    def differing_versions(self, other: ScoredBy) -> list[str]:
        """Return the names of what had another version."""
        return _differing(self.versions, other.versions)

    def store(self, study: Study) -> None:
        """Store it in ``study``, whose trials and pools refer to it by its key."""
        storage, study_id = _compat.storage_of(study), _compat.study_id_of(study)
        key, known = f"{_STUDY_KEY}{self.key}", storage.get_study_system_attrs(study_id)
        if read_json(known, key) is None:
            value = {"determinants": dict(self.determinants), "versions": dict(self.versions)}
            write_json(lambda k, v: storage.set_study_system_attr(study_id, k, v), key, value)


def other_scorers(study: Study, own: ScoredBy) -> list[ScoredBy]:
    """Return what else is stored to have scored in ``study``, other versions included."""
    attributes = _compat.storage_of(study).get_study_system_attrs(_compat.study_id_of(study))
    # A long value has further pieces, under longer keys.
    keys = (k for k in attributes if k.startswith(_STUDY_KEY) and k.count(":") == 3)
    keys = (key for key in keys if key != f"{_STUDY_KEY}{own.key}")
    stored = (read_json(attributes, key) for key in keys)
    return [ScoredBy(**one) for one in stored if one is not None]


def mark(study: Study, trial: FrozenTrial, key: str) -> None:
    """Store by what a trial was scored, see :attr:`ScoredBy.key`."""
    if trial.system_attrs.get(_TRIAL_KEY) != key:
        trial_id = _compat.trial_id_of(trial)
        _compat.storage_of(study).set_trial_system_attr(trial_id, _TRIAL_KEY, key)


def is_scored_by(trial: FrozenTrial, key: str) -> bool:
    """Return whether a trial's scores are those of this key; of earlier versions' trials, yes."""
    stored = str(trial.system_attrs.get(_TRIAL_KEY, key))
    return stored.partition(":")[0] == key.partition(":")[0]


def comparable(trials: Iterable[FrozenTrial], key: str) -> list[FrozenTrial]:
    """Return the trials, those that another scorer scored without their scores."""
    return [trial if is_scored_by(trial, key) else _without_scores(trial) for trial in trials]


def scored_by(trial: FrozenTrial) -> str | None:
    """Return by what a trial was scored, if that is stored."""
    key: str | None = trial.system_attrs.get(_TRIAL_KEY)
    return key


def _without_scores(trial: FrozenTrial) -> FrozenTrial:
    trial = copy.copy(trial)
    # The storage in memory hands out live trials: read a copy.
    trial.user_attrs = {
        name: value
        for name, value in dict(trial.user_attrs).items()
        if not (name.startswith(PREFIX) and is_score_name(name.removeprefix(PREFIX)))
    }
    return trial


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    names = dict.fromkeys([*one, *other])
    return [n for n in names if n != _NO_MATTER and one.get(n) != other.get(n)]


def _hashed(parts: Mapping[str, str], length: int) -> str:
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()[:length]
