"""The pruner that stops a trial before its first epoch, by scores of its untrained network."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence

from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat
from optuna_zerocost.pruners._evidence import Evidence
from optuna_zerocost.pruners._verdict import Criterion, Verdict, merits_of, share_not_better
from optuna_zerocost.rankings import BaseRanking, ByScore, OnlyScore, Ranking, as_ranking, spearman
from optuna_zerocost.records import (
    PREFIX,
    Candidate,
    architecture_of,
    choose,
    chosen_values,
    mark,
    oriented_scores,
    scored_by,
    set_user_attributes,
)
from optuna_zerocost.scoring import (
    CandidateRejected,
    Scorer,
    TrialToScore,
    as_scorer,
    evaluate,
)

__all__ = ["ZeroCostPruner"]

_logger = logging.getLogger("optuna.zerocost")

_VERDICT_KEY = f"{PREFIX}verdict"


class ZeroCostPruner(BasePruner):
    """Prunes trials whose untrained networks score badly, and asks another pruner about the rest.

    For studies whose trials do not come through
    :class:`~optuna_zerocost.samplers.ZeroCostSampler`: another sampler, enqueued trials, other
    workers. The first ``trial.should_prune()`` judges a trial, so call it once before the first
    epoch::

        model = build_model(trial)
        if trial.should_prune():
            raise optuna.TrialPruned()

    A trial is judged once. One that is kept is the wrapped pruner's from then on, which is asked
    as if this one was not there: its reports, rungs and brackets stay its own. With a
    ``HyperbandPruner`` inside, samplers see the trials of their bracket only, as under Hyperband
    itself.

    The scorer is run with the trial's own parameters. It must ask for no others, and for these in
    the ranges that the objective does; a trial for which it raises is kept, with a warning. Scores
    that are stored already, with this or another trial or in the warmup's pool, are not computed
    again. Scores are compared by name: a pruner beside a sampler needs the same scorer.

    Scores prove themselves first: nothing is pruned before ``min_trials`` complete trials have
    scores, nor while the rank correlation (Spearman's ρ) of these scores with the objective, both
    turned so that higher is better, is not above ``min_correlation``. Both are over complete
    trials only, since values of trials that were pruned at different steps cannot be compared.
    Under a pruner that completes few trials, such as Hyperband, it takes longer to begin. And once
    it has begun, the worst are no longer among the complete, which tends to lower ρ.

    Each judged trial gets user attributes: ``zerocost:<score>`` for every score,
    ``zerocost:verdict`` (``"pruned"``, ``"kept"``, ``"too few trials"``, ``"no correlation"``,
    ``"not scored"``), ``zerocost:verdict_reason`` (a sentence), ``zerocost:verdict_trials``
    (complete trials with scores), ``zerocost:verdict_correlation`` (their ρ, where defined) and
    ``zerocost:verdict_share`` (the share of the compared architectures that are not better).

    Args:
        scorer: Turns a trial into named scores, e.g. a
            :class:`~optuna_zerocost.scoring.ModelScorer`.
        quantile: Prune below this quantile, between 0 and 1, of the scores that were seen: those
            of the study's trials, or of the pool that a sampler with this scorer has stored for
            its warmup, whichever are more. Each architecture counts once; equal scores are not
            below.
        threshold: Or prune below this score; above it, if the score is better when lower.
        ranking: How scores order architectures: a score's name, or a
            :class:`~optuna_zerocost.Ranking`. Default: the only score there is. With a
            ``threshold`` it must read one score.
        wrapped_pruner: Judges the trials that this one keeps, with their reports. Default: none.
        min_trials: Complete trials with scores before the first is pruned.
        min_correlation: Rank correlation with the objective that the scores must exceed; ``None``
            asks for none.

    Raises:
        ValueError: If not exactly one of ``quantile`` and ``threshold`` is given, a number is out
            of range, or the ranking does not fit the scorer.
        TypeError: If an argument is of the wrong kind.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        quantile: float | None = None,
        threshold: float | None = None,
        ranking: Ranking | str | None = None,
        wrapped_pruner: BasePruner | None = None,
        min_trials: int = 10,
        min_correlation: float | None = 0.0,
    ) -> None:
        self._scorer = as_scorer(scorer)
        if wrapped_pruner is not None and not isinstance(wrapped_pruner, BasePruner):
            raise TypeError(
                f"wrapped_pruner is {wrapped_pruner!r}, but it must be an Optuna pruner such as "
                "optuna.pruners.MedianPruner(), or None."
            )
        if (quantile is None) == (threshold is None):
            raise ValueError(
                f"quantile is {quantile!r} and threshold is {threshold!r}, but exactly one "
                "is to be: quantile=0.2 prunes the worst fifth, threshold=… what scores less."
            )
        if quantile is not None and not 0 < quantile < 1:
            raise ValueError(
                f"quantile is {quantile!r}, but it is the share of architectures to prune: a "
                "number between 0 and 1, such as 0.2."
            )
        if threshold is not None and not math.isfinite(threshold):
            raise ValueError(
                f"threshold is {threshold!r}, but it is compared with scores: a finite number."
            )
        if isinstance(min_trials, bool) or not isinstance(min_trials, int) or min_trials < 0:
            raise ValueError(
                f"min_trials is {min_trials!r}, but it is a number of complete trials: an integer "
                "of at least 0."
            )
        if min_correlation is not None and not -1 <= min_correlation < 1:
            raise ValueError(
                f"min_correlation is {min_correlation!r}, but it is a rank correlation that can "
                "be exceeded: at least -1 and less than 1, or None to prune without."
            )
        self._quantile = quantile
        self._threshold = threshold
        self._set_ranking(as_ranking(ranking, self._scorer.score_names))
        self._criterion = Criterion(min_trials, min_correlation)
        self._wrapped_pruner = wrapped_pruner or NopPruner()
        self._has_warned = False
        if type(self) is ZeroCostPruner and isinstance(wrapped_pruner, HyperbandPruner):
            self.__class__ = _AroundHyperband

    @property
    def wrapped_pruner(self) -> BasePruner:
        """The pruner that judges the trials which this one keeps."""
        return self._wrapped_pruner

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Judge the trial by its scores at the first call, then by the wrapped pruner."""
        verdict = trial.user_attrs.get(_VERDICT_KEY)
        if verdict is None:
            verdict = self._judge_and_store(study, trial)
        return verdict == "pruned" or self._wrapped_pruner.prune(study, trial)

    def _judge_and_store(self, study: Study, trial: FrozenTrial) -> str:
        judged = self._judge(study, trial)
        attributes = {
            "verdict_reason": judged.reason,
            "verdict_trials": judged.trials,
            "verdict_correlation": judged.correlation,
            "verdict_share": judged.share,
            # The last one: a trial whose worker died before this is judged again.
            "verdict": judged.verdict,
        }
        set_user_attributes(
            study, trial, {name: value for name, value in attributes.items() if value is not None}
        )
        _logger.debug(f"Trial {trial.number}: {judged.verdict}. {judged.reason}")
        return judged.verdict

    def _judge(self, study: Study, trial: FrozenTrial) -> Verdict:
        evidence = Evidence(study, trial, self._scorer, self._is_enough)
        try:
            candidate = self._scored(study, trial, evidence)
        except CandidateRejected as error:
            self._warn(trial, str(error))
            return Verdict("not scored", f"It could not be scored because of {error}.")
        ranking, history = self._ranking, evidence.history
        architectures, values = evidence.complete()
        sign = history.value_sign()
        merits = merits_of(ranking, architectures, history)
        rho = spearman(merits.tolist(), [sign * value for value in values]).value
        correlation = None if math.isnan(rho) else rho
        objection = self._criterion.objection(len(values), correlation)
        if objection is not None:
            return objection
        if self._quantile is not None:
            seen = evidence.seen()
            share = share_not_better(ranking, candidate, seen, history) if seen else 1.0
            is_below = share < self._quantile
            reason = (
                f"It is not worse than {share:.1%} of {len(seen)} architectures that were scored; "
                f"below {self._quantile:.1%} it would be pruned."
            )
        else:
            assert isinstance(ranking, ByScore) and self._threshold is not None
            share = None
            limit = Candidate({}, {}, {ranking.names[0]: self._threshold})
            score, least = oriented_scores([candidate, limit], history, ranking.name)
            is_below = bool(score < least)
            reason = (
                f"{ranking.name} is {candidate.scores[ranking.names[0]]:g}, and the threshold "
                f"{self._threshold:g}."
            )
        verdict = "pruned" if is_below else "kept"
        return Verdict(verdict, reason, len(values), correlation, share)

    def _scored(self, study: Study, trial: FrozenTrial, evidence: Evidence) -> Candidate:
        """Return the trial's architecture with its scores, which are stored with it from now on.

        Raises:
            CandidateRejected: If it cannot be scored, or a score that is needed is not there.
        """
        candidate = architecture_of(trial)
        if self._is_enough(candidate.scores):
            return candidate
        candidate = evidence.find(candidate) or self._evaluate(study, trial)
        if scored_by(trial) is None:
            self._scorer.scored_by.store(study)
            mark(study, trial, self._scorer.scored_by.key)
        set_user_attributes(study, trial, candidate.scores)
        if chosen_values(trial) is None:
            choose(study, trial, candidate)
        if not self._is_enough(candidate.scores):
            raise CandidateRejected(
                f"{self._ranking!r}, which reads {list(self._names())}, but the scorer returned "
                f"{sorted(candidate.scores)}"
            )
        return candidate

    def _evaluate(self, study: Study, trial: FrozenTrial) -> Candidate:
        own = TrialToScore(trial.params, trial.number, study)
        scores = evaluate(self._scorer, own)
        if isinstance(self._ranking, OnlyScore):
            # A plain function's scores have names only once it was called.
            self._set_ranking(as_ranking(None, list(scores)))
        return Candidate(own.params, own.distributions, scores, own.network)

    def _set_ranking(self, ranking: BaseRanking) -> None:
        if self._threshold is not None and not isinstance(ranking, (ByScore, OnlyScore)):
            raise ValueError(
                f"threshold is {self._threshold!r}, but {ranking!r} gives an order and no number "
                "to compare with it. Name one score as the ranking, or use quantile=… instead."
            )
        self._ranking = ranking

    def _names(self) -> Sequence[str]:
        """Return the names of the scores that are needed, as far as they are known."""
        return self._ranking.names or self._scorer.score_names or ()

    def _is_enough(self, scores: Mapping[str, float]) -> bool:
        """Return whether all scores that are needed are there."""
        names = self._names()
        if names:
            return all(name in scores for name in names)
        return not isinstance(self._ranking, OnlyScore) and len(scores) > 0

    def _warn(self, trial: FrozenTrial, reason: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"Trial {trial.number} could not be scored from its own parameters because of "
            f"{reason}. It is not pruned for that; further ones are told only in the trials' "
            "attributes 'zerocost:verdict' and 'zerocost:verdict_reason'. Call the scorer with "
            "optuna.trial.FixedTrial(trial.params) to see the whole error.",
            stacklevel=2,
        )


class _AroundHyperband(ZeroCostPruner, _compat.HyperbandStandIn):
    """A :class:`ZeroCostPruner` with a ``HyperbandPruner`` inside.

    Optuna asks a study's pruner for brackets only if it is a Hyperband pruner.
    """
