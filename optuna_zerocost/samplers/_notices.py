"""Notices: what a user is told once, where a study goes on all the same."""

from __future__ import annotations

import logging
import statistics
import warnings
from collections.abc import Iterable

from optuna.trial import FrozenTrial

from optuna_zerocost.records import CONSTRAINT, PREFIX, Pool
from optuna_zerocost.samplers._proposals import Choice, Fate
from optuna_zerocost.samplers._study_view import Snapshot
from optuna_zerocost.scoring import Limits

__all__ = ["Notices"]

# A child of Optuna's logger, so that optuna.logging.set_verbosity() reaches it.
_FEASIBLE = f"{PREFIX}feasible"

_logger = logging.getLogger("optuna.zerocost")


class Notices:
    """Remembers what was said already."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def pool_scored(self, pool: Pool, *, seconds: float) -> None:
        """Say that a warmup's pool is there."""
        _logger.info(
            f"The warmup's pool has {len(pool.candidates)} architectures; "
            f"{pool.rejected + pool.outside} of {pool.draws} draws were rejected. It took "
            f"{seconds:.1f} s."
        )

    def rejections(self, reasons: Iterable[str]) -> None:
        """Say once for each kind of reason that candidates are rejected; the rest is counted."""
        for reason in reasons:
            kind = reason.partition(":")[0]
            if reason and self._is_first(kind):
                _logger.warning(
                    f"A candidate was rejected because of {reason}. The search goes on without "
                    "it; further ones are counted in the trials' attribute 'zerocost:rejected'."
                )

    def all_rejected(self, where: str, rejected: int, reason: str) -> None:
        """Warn that there is no candidate at all."""
        warnings.warn(
            f"All {rejected} candidates of the {where} were rejected, the first because of "
            f"{reason}. The base sampler's own suggestion is used instead. Call the scorer with "
            "optuna.trial.FixedTrial({...}) to see the whole error.",
            stacklevel=2,
        )

    def not_scored(self, trial: FrozenTrial, reason: str) -> None:
        """Say, aloud the first time, that a trial that went well could not be scored."""
        level = logging.WARNING if self._is_first("unscored") else logging.DEBUG
        _logger.log(level, f"Trial {trial.number} has no scores: {reason}")

    def chosen(self, choice: Choice, snapshot: Snapshot, limits: Limits | None) -> None:
        """Tell what is bad about a choice: rejections, or that nothing else was left."""
        self.rejections(choice.reasons)
        if choice.taken.fate is Fate.REJECTED:
            self.all_rejected("move proposal", choice.tally.rejected, choice.taken.reason)
        elif choice.taken.fate is Fate.OUTSIDE and limits is not None:
            if self._is_first("limits"):
                _warn_of_limits(choice, snapshot, limits)

    def _is_first(self, kind: str) -> bool:
        is_first = kind not in self._said
        self._said.add(kind)
        return is_first


def _warn_of_limits(choice: Choice, snapshot: Snapshot, limits: Limits) -> None:
    attributes = [trial.user_attrs for trial in snapshot.other_trials]
    shares = [of_trial[_FEASIBLE] for of_trial in attributes if _FEASIBLE in of_trial]
    before = f", {statistics.mean(shares):.2%} on average in the trials before" if shares else ""
    bounds = ", ".join(map(limits.describe, limits.names))
    measured = ", ".join(f"{name} {v:g}" for name, v in choice.taken.architecture.scores.items())
    warnings.warn(
        f"No draw of {choice.tally.outside} for trial {snapshot.trial.number} is within the "
        f"limits ({bounds}): the feasible share seen is 0 %"
        f"{before}. The least violating architecture is used ({measured}; "
        f"{choice.taken.violation:.1%} outside), and the trial's constraint and attribute "
        f"'{CONSTRAINT}' say so, as for any further trials. Widen the limits or the search "
        "space, or allow more draws by Limits(draws=…).",
        stacklevel=2,
    )
