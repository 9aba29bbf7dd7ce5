"""Notices: what a user is told once, where a study goes on all the same."""

from __future__ import annotations

import logging
import statistics
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.records import CONSTRAINT, PREFIX, Pool
from optuna_zerocost.samplers._losses import Losses
from optuna_zerocost.samplers._proposals import Choice, Fate
from optuna_zerocost.samplers._study_view import Snapshot
from optuna_zerocost.scoring import Limits

__all__ = ["Notices"]

# A child of Optuna's logger, so that optuna.logging.set_verbosity() reaches it.
_FEASIBLE = f"{PREFIX}feasible"

_logger = logging.getLogger("optuna.zerocost")


class Notices:
    """Remembers what was said already.

    The ``score_names`` are those that the scorer should return, as far as it says so.
    """

    def __init__(self, score_names: Sequence[str] = ()) -> None:
        self._said: set[str] = set()
        # Study → what became of its draws, as far as they were made in this process.
        self._losses: defaultdict[int, Losses] = defaultdict(lambda: Losses(score_names))

    def pool_scored(self, study: Study, pool: Pool, *, seconds: float) -> None:
        """Say that a warmup's pool is there, and what is lost of it."""
        self._drawn(study, pool, [pool.reason])
        _logger.info(
            f"The warmup's pool has {len(pool.candidates)} architectures; "
            f"{pool.rejected + pool.outside} of {pool.draws} draws were rejected. It took "
            f"{seconds:.1f} s."
        )

    def _drawn(self, study: Study, drawn: Pool, reasons: Iterable[str]) -> None:
        """Say once that many draws are rejected or lack a score, and what these have in common.

        Each kind of reason for which a draw is rejected is told once before; the rest is counted.
        """
        losses = self._losses[_compat.study_id_of(study)]
        losses.add(drawn)
        if (words := losses.rejections()) and self._is_first("rejections"):
            self._said.update(map(_kind_of, reasons))
            _logger.warning(words)
        if words := losses.undefined():
            _logger.warning(words)
        for reason in reasons:
            if reason and self._is_first(_kind_of(reason)):
                _logger.warning(
                    f"A candidate was rejected because of {reason}. The search goes on without "
                    "it; further ones are counted in the trials' attribute 'zerocost:rejected'."
                )

    def all_rejected(self, where: str, rejected: int, reason: str) -> None:
        """Warn, the first time, that there is no candidate at all."""
        if not self._is_first(f"all rejected: {where}"):
            return
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

    def other_parameters(self, number: int, differences: str) -> None:
        """Warn, the first time, that a trial is not the architecture that was scored for it."""
        if self._is_first("other parameters"):
            warnings.warn(
                f"Trial {number} is not the architecture that was scored for it: {differences}. "
                "So its scores are those of another network. Let the objective ask for the same "
                "parameters as what the scorer builds networks with, by the same names and from "
                "the same distributions: call that function in the objective, or have the "
                "objective itself scored, by ModelScorer.from_objective and report_network. "
                "Further trials are not looked at aloud.",
                stacklevel=2,
            )

    def other_network(
        self, number: int, trained: Mapping[str, Any], scored: Mapping[str, Any]
    ) -> None:
        """Warn, the first time, that a trial trained another network than the scored one."""
        if self._is_first("other network"):
            one, other = (
                f"{network['class']} with {network['params']:,} parameters"
                for network in (trained, scored)
            )
            what = f"{one}; the scorer makes {other}" if one != other else f"{one}, others inside"
            warnings.warn(
                f"Trial {number} reported another network than the one that was scored for the "
                f"same parameters of the trial: {what}. So its scores are those of "
                "another network. Build it in the objective as the scorer does, or have the "
                "objective itself scored, by ModelScorer.from_objective. Further trials are not "
                "looked at aloud.",
                stacklevel=2,
            )

    def chosen(self, choice: Choice, snapshot: Snapshot, limits: Limits | None) -> None:
        """Tell what is bad about a choice: rejections, or that nothing else was left."""
        # The pool's draws were told of when it was scored.
        if choice.source != "warmup":
            self._drawn(snapshot.study, choice.tally, choice.reasons)
        if choice.taken.fate is Fate.REJECTED:
            self.all_rejected("move proposal", choice.tally.rejected, choice.taken.reason)
        elif choice.taken.fate is Fate.OUTSIDE and limits is not None:
            if self._is_first("limits"):
                _warn_of_limits(choice, snapshot, limits)

    def _is_first(self, kind: str) -> bool:
        is_first = kind not in self._said
        self._said.add(kind)
        return is_first


def _kind_of(reason: str) -> str:
    return reason.partition(":")[0]


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
