"""Which architectures a study has met already."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.records._attributes import PREFIX, read_json, write_json
from optuna_zerocost.records._candidate import ArchitectureKey, Candidate, architecture_key

__all__ = ["KnownArchitectures", "choose", "chosen_key", "chosen_values", "claim_best"]

# The architecture that a sampler has chosen for a trial, stored at once: the trial's parameters
# appear one by one, and only when the objective asks for them.
CHOSEN_KEY = f"{PREFIX}chosen"

# A failure may be a bug that was mended, or a worker that was killed; a second one is believed.
_FAILURES = 2

# Seconds for which an earlier trial waits for a later one with the same choice to move on.
_PATIENCE = 2.0

# After so many choices that others had made as well, the last one is kept all the same.
_MOST_ROUNDS = 100


def choose(study: Study, trial: FrozenTrial, candidate: Candidate) -> None:
    """Store that ``trial`` is to be ``candidate``."""
    storage, trial_id = _compat.storage_of(study), _compat.trial_id_of(trial)

    def write(key: str, value: str) -> None:
        storage.set_trial_system_attr(trial_id, key, value)

    write_json(write, CHOSEN_KEY, dict(candidate.key))


def claim_best(
    study: Study, trial: FrozenTrial, candidates: Sequence[Candidate]
) -> Candidate | None:
    """Choose for ``trial`` the first candidate that no other trial has; store the choice.

    No storage has a lock. So a choice is stored first and compared with those of the other trials
    afterwards, and a trial keeps only what no other has chosen: of two workers that choose the
    same at the same moment, one at least sees the other. The later in number moves on; the earlier
    gives it time to do so, and moves on itself only if the other had been there before.

    Args:
        study: The study, or the part of it that Hyperband shows.
        trial: The trial to choose for.
        candidates: Best first, each architecture once.

    Returns:
        The choice, or ``None`` if there is none left.
    """
    position, candidate = 0, None
    for _ in range(_MOST_ROUNDS):
        known = KnownArchitectures(_other_trials(study, trial))
        left = (candidate for candidate in candidates if candidate.key not in known)
        candidate = next(itertools.islice(left, position, None), None)
        if candidate is None:
            return None
        choose(study, trial, candidate)
        rivals = _rivals(study, trial, candidate)
        patience = _PATIENCE
        while rivals and min(rivals) > trial.number and patience > 0:
            time.sleep(_PATIENCE / 20)
            patience -= _PATIENCE / 20
            rivals = _rivals(study, trial, candidate)
        if not rivals:
            return candidate
        # One of the rivals keeps what all of them have chosen; the others share what comes next.
        position = max(0, sum(number < trial.number for number in rivals) - 1)
    return candidate


def _rivals(study: Study, trial: FrozenTrial, candidate: Candidate) -> list[int]:
    """Return the numbers of the other trials that are to be ``candidate``."""
    return [
        other.number
        for other in _other_trials(study, trial)
        if other.state != TrialState.FAIL and chosen_key(other) == candidate.key
    ]


def _other_trials(study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
    return [other for other in _compat.all_trials(study) if other.number != trial.number]


def chosen_key(trial: FrozenTrial) -> ArchitectureKey | None:
    """Return the architecture that a sampler of ours has chosen for ``trial``, if it has."""
    chosen = chosen_values(trial)
    return None if chosen is None else tuple(sorted(chosen.items()))


def chosen_values(trial: FrozenTrial) -> dict[str, str] | None:
    """Return the same as name → value, as in an :data:`ArchitectureKey`."""
    chosen: dict[str, str] | None = read_json(trial.system_attrs, CHOSEN_KEY)
    return chosen


class KnownArchitectures:
    """The architectures of ``trials``: evaluated, running or waiting, or failed twice.

    A trial has more parameters than its architecture, so a candidate is known if all of its
    parameters have the same values in one trial.
    """

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        self._assigned: list[tuple[dict[str, str], int]] = [
            (_assigned_values(trial), 1 if trial.state == TrialState.FAIL else _FAILURES)
            for trial in trials
        ]
        self._index: dict[tuple[str, ...], Counter[tuple[str, ...]]] = {}

    def __contains__(self, key: ArchitectureKey) -> bool:
        names = tuple(name for name, _ in key)
        if names not in self._index:
            counts: Counter[tuple[str, ...]] = Counter()
            for assigned, weight in self._assigned:
                if all(name in assigned for name in names):
                    counts[tuple(assigned[name] for name in names)] += weight
            self._index[names] = counts
        return self._index[names][tuple(value for _, value in key)] >= _FAILURES


def _assigned_values(trial: FrozenTrial) -> dict[str, str]:
    # What was chosen counts, whether or not the objective asked for it. The storage in memory
    # hands out live trials: take what is there now.
    assigned = dict(architecture_key(dict(trial.params), dict(trial.distributions)))
    enqueued = trial.system_attrs.get("fixed_params", {})
    chosen = chosen_values(trial) or {}
    return {**{name: repr(v) for name, v in enqueued.items()}, **chosen, **assigned}
