"""What was trained, compared with what was scored for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.records import (
    NETWORK,
    TRAINED,
    Candidate,
    architecture_key,
    chosen_values,
)
from optuna_zerocost.samplers._notices import Notices
from optuna_zerocost.scoring import BaseScorer, TrialToScore

__all__ = ["Comparison"]

# A name, or a number of the trial's, that a network keeps makes another of it in each trial. Once
# that was found out so often, it is no longer looked for.
_MOST_HARMLESS = 3

_MOST_NAMED = 5


class Comparison:
    """Compares each trial with what it was chosen as, and has it said if they differ."""

    def __init__(self, scorer: BaseScorer, notices: Notices) -> None:
        self._scorer = scorer
        self._notices = notices
        self._chosen: dict[int, Candidate] = {}
        self._harmless = 0

    def expect(self, trial: FrozenTrial, candidate: Candidate) -> None:
        """Remember what ``trial`` is to be."""
        self._chosen[_compat.trial_id_of(trial)] = candidate

    def make(self, study: Study, trial: FrozenTrial, state: TrialState) -> None:
        """Compare a trial that has ended in ``state``."""
        trial_id = _compat.trial_id_of(trial)
        chosen = self._chosen.pop(trial_id, None)
        stored = _compat.storage_of(study).get_trial(trial_id)
        enqueued: Mapping[str, Any] = stored.system_attrs.get("fixed_params", {})
        given = {*enqueued, *_compat.fixed_parameters(study.sampler)}
        others = list(_other_parameters(stored, state, chosen, given))
        if others:
            self._notices.other_parameters(stored.number, _listed(others))
        elif (other := self._other_network(study, stored)) is not None:
            self._notices.other_network(stored.number, *other)

    def _other_network(
        self, study: Study, trial: FrozenTrial
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        """Return what is known of the network that was trained and of the scored one, if two."""
        trained, scored = trial.system_attrs.get(TRAINED), trial.user_attrs.get(NETWORK)
        # What follows is the batch, if each trial has its own.
        if trained is None or scored is None or scored.startswith(trained["network"]):
            return None
        if self._harmless >= _MOST_HARMLESS:
            return None
        try:
            own = self._scorer.outline_of(TrialToScore(trial.params, trial.number, study))
        except Exception:  # of the user's own code, which ran well before
            own = None
        if own is None or own["layers"] == trained["layers"]:
            self._harmless += 1
            return None
        return trained, own


def _other_parameters(
    trial: FrozenTrial, state: TrialState, candidate: Candidate | None, given: Collection[str]
) -> Iterator[str]:
    """Yield what the trial did otherwise than the architecture that it was to be."""
    chosen = chosen_values(trial) or {}
    values = dict(architecture_key(trial.params, trial.distributions))
    for name, value in chosen.items():
        if name in given:
            continue
        if name not in values:
            # One that ended early had no time to ask.
            if state == TrialState.COMPLETE:
                yield f"it never asked for {name!r}, which was scored as {value}"
            continue
        asked = trial.distributions[name]
        scored_as = None if candidate is None else candidate.distributions.get(name)
        if scored_as is not None and asked != scored_as:
            yield (
                f"it asked for {name!r} from {asked} and got {values[name]}, but {value} was "
                f"scored, from {scored_as}"
            )
        elif values[name] != value:
            yield f"{name!r} was {values[name]}, but {value} was scored"


def _listed(differences: list[str]) -> str:
    told = "; ".join(differences[:_MOST_NAMED])
    more = len(differences) - _MOST_NAMED
    return told if more <= 0 else f"{told}; and {more} more of the kind"
