"""The ranking that learns from the finished trials what the scores are worth."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from optuna.study import Study
from scipy.stats import rankdata

from optuna_zerocost.rankings._learned_account import LearnedAccount
from optuna_zerocost.rankings._observations import (
    FEWEST_VALUES,
    Observations,
    Prior,
    Table,
    observed,
)
from optuna_zerocost.rankings._outlook import Outlook, trust_in_scores
from optuna_zerocost.rankings._ranking import BaseRanking, Sources, by_merit, stepping_back
from optuna_zerocost.rankings._search import FEWEST_SETS, SETS, completions, widely
from optuna_zerocost.rankings._threads import in_one_thread
from optuna_zerocost.records import (
    TRUST,
    Candidate,
    History,
    KnownArchitectures,
    agree,
    architecture_of,
    parse_name,
)

__all__ = ["Assessment", "Learned"]

_Array = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.intp]

_TRUSTING = 4  # first trials
_MOST_PARENTS = 6  # trials whose neighbours are looked at
_MOST_REPEATED = 20  # best trials whose architectures may be trained again
_MOST_OPTIONS = 48  # whole configurations that are compared in the end


@dataclass(frozen=True)
class Assessment:
    """All that was found out for one set of candidates and one history."""

    seen: Observations
    order: list[int]  # indices of the candidates, best first
    outlook: Outlook | None = None  # ``None`` while nothing is learned


class Learned(BaseRanking):
    """Order by what the finished trials teach about parameters and scores together.

    A proxy can be right, useless or harmful; a user cannot know which before the first training.
    The first trials tell: a few of them trust a score, a few are random. From then on a Gaussian
    process, fitted to the finished trials, predicts whole configurations: architecture, the other
    hyperparameters and the ranks of the scores. Scores are scarce, hyperparameters are free: the
    architectures that are scored for a trial are chosen beforehand among many, by parameters
    alone; then hyperparameters are searched for each of them, and for those of good trials. The
    configuration with the highest expected improvement on the best trial comes first.

    So a proxy that points the wrong way is used the other way round, and one that means nothing is
    ignored. One that differs between alike architectures as much as between any others is noise as
    far as can be seen without training; it is left out until it goes with the trials' values. A
    score that is missing for some is a missing value, and that it is missing may tell something.

    A pruned trial counts as its last reported value, but at most as the median of the complete
    ones, since it was judged to be no better. Where trials fail (or are pruned without a report),
    the probability of success is learned, and multiplies what is expected; so does the probability
    that constraints are met, and the best trial is the best feasible one. A constraint or an
    objective that is a score is known before the training. A value that is infinite counts as the
    best or the worst finite one. Trials that other workers are at count as if they had the value
    that is predicted for them, so that workers do not propose the same.

    Args:
        names: The scores that are read, each with a sign if it is to count as better when higher
            (``"+name"``) or lower (``"-name"``) at first; default: all that the scorer returns.
            The first of them is the one that is trusted most at first.
        trusting: Number of first trials that are the best by scores: in turns by the first one,
            and by the mean of the ranks in all of them, but for those that look like noise.
            Default: 4, or as random as the honest ones if all scores look like noise, and with
            several objectives, of which scores speak for the first at best.
        honest: Number of trials after these that are chosen at random. A trial that fails counts.
        exploration: Order by mean + ``exploration`` · deviation instead, at least 0; not with
            several objectives.
        most_trials: From longer histories this many trials are learned from: the better half of
            them the best ones, the others the latest ones.
        objectives: With several objectives ``"all"`` looks at each, and orders by the expected
            improvement of the dominated hypervolume; ``"first"`` looks at the first alone.
        sources: Architectures that are scored besides the base sampler's draws.
        prior_studies: Earlier studies of the same search space. How much they tell about this one
            is learned as well; with enough of them no trial is spent on trusting and honesty. They
            are read once, when the ranking is made.

    Raises:
        ValueError: If a number is out of its range or a name is given twice.
    """

    weighs_prospects = True

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
        self._trusts_anyway = trusting is not None
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
        self._prior: list[Prior] = [
            (study.get_trials(deepcopy=False), tuple(study.directions)) for study in prior_studies
        ]
        self._last: tuple[Sequence[Candidate], History, Assessment] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None}

    @property
    def opening(self) -> int:
        """Number of first trials for which nothing is learned yet."""
        values = sum(len(observed(*prior, 1).values) for prior in self._prior)
        return 0 if values >= FEWEST_VALUES else self._trusting + self._honest

    def __call__(self, candidates: Sequence[Candidate], history: History, /) -> list[int]:
        """Return the indices of ``candidates``, best first."""
        return self._assess(candidates, history).order

    @in_one_thread
    def wanted(
        self, history: History, known: Sequence[Candidate], given: Mapping[str, Any], seed: int
    ) -> Iterable[Candidate]:
        """Return architectures that are worth a score, by their parameters alone, best first."""
        seen = self._observations(history, known, is_whole=True)
        if not self._has_learned(seen, history) or self.sources is None:
            return ()
        outlook = self._outlook(seen, with_scores=False)
        space, rng = seen.space.fixing(given), np.random.default_rng(seed)
        points = widely(
            space,
            lambda points: outlook.acquisition(seen.table(points)),
            seen.own.points[self._parents(seen)],
            rng,
        )
        candidates = (Candidate(*space.params_at(p, seen.architecture), {}) for p in points)
        return _each_once(candidates)

    @in_one_thread
    def completed(
        self,
        candidates: Sequence[Candidate],
        history: History,
        known: Sequence[Candidate],
        given: Mapping[str, Any],
        seed: int,
    ) -> Sequence[Candidate]:
        """Return whole configurations that the study has not met, best first.

        Their architectures are the ``candidates``, those of good trials, and, if the sources say
        so, what is ``known``.
        """
        candidates = list(candidates)
        references = list({c.key: c for c in [*candidates, *known]}.values())
        seen = self._observations(history, references, is_whole=True)
        if not self._has_learned(seen, history):
            return candidates
        outlook = self._outlook(seen)
        met = KnownArchitectures([*history.trials, *history.running])
        pooled = references[len(candidates) :] if self.sources and self.sources.pool else []
        pooled = [one for one in pooled if one.key not in met]
        free = sorted({*range(len(seen.space.names))} - {*seen.architecture})
        options: Iterable[Candidate]
        if free:
            rows = [row for row in self._parents(seen, _MOST_REPEATED) if seen.is_feasible[row]]
            trained = {one.key: one for one in (architecture_of(seen.trials[row]) for row in rows)}
            again = [one for one in trained.values() if agree(one.params, given)]
            some = [*candidates, *again]
            options = self._with_hyperparameters(some, pooled, seen, outlook, free, given, seed)
        else:
            every = [*candidates, *pooled]
            options = [every[index] for index in self._order(every, seen, outlook)]
        new = (option for option in options if option.configuration_key not in met)
        best = list(itertools.islice(new, _MOST_OPTIONS))
        self._last = best, history, Assessment(seen, list(range(len(best))), outlook)
        return best

    def _with_hyperparameters(
        self,
        some: Sequence[Candidate],
        pooled: Sequence[Candidate],
        seen: Observations,
        outlook: Outlook,
        free: Sequence[int],
        given: Mapping[str, Any],
        seed: int,
    ) -> Iterator[Candidate]:
        """Return configurations, best first; of what is ``pooled`` with few hyperparameters."""
        space, architectures = seen.space.fixing(given), [*some, *pooled]
        known = self._table_of(architectures, seen)
        # Where there is a single architecture, or none, all there is to vary is hyperparameters.
        sets = max(SETS, math.ceil(FEWEST_SETS / max(len(some), 1)))
        counts = [sets] * len(some) + [1] * len(pooled)

        def acquisition(points: _Array, which: _Rows) -> _Array:
            return outlook.acquisition(dataclasses.replace(known[which], points=points))

        points, which = completions(
            space,
            acquisition,
            known.points,
            counts,
            free,
            seen.own.points[self._parents(seen)],
            np.random.default_rng(seed),
        )

        def whole(point: _Array, index: int) -> Candidate:
            params, distributions = space.params_at(point, free)
            return dataclasses.replace(
                architectures[index],
                hyperparameters=params,
                hyperparameter_distributions=distributions,
            )

        return _each_once(map(whole, points, which))

    @in_one_thread
    def notes(
        self, candidates: Sequence[Candidate], history: History, chosen: int
    ) -> dict[str, Any]:
        """Return what is known about the choice, for the trial's attributes.

        Returns:
            ``predicted`` and ``deviation`` of the objective's value (of the second objective's,
            ``predicted:1`` and so on), ``success`` and ``feasibility``, the probabilities of these
            where trials failed or violated constraints, ``trust:<score>`` for each score (see
            :meth:`trust`), ``doubted``, the scores that look like noise, as text, and
            ``otherwise``, the parameters that would have been chosen without any score, as text,
            empty if they are the same; nothing while nothing is learned.
        """
        assessment = self._assess(candidates, history)
        seen, outlook = assessment.seen, assessment.outlook
        if outlook is None:
            return {}
        table = self._table_of(candidates, seen)
        one = table[np.array([chosen])]
        notes: dict[str, Any] = {}
        for objective, (value, deviation) in enumerate(outlook.told(one)):
            suffix = f":{objective}" if objective else ""
            notes[f"predicted{suffix}"] = history.value_sign(objective) * value
            notes[f"deviation{suffix}"] = deviation
        notes |= outlook.prospects.told(one)
        trust = trust_in_scores(seen)
        without = self._outlook(seen, with_scores=False)
        otherwise = candidates[by_merit(without.acquisition(table))[0]]
        is_same = otherwise.configuration_key == candidates[chosen].configuration_key
        words = (f"{name}={value!r}" for name, value in otherwise.configuration[0].items())
        return {
            **notes,
            **{f"{TRUST}{name}": value for name, value in trust.items()},
            "doubted": ", ".join(seen.doubted),
            "otherwise": "" if is_same else ", ".join(words),
        }

    @in_one_thread
    def trust(self, history: History) -> dict[str, float]:
        """Return how much each score explains beyond the parameters, with its sign.

        The value is the share of the squared errors, of each trial's value as the parameters
        predict it from the other trials, that a line in the score's rank explains, but for what
        chance would; between 0 and 1, and negative where the objective gets worse as the score
        gets better. It is read from the trials' own scores, and with several objectives for the
        first.
        """
        seen = self._observations(history, ())
        return trust_in_scores(seen) if len(seen.values) >= FEWEST_VALUES else {}

    def account(self, history: History) -> LearnedAccount:
        """Return what there is to tell about a study, in words."""
        several = self._objective_count(history) > 1
        return LearnedAccount(
            history,
            self.trust(history),
            trusting=0 if several and not self._trusts_anyway else self._trusting,
            trusts_noise=self._trusts_anyway,
        )

    def _objective_count(self, history: History) -> int:
        return 1 if self._objectives == "first" else len(history.directions)

    @in_one_thread
    def _assess(self, candidates: Sequence[Candidate], history: History) -> Assessment:
        # The same question comes again for a trial: for the order, and for the notes.
        last = self._last
        if last is None or last[0] is not candidates or last[1] is not history:
            self._last = last = (candidates, history, self._assessment(candidates, history))
        return last[2]

    def _assessment(self, candidates: Sequence[Candidate], history: History) -> Assessment:
        seen = self._observations(history, candidates)
        if not candidates or not self._has_learned(seen, history):
            begun = _begun(history)
            order = self._opening_order(candidates, seen, begun)
            return Assessment(seen, stepping_back(order, candidates, history))
        outlook = self._outlook(seen)
        return Assessment(seen, self._order(candidates, seen, outlook), outlook)

    def _observations(
        self, history: History, references: Sequence[Candidate], *, is_whole: bool = False
    ) -> Observations:
        """Return the trials beside ``references``; with all parameters, where those lack some."""
        parameters: Sequence[str] | None = None
        if is_whole:
            every = [*(one.params for one in references), *(t.params for t in history.trials)]
            parameters = list(dict.fromkeys(name for params in every for name in params))
        return Observations(
            history,
            references,
            names=self.names or None,
            sign_of_score=lambda name: self._signs.get(name) or history.score_sign(name),
            objectives=self._objective_count(history),
            priors=self._prior,
            most_trials=self._most_trials,
            parameters=parameters,
        )

    def _has_learned(self, seen: Observations, history: History) -> bool:
        known = len(seen.own) + sum(map(len, seen.priors))
        return _begun(history) >= self.opening and known >= FEWEST_VALUES

    def _order(
        self, candidates: Sequence[Candidate], seen: Observations, outlook: Outlook
    ) -> list[int]:
        return by_merit(outlook.acquisition(self._table_of(candidates, seen)))

    @staticmethod
    def _table_of(candidates: Sequence[Candidate], seen: Observations) -> Table:
        points = seen.space.at([candidate.configuration[0] for candidate in candidates])
        return seen.table(points, [candidate.scores for candidate in candidates])

    @staticmethod
    def _parents(seen: Observations, most: int = _MOST_PARENTS) -> _Rows:
        """Return the rows of the best trials: feasible ones first, by the mean of the ranks."""
        merits = rankdata(seen.values, axis=0).mean(axis=1) if len(seen.values) else np.zeros(0)
        return np.lexsort((-merits, ~seen.is_feasible))[:most].astype(np.intp)

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
            several = seen.values.shape[1] > 1
            if self._trusts_anyway or not (several or is_noise_alone):
                left_out = seen.is_doubted & (not is_noise_alone)
                scores = seen.ranks(seen.references)[:, ~left_out]
                return by_merit(scores.mean(axis=1) if begun % 2 else scores[:, 0])
        # Random, but a function of the architectures: it does not matter how they are drawn.
        digests = [hashlib.sha256(f"{begun};{c.key}".encode()).digest() for c in candidates]
        return sorted(range(len(candidates)), key=digests.__getitem__)

    # Other models and rules are tried by overriding this.

    def _outlook(self, seen: Observations, *, with_scores: bool = True) -> Outlook:
        return Outlook(seen, with_scores=with_scores, exploration=self._exploration)


def _each_once(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    met = set()
    for candidate in candidates:
        if candidate.configuration_key not in met:
            met.add(candidate.configuration_key)
            yield candidate


def _begun(history: History) -> int:
    """Return how many trials have begun; those that failed count."""
    return len(history.running) + len(history.trials)
