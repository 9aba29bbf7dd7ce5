"""Which architectures a study has met already."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.trial import FrozenTrial

from optuna_zerocost.samplers._attributes import PREFIX, read_json
from optuna_zerocost.scoring._candidate import ArchitectureKey, architecture_key

__all__ = ["CHOSEN_KEY", "KnownArchitectures", "is_undecided"]

# The architecture that a sampler has chosen for a trial, stored at once: the trial's parameters
# appear one by one, and only when the objective asks for them.
CHOSEN_KEY = f"{PREFIX}chosen"


def is_undecided(trial: FrozenTrial) -> bool:
    """Return whether ``trial`` runs, but has no architecture yet and none was enqueued for it."""
    return (
        not trial.state.is_finished()
        and not trial.params
        and "fixed_params" not in trial.system_attrs
        and CHOSEN_KEY not in trial.system_attrs
    )


class KnownArchitectures:
    """The architectures of ``trials``: finished, running and waiting ones, failed ones too.

    A trial has more parameters than its architecture, so a candidate is known if all of its
    parameters have the same values in one trial.
    """

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        self._assigned = [_assigned_values(trial) for trial in trials]
        self._index: dict[tuple[str, ...], set[tuple[str, ...]]] = {}

    def __contains__(self, key: ArchitectureKey) -> bool:
        names = tuple(name for name, _ in key)
        if names not in self._index:
            self._index[names] = {
                tuple(assigned[name] for name in names)
                for assigned in self._assigned
                if all(name in assigned for name in names)
            }
        return tuple(value for _, value in key) in self._index[names]


def _assigned_values(trial: FrozenTrial) -> dict[str, str]:
    assigned = dict(architecture_key(trial.params, trial.distributions))
    if not trial.state.is_finished():
        enqueued = trial.system_attrs.get("fixed_params", {})
        chosen = read_json(trial.system_attrs, CHOSEN_KEY) or {}
        assigned = {**{name: repr(v) for name, v in enqueued.items()}, **chosen, **assigned}
    return assigned
