"""The scores that a study holds already, when one of its trials is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.records import (
    Candidate,
    History,
    architecture_of,
    chosen_values,
    comparable,
    scored_by,
    stored_pools,
)
from optuna_zerocost.scoring import BaseScorer

__all__ = ["Evidence"]

IsEnough = Callable[[Mapping[str, float]], bool]


def _is_whole(trial: FrozenTrial) -> bool:
    """Return whether the parameters of the architecture are all there, and no more to come."""
    chosen = chosen_values(trial)
    if chosen is None:
        return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return all(name in trial.params for name in chosen)


class Evidence:
    """The stored scores besides those of the trial itself; nothing is scored for it.

    They are those of the whole study, whatever bracket a pruner shows.
    """

    def __init__(
        self, study: Study, trial: FrozenTrial, scorer: BaseScorer, is_enough: IsEnough
    ) -> None:
        self._is_enough = is_enough
        # Where a sampler has scored the trial, by that one's; another scorer's are not compared.
        key = scored_by(trial) or scorer.scored_by.key
        others = comparable(_compat.all_trials(study), key)
        others = [other for other in others if other.number != trial.number]
        self.history = History(
            trials=[other for other in others if other.state.is_finished()],
            directions=(study.direction,),
            score_directions=scorer.score_directions,
        )
        self._trials = [(other, architecture_of(other)) for other in others if _is_whole(other)]
        # A sampler around another one shows it by this name.
        sampler = _compat.innermost(study.sampler)
        base_sampler = getattr(sampler, "base_sampler", sampler)
        fixed = _compat.fixed_parameters(base_sampler, within=sampler, study=study)
        # The largest, should there be several seeds.
        pools = stored_pools(study, scorer.fingerprint, fixed=fixed)
        self._pool = pools[0].candidates if pools else []

    def find(self, architecture: Candidate) -> Candidate | None:
        """Return the same architecture with scores, if there is one with enough of them.

        It may have fewer parameters than what is looked for: a builder that is given the same
        values asks for the same parameters.
        """
        assigned = dict(architecture.key)
        for other in [*self._pool, *(candidate for _, candidate in self._trials)]:
            is_same = all(assigned.get(name) == value for name, value in other.key)
            if is_same and self._is_enough(other.scores):
                return other
        return None

    def complete(self) -> tuple[list[Candidate], list[float]]:
        """Return the architectures of the complete trials with scores, and the trials' values."""
        complete = [
            (candidate, other.values[0])
            for other, candidate in self._trials
            if other.state == TrialState.COMPLETE and self._is_enough(candidate.scores)
        ]
        return [candidate for candidate, _ in complete], [value for _, value in complete]

    def seen(self) -> list[Candidate]:
        """Return what a trial is compared with, each architecture once.

        The pool is an even sample of the space, where trials gather in its better part, so a
        quantile of the pool stays what it is. A pool that has hardly begun counts less.
        """
        of_trials = {
            candidate.key: candidate
            for other, candidate in self._trials
            if other.state != TrialState.FAIL and self._is_enough(candidate.scores)
        }
        of_pool = [candidate for candidate in self._pool if self._is_enough(candidate.scores)]
        return max(of_pool, list(of_trials.values()), key=len)
