"""The ranking that learns from the finished trials what the scores are worth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from optuna.study import Study
from optuna.trial import TrialState
from scipy.stats import rankdata

from optuna_zerocost.rankings._acquisition import acquisition_values
from optuna_zerocost.rankings._learned_account import LearnedAccount
from optuna_zerocost.rankings._model import GaussianProcess, Model, trust_in_scores
from optuna_zerocost.rankings._observations import FEWEST_VALUES, Observations, observed, thinned
from optuna_zerocost.rankings._pareto import order_by_fronts
from optuna_zerocost.rankings._ranking import BaseRanking, Sources, by_merit
from optuna_zerocost.records import TRUST, Candidate, History, parse_name

__all__ = ["Assessment", "Learned"]

_Array = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.intp]

_TRUSTING = 4  # first trials
# Surrogates of parameters alone that are kept: two for each of two objectives.
_MOST_FITTED = 4


@dataclass(frozen=True)
class Assessment:
    """All that was found out for one set of candidates, one history and one objective."""

    seen: Observations
    order: list[int]  # indices of the candidates, best first
    acquisition: _Array | None  # its values; ``None`` while nothing is learned
    mean: _Array  # predicted values, on the warped scale
    deviation: _Array  # the standard deviations of these
    levels: _Array  # the values of all trials on the warped scale


class Learned(BaseRanking):
    """Order by what the finished trials teach about parameters and scores together.

    A proxy can be right, useless or harmful; a user cannot know which before the first training.
    The first trials tell: a few of them trust a score, a few are random. From then on a
    Gaussian process over the parameters and the standardised ranks of the scores, fitted to the
    finished trials (see :class:`~optuna_zerocost.rankings._surrogate.Surrogate`), predicts every
    candidate, and they are ordered by the improvement on the best trial that is expected of them.
    What is learned is how close a trial comes to the best one, on a logarithmic scale: the order
    at the top is what matters. So a proxy that points the wrong way is used the other way round,
    and one that means nothing is ignored. One that differs between alike architectures as much as
    between any others is noise as far as can be seen without training; it is not trusted at first,
    and read only once the trials speak for it clearly. Choices that are numbers, such as the
    widths 16, 32 and 64, are read in their order as far as the trials agree with it.

    A pruned trial counts as its last reported value, but at most as the median of the complete
    ones, since it was judged to be no better. Failed trials teach nothing. A value that is
    infinite counts as the best or the worst finite one. Trials that other workers are at count
    as if they had the value that is predicted for them, so that workers do not propose the same.

    Args:
        names: The scores that are read, each with a sign if it is to count as better when higher
            (``"+name"``) or lower (``"-name"``) at first; default: all that the scorer returns.
            The first of them is the one that is trusted most at first.
        trusting: Number of first trials that are the best by scores: in turns by the first one,
            and by the mean of the ranks in all of them, but for those that look like noise.
            Default: 4, or as random as the honest ones if all scores look like noise.
        honest: Number of trials after these that are chosen at random.
        exploration: Order by mean + ``exploration`` · deviation instead, at least 0. With several
            objectives, where no trial is the best one, that is done in any case (default: 0.7).
        most_trials: From longer histories this many trials are learned from: the better half of
            them the best ones, the others the latest ones.
        objectives: With several objectives ``"all"`` fits a surrogate to each, and orders by
            non-dominated sorting of the predictions; ``"first"`` looks at the first alone.
        sources: Candidates besides the base sampler's draws.
        prior_studies: Earlier studies of the same search space. How much they tell about this one
            is learned as well; with enough of them no trial is spent on trusting and honesty. They
            are read once, when the ranking is made.

    Raises:
        ValueError: If a number is out of its range or a name is given twice.
    """

    def __init__(
        self,
        *names: str,
        trusting: int | None = None,
        honest: int = 4,
        exploration: float | None = None,
        most_trials: int = 400,
        objectives: Literal["all", "first"] = "all",
        sources: Sources = Sources(),  # noqa: B008  (it is immutable)
        prior_studies: Sequence[Study] = (),
    ) -> None:
        self._signs = dict(parse_name(name) for name in names)
        if len(self._signs) < len(names):
            raise ValueError(f"Learned was given one score twice: {names}. Name each once.")
        self._trusts_noise = trusting is not None
        trusting = _TRUSTING if trusting is None else trusting
        is_exploring = exploration is None or exploration >= 0
        if trusting < 0 or honest < 0 or most_trials < FEWEST_VALUES or not is_exploring:
            raise ValueError(
                f"Learned(trusting={trusting}, honest={honest}, exploration={exploration}, "
                f"most_trials={most_trials}) cannot be: numbers of trials and the exploration are "
                f"at least 0, and it takes {FEWEST_VALUES} trials to learn from."
            )
        self.names = tuple(self._signs)
        self.sources = sources
        self._given_names = names
        self._trusting, self._honest = trusting, honest
        self._exploration = exploration
        if objectives not in ("all", "first"):
            raise ValueError(f"objectives is {objectives!r}, but it cannot be: 'all' or 'first'.")
        self._most_trials = most_trials
        self._objectives = objectives
        self._prior = [
            (study.get_trials(deepcopy=False), tuple(study.directions)) for study in prior_studies
        ]
        self._last: tuple[Sequence[Candidate], History, list[Assessment]] | None = None
        self._fitted: dict[tuple[Any, ...], Model] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None, "_fitted": {}}

    @property
    def opening(self) -> int:
        """Number of first trials for which nothing is learned yet."""
        values = (len(observed(*prior, objective=0).values) for prior in self._prior)
        is_informed = sum(values) >= FEWEST_VALUES
        return 0 if is_informed else self._trusting + self._honest

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        return _combined(self._assess(candidates, history))

    def by_parameters(self, candidates: Sequence[Candidate], history: History) -> list[int]:
        """Return the indices of ``candidates``, best first, by their parameters alone."""
        return _combined(self._assessments(candidates, history, ()))

    def notes(
        self, candidates: Sequence[Candidate], history: History, chosen: int
    ) -> dict[str, Any]:
        """Return what is known about the choice, for the trial's attributes.

        Returns:
            ``predicted`` and ``deviation`` of the objective's value (of the second objective's,
            ``predicted:1`` and so on), ``trust:<score>`` for each score (see :meth:`trust`),
            ``doubted``, the scores that look like noise, as text, and ``otherwise``, the
            parameters that would have been chosen without any score, as text, empty if they are
            the same; nothing while nothing is learned.
        """
        assessments = self._assess(candidates, history)
        if any(assessment.acquisition is None for assessment in assessments):
            return {}
        predictions: dict[str, float] = {}
        for objective, assessment in enumerate(assessments):
            suffix = f":{objective}" if objective else ""
            unwarp = assessment.seen.warp.unwarp
            mean, deviation = float(assessment.mean[chosen]), float(assessment.deviation[chosen])
            half = unwarp(mean + deviation) / 2 - unwarp(mean - deviation) / 2
            predictions[f"predicted{suffix}"] = history.value_sign(objective) * unwarp(mean)
            predictions[f"deviation{suffix}"] = half
        trust = trust_in_scores(assessments[0].seen)
        otherwise = candidates[self.by_parameters(candidates, history)[0]]
        is_same = otherwise.key == candidates[chosen].key
        words = (f"{name}={value!r}" for name, value in otherwise.params.items())
        return {
            **predictions,
            **{f"{TRUST}{name}": value for name, value in trust.items()},
            "doubted": ", ".join(assessments[0].seen.doubted),
            "otherwise": "" if is_same else ", ".join(words),
        }

    def trust(self, history: History) -> dict[str, float]:
        """Return how much each score explains beyond the parameters, with its sign.

        The value is the share by which the leave-one-out error of the surrogate falls when it is
        told the score besides the parameters, between 0 and 1; negative where the objective
        gets worse as the score gets better. It is read from the trials' own scores, and with
        several objectives for the first.
        """
        return trust_in_scores(self._assess((), history)[0].seen)

    def account(self, history: History) -> LearnedAccount:
        """Return what there is to tell about a study, in words."""
        return LearnedAccount(
            history, self.trust(history), trusting=self._trusting, trusts_noise=self._trusts_noise
        )

    def _assess(self, candidates: Sequence[Candidate], history: History) -> list[Assessment]:
        # The same question comes twice for a trial: for the order, and for the notes.
        last = self._last
        if last is None or last[0] is not candidates or last[1] is not history:
            assessments = self._assessments(candidates, history, self.names or None)
            self._last = last = (candidates, history, assessments)
        return last[2]

    def _assessments(
        self, candidates: Sequence[Candidate], history: History, names: Sequence[str] | None
    ) -> list[Assessment]:
        count = 1 if self._objectives == "first" else len(history.directions)
        return [
            self._assessment(candidates, history, names, objective, has_best=count == 1)
            for objective in range(count)
        ]

    def _assessment(
        self,
        candidates: Sequence[Candidate],
        history: History,
        names: Sequence[str] | None,
        objective: int,
        *,
        has_best: bool,
    ) -> Assessment:
        values = observed(history.trials, history.directions, objective)
        seen = Observations(
            candidates,
            history,
            thinned(values, self._most_trials),
            [
                thinned(observed(*prior, objective=objective), self._most_trials // 2)
                for prior in self._prior
            ],
            names=names,
            sign_of_score=lambda name: self._signs.get(name) or history.score_sign(name),
        )
        begun = len(history.running) + sum(t.state != TrialState.FAIL for t in history.trials)
        mean = deviation = np.zeros(len(candidates))
        acquisition: _Array | None = None
        if begun < self.opening or len(seen.known) < FEWEST_VALUES or not candidates:
            order = self._opening_order(candidates, seen, begun)
        else:
            mean, deviation = self._predicted(seen)
            # Without trials of this study, those of earlier ones are what there is to exceed.
            best = float(seen.values[: len(seen.own.trials) or None].max())
            acquisition = self._acquisition(seen, mean, deviation, best if has_best else None)
            order = by_merit(acquisition)
        return Assessment(seen, order, acquisition, mean, deviation, seen.warp.warp(values.values))

    def _opening_order(
        self, candidates: Sequence[Candidate], seen: Observations, begun: int
    ) -> list[int]:
        """Return the best by the scores first; once so many trials have begun, a random order.

        In turns the first score decides, and the mean rank in all of them but those that look like
        noise: which of several scores deserves the trust is not known. What they agree about is
        seldom much worse than the best of them, and much better than the worst.
        """
        if begun < self._trusting and seen.names:
            is_noise_alone = bool(seen.is_doubted.all())
            if not is_noise_alone or self._trusts_noise:
                left_out = seen.is_doubted & (not is_noise_alone)
                scores = seen.scores[seen.candidates][:, ~left_out]
                return by_merit(scores.mean(axis=1) if begun % 2 else scores[:, 0])
        # Random, but a function of the architectures: it does not matter how they are drawn.
        digests = [hashlib.sha256(f"{begun};{c.key}".encode()).digest() for c in candidates]
        return sorted(range(len(candidates)), key=digests.__getitem__)

    def _predicted(self, seen: Observations) -> tuple[_Array, _Array]:
        """Return means and deviations of the candidates."""
        model = self._fit(seen, seen.known, seen.values, seen.studies)
        if len(seen.running):
            believed, _ = model.predict(seen, seen.running)
            model = self._fit(
                seen,
                np.concatenate([seen.known, seen.running]),
                np.concatenate([seen.values, believed]),
                np.concatenate([seen.studies, np.zeros(len(seen.running), dtype=np.intp)]),
            )
        return model.predict(seen, seen.candidates)

    def _fit(self, seen: Observations, rows: _Rows, values: _Array, studies: _Rows) -> Model:
        if seen.telling.shape[1]:
            return self._model(seen, rows, values, studies)
        # Asked for twice for a trial, before its candidates are scored and for the notes.
        key = (seen.distance.digest(rows), values.tobytes(), studies.tobytes())
        if key not in self._fitted:
            latest = list(self._fitted.items())[1 - _MOST_FITTED :]
            self._fitted = {**dict(latest), key: self._model(seen, rows, values, studies)}
        return self._fitted[key]

    # Other models and rules are tried by overriding these two.

    def _model(self, seen: Observations, rows: _Rows, values: _Array, studies: _Rows) -> Model:
        return GaussianProcess(seen, rows, values, studies)

    def _acquisition(
        self, seen: Observations, mean: _Array, deviation: _Array, best: float | None
    ) -> _Array:
        return acquisition_values(mean, deviation, best=best, exploration=self._exploration)


def _combined(assessments: Sequence[Assessment]) -> list[int]:
    """Return one order from those of the objectives.

    With several objectives by non-dominated sorting of the acquisition values, together with what
    the trials reached, as :class:`~optuna_zerocost.Pareto` does with scores.
    """
    learned = [(a.acquisition, a.levels) for a in assessments if a.acquisition is not None]
    if len(assessments) == 1 or len(learned) < len(assessments):
        return assessments[0].order
    # A complete trial has a value for each objective; nothing is pruned with several of them.
    merits = np.stack([acquisition for acquisition, _ in learned], axis=1)
    reached = np.stack([levels for _, levels in learned], axis=1)
    ranks = rankdata(np.concatenate([merits, reached]), axis=0)
    return order_by_fronts(ranks[: len(merits)], ranks[len(merits) :])
