"""Which architectures a study has met already."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.samplers._attributes import PREFIX, read_json, write_json
from optuna_zerocost.samplers._study_view import Snapshot
from optuna_zerocost.scoring._candidate import ArchitectureKey, Candidate, architecture_key

__all__ = ["KnownArchitectures", "choose", "claim_best"]

# The architecture that a sampler has chosen for a trial, stored at once: the trial's parameters
# appear one by one, and only when the objective asks for them.
CHOSEN_KEY = f"{PREFIX}chosen"


# A failure may be a bug that was mended, or a worker that was killed; a second one is believed.
_FAILURES = 2


# Longer than a worker takes from reading the trials to storing its choice.
_SETTLING_SECONDS = 0.2


def choose(study: Study, trial: FrozenTrial, candidate: Candidate) -> None:
    """Store that ``trial`` is to be ``candidate``."""
    storage, trial_id = _compat.storage_of(study), _compat.trial_id_of(trial)

    def write(key: str, value: str) -> None:
        storage.set_trial_system_attr(trial_id, key, value)

    write_json(write, CHOSEN_KEY, dict(candidate.key))


def claim_best(snapshot: Snapshot, candidates: Sequence[Candidate]) -> Candidate | None:
    """Choose for a trial the first candidate that no other trial has; store the choice.

    No storage has a lock. So where other workers may be choosing at the same moment, a choice is
    stored, given time to settle, and compared with theirs (Fischer's algorithm): of several trials
    with one candidate the first in number keeps it, the next ones take the next candidates. If the
    storage is slower than that, an architecture is trained twice, which is all that can happen.

    Args:
        snapshot: The study and the trial.
        candidates: Best first, each architecture once.

    Returns:
        The choice, or ``None`` if there is none left.
    """
    study, trial = snapshot.study, snapshot.trial
    is_contested = _compat.is_shared(study) and any(map(_is_undecided, snapshot.other_trials))
    position = 0
    while True:
        known = KnownArchitectures(snapshot.other_trials)
        left = (candidate for candidate in candidates if candidate.key not in known)
        candidate = next(itertools.islice(left, position, None), None)
        if candidate is None:
            return None
        choose(study, trial, candidate)
        if not is_contested:
            return candidate
        time.sleep(_SETTLING_SECONDS)
        snapshot = Snapshot(study, trial)
        rivals = [t.number for t in snapshot.other_trials if _chosen_key(t) == candidate.key]
        position = sum(number < trial.number for number in rivals)
        if position == 0:
            return candidate
        # The first of the rivals keeps what all of them have chosen; it is known from now on.
        position -= 1


def _is_undecided(trial: FrozenTrial) -> bool:
    """Return whether ``trial`` runs, and as far as we know has no architecture yet."""
    return (
        not trial.state.is_finished()
        and "fixed_params" not in trial.system_attrs
        and CHOSEN_KEY not in trial.system_attrs
    )


def _chosen_key(trial: FrozenTrial) -> ArchitectureKey | None:
    """Return the architecture that a sampler of ours has chosen for ``trial``, if it has."""
    chosen = read_json(trial.system_attrs, CHOSEN_KEY)
    return None if chosen is None else tuple(sorted(chosen.items()))


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
    # The storage in memory hands out live trials: take what is there now.
    assigned = dict(architecture_key(dict(trial.params), dict(trial.distributions)))
    if not trial.state.is_finished():
        enqueued = trial.system_attrs.get("fixed_params", {})
        chosen = read_json(trial.system_attrs, CHOSEN_KEY) or {}
        assigned = {**{name: repr(v) for name, v in enqueued.items()}, **chosen, **assigned}
    return assigned
