"""Whether the scores that a study holds are those that its scorer would compute."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterable

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.records import ScoredBy, is_scored_by, other_scorers, stored_scores
from optuna_zerocost.samplers._judge import verdict_on
from optuna_zerocost.samplers._setup import Setup
from optuna_zerocost.scoring import TrialToScore

__all__ = ["OtherScorerError", "Provenance"]

_logger = logging.getLogger("optuna.zerocost")

# Trials that are scored again when a study is resumed, and how far their scores may be off.
_CHECKED, _TOLERANCE = 2, 1e-3

# What is measured, and another number every time.
_MEASURED = ("memory_mb", "latency_ms")

_WORDS = {
    "scorer": "the scorer's code or what it holds",
    "builder": "the builder's code or what it refers to",
    "maker": "the code that makes an architecture, or what it refers to",
    "loss": "the loss",
    "forward": "the forward function",
    "minibatch": "the minibatch",
    "proxies": "the proxies",
    "on_undefined": "on_undefined",
}


class OtherScorerError(RuntimeError):
    """A study holds scores of another scorer, and this is not to be."""


class Provenance:
    """Says once for each study if it holds scores of another scorer."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._checked: set[int] = set()
        # The threads of one process say it once.
        self._lock = threading.Lock()

    def check(self, study: Study) -> None:
        """Compare what is stored with the scorer, the first time; store what scores from now on.

        Raises:
            OtherScorerError: If scores are another scorer's, and this was asked for.
        """
        with self._lock:
            if _compat.study_id_of(study) not in self._checked:
                self._check(study)
                self._checked.add(_compat.study_id_of(study))

    def note(self, study: Study) -> None:
        """Store what scores a trial whose parameters were all given, and nothing was chosen."""
        if _compat.study_id_of(study) not in self._checked:
            self._setup.scorer.scored_by.store(study)

    def _check(self, study: Study) -> None:
        own = self._setup.scorer.scored_by
        if self._setup.other_scorer == "warn":
            # First: of two workers that begin at once, one at least sees the other.
            own.store(study)
        others = other_scorers(study, own)
        differing = [other for other in others if own.differences(other)]
        if self._setup.other_scorer == "raise":
            if differing:
                raise OtherScorerError(
                    f"{_found(study, own, differing)} Make the scorer as it was, begin another "
                    "study, or pass other_scorer='warn' to have new scores beside those."
                )
            own.store(study)
        if differing:
            warnings.warn(
                f"{_found(study, own, differing)} They stay stored, but are left out of account: "
                "new scores are computed beside them. Make the scorer as it was to use them, or "
                "pass other_scorer='raise' to have this end the run.",
                stacklevel=2,
            )
        elif others:
            _tell_of_versions(study, own, others)
        if self._setup.scorer.is_cheap and self._setup.scorer.score_names != ():
            self._check_sample(study, own)

    def _check_sample(self, study: Study, own: ScoredBy) -> None:
        """Score a few architectures again, and say so if their scores are others by now."""
        scored = [
            trial
            for trial in _compat.all_trials(study)
            if trial.state == TrialState.COMPLETE
            and is_scored_by(trial, own.key)
            and stored_scores(trial.user_attrs)
        ]
        for trial in (scored[0], scored[-1])[: len(scored)] if scored else ():
            if (difference := self._difference(study, trial)) is not None:
                warnings.warn(
                    f"Trial {trial.number} of the study {study.study_name!r} has {difference} "
                    "now. So what is stored and what will be scored cannot be compared. Either "
                    "something that the scorer depends on has changed (a file, an environment "
                    "variable, another device), or scores are not a function of the architecture "
                    "alone: seed what is random in them.",
                    stacklevel=3,
                )
                return

    def _difference(self, study: Study, trial: FrozenTrial) -> str | None:
        stored = stored_scores(trial.user_attrs)
        again = verdict_on(TrialToScore(trial.params, trial.number, study), self._setup.scorer)
        scores = again.candidate.scores if again.candidate is not None else {}
        for name in stored.keys() & scores.keys():
            if name not in _MEASURED and not _is_close(stored[name], scores[name]):
                return f"{name} {stored[name]:g} stored, but the scorer gives {scores[name]:g}"
        return None


def _is_close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=1e-9)


def _found(study: Study, own: ScoredBy, others: Iterable[ScoredBy]) -> str:
    # The one that is most alike is the one that this was meant to be.
    other = min(others, key=lambda one: len(own.differences(one)))
    parts = [_WORDS.get(name, name) for name in own.differences(other)]
    found = (
        f"The study {study.study_name!r} holds scores of another scorer: {', '.join(parts)} "
        f"{'differ' if len(parts) > 1 else 'is another'}."
    )
    if "Python" in own.differing_versions(other):
        found += (
            f" It ran with Python {other.versions['Python']}, and compiled code of that differs "
            f"from Python {own.versions['Python']}'s even where the source is the same."
        )
    return found


def _tell_of_versions(study: Study, own: ScoredBy, others: Iterable[ScoredBy]) -> None:
    told = {
        f"{name} {other.versions.get(name, 'none')} (now {own.versions.get(name, 'none')})"
        for other in others
        for name in own.differing_versions(other)
    }
    _logger.info(
        f"The study {study.study_name!r} holds scores that were computed with "
        f"{', '.join(sorted(told))}. They are used; the last digits may differ."
    )
