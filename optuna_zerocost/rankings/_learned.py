"""The ranking that learns from the finished trials what the scores are worth."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import rankdata

from optuna_zerocost.rankings._acquisition import log_expected_improvement
from optuna_zerocost.rankings._noise import are_unstructured
from optuna_zerocost.rankings._parameter_distance import ParameterDistance
from optuna_zerocost.rankings._pareto import order_by_fronts
from optuna_zerocost.rankings._rank_correlation import spearman
from optuna_zerocost.rankings._ranking import parse_name
from optuna_zerocost.rankings._surrogate import Surrogate
from optuna_zerocost.records import TRUST, Candidate, History, sign_of, stored_scores

__all__ = ["Learned", "Sources"]

_Array = npt.NDArray[np.float64]
_Parameters = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]

_TRUSTING = 4  # first trials
_FEWEST_VALUES = 3  # below, there is nothing to learn from
# How far a value is below the best, in distances of the median, is what is learned, on a
# logarithmic scale that begins at _RESOLUTION and ends at _FAR.
_RESOLUTION, _FAR = 0.05, 3.0
_EXPLORATION = 0.7  # weight of the deviation where there is no best value to exceed
# Trust is only told, not used, so that fewer trials do.
_MOST_TRIALS_FOR_TRUST = 100
_MOST_FOR_STRUCTURE = 120  # architectures that show whether a score has structure
# Surrogates of parameters alone that are kept: two for each of two objectives.
_MOST_FITTED = 4


@dataclass(frozen=True)
class Sources:
    """Where candidates come from, besides the base sampler's draws.

    Args:
        random: Number of random architectures.
        neighbours: Number of neighbours of good trials: one parameter changed. If there are more,
            those are scored that the finished trials' parameters alone speak for.
        parents: Number of best trials whose neighbours are considered.
        pool: Whether the warmup's pool, which is scored already, stays in the choice. The best of
            thousands is often one of which little is known, and on NAS-Bench-201 that took more
            trials.
    """

    random: int = 32
    neighbours: int = 32
    parents: int = 5
    pool: bool = False

    def __post_init__(self) -> None:
        if min(self.random, self.neighbours, self.parents) < 0:
            raise ValueError(f"{self} cannot be: numbers of candidates are at least 0.")


class Learned:
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
        if trusting < 0 or honest < 0 or most_trials < _FEWEST_VALUES or not is_exploring:
            raise ValueError(
                f"Learned(trusting={trusting}, honest={honest}, exploration={exploration}, "
                f"most_trials={most_trials}) cannot be: numbers of trials and the exploration are "
                f"at least 0, and it takes {_FEWEST_VALUES} trials to learn from."
            )
        self.names: tuple[str, ...] = tuple(self._signs)
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
        self._last: tuple[Sequence[Candidate], History, list[_Assessment]] | None = None
        self._fitted: dict[tuple[Any, ...], Surrogate] = {}

    def __repr__(self) -> str:
        return f"Learned({', '.join(map(repr, self._given_names))})"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None, "_fitted": {}}

    @property
    def trusting(self) -> int:
        """Number of first trials that are the best by scores, if nothing is known yet."""
        return self._trusting

    @property
    def trusts_noise(self) -> bool:
        """Whether these are the best by scores even if all scores look like noise."""
        return self._trusts_noise

    @property
    def opening(self) -> int:
        """Number of first trials for which nothing is learned yet."""
        values = (len(_observed(*prior, objective=0).values) for prior in self._prior)
        is_informed = sum(values) >= _FEWEST_VALUES
        return 0 if is_informed else self._trusting + self._honest

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        return _order(self._assess(candidates, history))

    def by_parameters(self, candidates: Sequence[Candidate], history: History) -> list[int]:
        """Return the indices of ``candidates``, best first, by their parameters alone."""
        return _order(self._assessments(candidates, history, names=()))

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
        if not all(assessment.is_learned for assessment in assessments):
            return {}
        predictions: dict[str, float] = {}
        for objective, assessment in enumerate(assessments):
            suffix = f":{objective}" if objective else ""
            predicted, deviation = assessment.prediction(chosen)
            predictions |= {f"predicted{suffix}": predicted, f"deviation{suffix}": deviation}
        otherwise = candidates[self.by_parameters(candidates, history)[0]]
        is_same = otherwise.key == candidates[chosen].key
        return {
            **predictions,
            **{f"{TRUST}{name}": value for name, value in assessments[0].trust().items()},
            "doubted": ", ".join(assessments[0].doubted),
            "otherwise": "" if is_same else _in_words(otherwise.params),
        }

    def trust(self, history: History) -> dict[str, float]:
        """Return how much each score explains beyond the parameters, with its sign.

        The value is the share by which the leave-one-out error of the surrogate falls when it is
        told the score besides the parameters, between 0 and 1; negative where the objective
        gets worse as the score gets better. It is read from the trials' own scores, and with
        several objectives for the first.
        """
        return self._assess((), history)[0].trust()

    def _assess(self, candidates: Sequence[Candidate], history: History) -> list[_Assessment]:
        # The same question comes twice for a trial: for the order, and for the notes.
        last = self._last
        if last is not None and last[0] is candidates and last[1] is history:
            return last[2]
        assessments = self._assessments(candidates, history, names=None)
        self._last = (candidates, history, assessments)
        return assessments

    def _assessments(
        self, candidates: Sequence[Candidate], history: History, *, names: Sequence[str] | None
    ) -> list[_Assessment]:
        return [
            self._kind(self, candidates, history, objective=objective, names=names)
            for objective in range(self._learned_objectives(history))
        ]

    @property
    def _kind(self) -> type[_Assessment]:
        # Other models and rules are tried with other kinds: zerocost-bench surrogates.
        return _Assessment

    def _learned_objectives(self, history: History) -> int:
        return 1 if self._objectives == "first" else len(history.directions)


@dataclass(frozen=True)
class _Observations:
    """Trials with a value.

    Attributes:
        trials: Oldest first.
        values: Turned so that higher is better, finite.
    """

    trials: list[FrozenTrial]
    values: _Array


def _observed(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], objective: int
) -> _Observations:
    """Return the trials with a value for one of the objectives; see :class:`Learned`."""
    if objective >= len(directions):
        return _Observations([], np.zeros(0))
    sign = sign_of(directions[objective])
    complete = [
        sign * trial.values[objective]
        for trial in trials
        if trial.state == TrialState.COMPLETE and not math.isnan(trial.values[objective])
    ]
    ceiling = float(np.median(complete)) if complete else math.inf
    found: list[tuple[FrozenTrial, float]] = []
    for trial in trials:
        if trial.state == TrialState.COMPLETE:
            value = sign * trial.values[objective]
        elif trial.state == TrialState.PRUNED and trial.intermediate_values:
            last = trial.intermediate_values[max(trial.intermediate_values)]
            value = min(sign * last, ceiling)
        else:
            continue
        if not math.isnan(value):
            found.append((trial, value))
    values = np.array([value for _, value in found], dtype=np.float64)
    finite = values[np.isfinite(values)]
    if len(finite) < len(values):
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        values = np.clip(values, low, high)
    return _Observations([trial for trial, _ in found], values)


def _thinned(observed: _Observations, most: int) -> _Observations:
    """Return at most ``most`` of them, oldest first: half the best, the others the latest."""
    if len(observed.trials) <= most:
        return observed
    best = np.argsort(-observed.values, kind="stable")[: most // 2]
    others = [i for i in reversed(range(len(observed.trials))) if i not in set(best.tolist())]
    kept = sorted([*best.tolist(), *others[: most - len(best)]])
    return _Observations([observed.trials[i] for i in kept], observed.values[kept])


@dataclass(frozen=True)
class _Scale:
    """How values are stretched: the closer to the best, the more a difference counts.

    Those that it was made of have the mean 0.
    """

    best: float = 0.0
    unit: float = 1.0
    mean: float = 0.0

    @classmethod
    def of(cls, values: _Array) -> _Scale:
        if not len(values):
            return cls()
        best = float(values.max())
        unit = best - float(np.median(values)) or best - float(values.min()) or 1.0
        return cls(best, unit, float(cls(best, unit).stretch(values).mean()))

    def stretch(self, values: _Array) -> _Array:
        below = np.minimum((self.best - values) / self.unit, _FAR)
        stretched: _Array = -np.log(np.maximum(below, 0.0) + _RESOLUTION) - self.mean
        return stretched

    def shrink(self, stretched: float) -> float:
        return self.best - self.unit * (math.exp(-stretched - self.mean) - _RESOLUTION)


class _Assessment:
    """All that a ranking finds out for one set of candidates and one history."""

    def __init__(
        self,
        ranking: Learned,
        candidates: Sequence[Candidate],
        history: History,
        *,
        objective: int,
        names: Sequence[str] | None,
    ) -> None:
        self._ranking = ranking
        self._history = history
        self._sign = history.value_sign(objective)
        most = ranking._most_trials
        self.observed = _observed(history.trials, history.directions, objective)
        self._own = _thinned(self.observed, most)
        priors = [
            _thinned(_observed(*prior, objective=objective), most // 2) for prior in ranking._prior
        ]
        architecture = dict.fromkeys(name for c in candidates for name in c.distributions)
        running = [t for t in history.running if _is_decided(t, architecture)]
        trials = [
            *self._own.trials,
            *(trial for prior in priors for trial in prior.trials),
            *running,
        ]
        scores = [
            *(stored_scores(trial.user_attrs) for trial in trials),
            *(candidate.scores for candidate in candidates),
        ]
        if names is None:
            names = ranking.names or list(
                dict.fromkeys(
                    name
                    for known in (scores if not candidates else scores[len(trials) :])
                    for name in known
                )
            )
        self._names = names
        self._scores = self._standardised(scores)
        rows: list[_Parameters] = [
            *((trial.params, trial.distributions) for trial in trials),
            *((candidate.params, candidate.distributions) for candidate in candidates),
        ]
        if not candidates:
            architecture = dict.fromkeys(name for _, ds in rows for name in ds)
        self._distance = ParameterDistance(rows, list(architecture))
        self._count = len(self._own.trials) + sum(len(prior.trials) for prior in priors)
        self._scale = _Scale.of(self._own.values)
        self._values = np.concatenate(
            [_Scale.of(o.values).stretch(o.values) for o in (self._own, *priors)], dtype=np.float64
        )
        sizes = [len(o.trials) for o in (self._own, *priors)]
        self._studies = np.repeat(np.arange(len(sizes), dtype=np.intp), sizes)
        self._first_candidate = len(trials)
        self._mean = self._deviation = np.zeros(len(candidates))
        self.is_learned = False
        begun = len(history.running) + sum(t.state != TrialState.FAIL for t in history.trials)
        is_early = begun < ranking.opening or self._count < _FEWEST_VALUES
        if is_early or not candidates:
            self.order = self._opening_order(candidates, begun)
            return
        self.is_learned = True
        self._learn(np.arange(self._count, len(trials), dtype=np.intp))
        self.merit = self._merit()
        self.order = [int(i) for i in np.argsort(-self.merit, kind="stable")]

    def _merit(self) -> _Array:
        exploration = self._ranking._exploration
        if exploration is None and self._ranking._learned_objectives(self._history) == 1:
            # Without trials of this study, those of earlier ones are what there is to exceed.
            best = self._values[: len(self._own.trials) or None].max()
            return log_expected_improvement(self._mean, self._deviation, best)
        if exploration is None:
            exploration = _EXPLORATION
        bound: _Array = self._mean + exploration * self._deviation
        return bound

    def levels(self) -> _Array:
        """Return the values of all trials on the scale of ``merit``."""
        return self._scale.stretch(self.observed.values)

    def _standardised(self, scores: Sequence[Mapping[str, float]]) -> _Array:
        """Return ranks with mean 0 and variance 1, higher is better; 0 where a score is absent."""
        columns = []
        for name in self._names:
            sign = self._ranking._signs.get(name)
            if sign is None:
                sign = self._history.score_sign(name)
            column = np.array([sign * known.get(name, math.nan) for known in scores])
            present = np.isfinite(column)
            ranks = np.zeros(len(column))
            if present.any():
                ranks[present] = (rankdata(column[present]) - 0.5) / present.sum() - 0.5
            columns.append(ranks * math.sqrt(12))
        return np.stack(columns, axis=1) if columns else np.zeros((len(scores), 0))

    def _opening_order(self, candidates: Sequence[Candidate], begun: int) -> list[int]:
        """Return the best by the scores first, after a few of these a random order."""
        if begun < self._ranking._trusting and self._names:
            is_noise_alone = bool(self._is_doubted.all())
            if not is_noise_alone or self._ranking.trusts_noise:
                left_out = self._is_doubted & (not is_noise_alone)
                merit = self._trusted(self._scores[self._first_candidate :, ~left_out], begun)
                return [int(i) for i in np.argsort(-merit, kind="stable")]
        # Random, but a function of the architectures: it does not matter how they are drawn.
        digests = [hashlib.sha256(f"{begun};{c.key}".encode()).digest() for c in candidates]
        return sorted(range(len(candidates)), key=digests.__getitem__)

    def _trusted(self, scores: _Array, begun: int) -> _Array:
        """Return the first score, or every other time the mean rank in all of them.

        Which of several scores deserves the trust is not known. What they agree about is seldom
        much worse than the best of them, and much better than the worst.
        """
        agreed: _Array = scores.mean(axis=1)
        return agreed if begun % 2 else scores[:, 0]

    def _learn(self, running: npt.NDArray[np.intp]) -> None:
        known = np.arange(self._count, dtype=np.intp)
        candidates = np.arange(
            self._first_candidate, self._first_candidate + len(self._mean), dtype=np.intp
        )
        surrogate = self._fit(known, self._values, self._studies)
        if len(running):
            believed, _ = self._predict(surrogate, running, known)
            values = np.concatenate([self._values, believed])
            studies = np.concatenate([self._studies, np.zeros(len(running), dtype=np.intp)])
            known = np.concatenate([known, running])
            surrogate = self._fit(known, values, studies)
        self._mean, self._deviation = self._predict(surrogate, candidates, known)

    @property
    def doubted(self) -> list[str]:
        """Names of the scores that look like noise."""
        pairs = zip(self._names, self._is_doubted, strict=True)
        return [name for name, is_doubted in pairs if is_doubted]

    @functools.cached_property
    def _is_doubted(self) -> npt.NDArray[np.bool_]:
        """Which scores look like noise, by those of trials and candidates."""
        if not self._names:
            return np.zeros(0, dtype=np.bool_)
        count = len(self._scores)
        rows = np.linspace(0, count - 1, min(count, _MOST_FOR_STRUCTURE)).astype(np.intp)
        return are_unstructured(self._distance.between(rows, rows), self._scores[rows])

    @functools.cached_property
    def _is_telling(self) -> npt.NDArray[np.bool_]:
        """Which scores are not alike for all."""
        return np.asarray(self._scores.any(axis=0))

    @functools.cached_property
    def _telling(self) -> _Array:
        """The scores without those that are alike for all, which tell nothing."""
        return self._scores[:, self._is_telling]

    def _fit(
        self, rows: npt.NDArray[np.intp], values: _Array, studies: npt.NDArray[np.intp]
    ) -> Surrogate:
        known: tuple[Any, ...] | None = None
        if not self._telling.shape[1]:
            # Asked for twice for a trial, before its candidates are scored and for the notes.
            known = (self._distance.digest(rows), values.tobytes(), studies.tobytes())
            if known in self._ranking._fitted:
                return self._ranking._fitted[known]
        differences = self._distance.between(rows, rows)
        surrogate = Surrogate(
            differences,
            self._telling[rows],
            values,
            studies=studies,
            doubts=self._is_doubted[self._is_telling],
        )
        if known is not None:
            latest = list(self._ranking._fitted.items())[1 - _MOST_FITTED :]
            self._ranking._fitted = {**dict(latest), known: surrogate}
        return surrogate

    def _predict(
        self, surrogate: Surrogate, rows: npt.NDArray[np.intp], known: npt.NDArray[np.intp]
    ) -> tuple[_Array, _Array]:
        return surrogate.predict(self._distance.between(rows, known), self._telling[rows])

    def prediction(self, index: int) -> tuple[float, float]:
        """Return the predicted value of a candidate and its deviation, as the objective has it."""
        mean, deviation = float(self._mean[index]), float(self._deviation[index])
        spread = self._scale.shrink(mean + deviation) - self._scale.shrink(mean - deviation)
        return self._sign * self._scale.shrink(mean), spread / 2

    def trust(self) -> dict[str, float]:
        """Return what :meth:`Learned.trust` tells."""
        rows = np.arange(len(self._own.trials), dtype=np.intp)[-_MOST_TRIALS_FOR_TRUST:]
        if len(rows) < _FEWEST_VALUES:
            return {}
        values = self._values[rows]
        differences = self._distance.between(rows, rows)

        def error_with(scores: _Array) -> float:
            # One model for each score: it must be quick.
            surrogate = Surrogate(differences, scores, values, with_choices=False)
            return surrogate.leave_one_out_error()

        without = error_with(np.zeros((len(rows), 0)))
        found = {}
        for index, name in enumerate(self._names):
            column = self._scores[rows, index : index + 1]
            error = error_with(column)
            share = max(0.0, 1.0 - error / without) if without > 0 else 0.0
            rho = spearman(list(column[:, 0]), list(values)).value
            found[name] = math.copysign(share, rho) if rho else 0.0
        return found


def _order(assessments: Sequence[_Assessment]) -> list[int]:
    """Return one order from those of the objectives.

    With several objectives by non-dominated sorting of the merits, together with what the trials
    reached, as :class:`~optuna_zerocost.Pareto` does with scores.
    """
    first = assessments[0]
    if len(assessments) == 1 or not all(a.is_learned for a in assessments):
        return first.order
    # A complete trial has a value for each objective; nothing is pruned with several of them.
    reached = np.stack([assessment.levels() for assessment in assessments], axis=1)
    merits = np.stack([assessment.merit for assessment in assessments], axis=1)
    ranks = rankdata(np.concatenate([merits, reached]), axis=0)
    return order_by_fronts(ranks[: len(merits)], ranks[len(merits) :])


def _is_decided(trial: FrozenTrial, architecture: Mapping[str, Any]) -> bool:
    return any(name in trial.params for name in architecture)


def _in_words(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in params.items())
