"""Sources of candidates for one trial; each yields trial-like objects, for the judge to judge."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from optuna_zerocost import _compat
from optuna_zerocost.algorithms import Mutations
from optuna_zerocost.records import ArchitectureKey, Candidate
from optuna_zerocost.samplers._candidate_trial import CandidateTrial, random_trial
from optuna_zerocost.samplers._proposals import Answer, Draw, Fate, Proposal, Proposals
from optuna_zerocost.samplers._study_view import Snapshot, StudyView

__all__ = ["Draws", "Sources"]

Draws = Generator[Draw, None, None]


class Sources:
    """The base sampler's draws, edits of a parent, random draws and what is wanted, for one trial.

    No draw changes what is ``given``: fixed, enqueued, or suggested already.
    """

    def __init__(
        self, base_sampler: BaseSampler, snapshot: Snapshot, space: Mapping[str, BaseDistribution]
    ) -> None:
        self._base_sampler = base_sampler
        self._snapshot = snapshot
        self._space = dict(space)
        self._seen_outside: set[ArchitectureKey] = set()
        self._fixed = snapshot.fixed
        self._enqueued = {**snapshot.enqueued, **snapshot.trial.params}
        self.given = {**self._fixed, **self._enqueued}

    def given_in(self, candidates: Iterable[Candidate]) -> dict[str, Any]:
        """Return what is given as it is stored with a trial, without what Optuna refuses.

        How it is stored is known of the parameters of ``candidates`` and of earlier trials.
        """
        given = dict(self.given)
        distributions: dict[str, BaseDistribution] = {}
        if given:
            for trial in self._snapshot.other_trials:
                distributions.update(trial.distributions)
            for candidate in candidates:
                distributions.update(candidate.distributions)
        for name in given.keys() & distributions.keys():
            try:
                given[name] = _compat.as_stored(distributions[name], given[name])
            except (TypeError, ValueError):
                del given[name]
        return given

    def answer(self, view: StudyView | None = None) -> Answer:
        """Ask the base sampler for a relative sample alone."""
        view = view or StudyView(self._snapshot)
        relative = self._base_sampler.sample_relative(
            view,  # type: ignore[arg-type]
            view.trial(),
            self._space,
        )
        return Answer(relative, view.written)

    def base(self, so_far: Proposals, *, patience: int, rng: random.Random) -> Draws:
        """Ask the base sampler again and again; if it finds nothing for long, draw at random.

        If after ``patience`` draws all that was judged ``so_far`` is outside of the limits, the
        base sampler's model may look where nothing is, and random draws take over.
        """
        answer = Answer({}, {})
        is_random = False
        for index in itertools.count():
            is_random = index >= patience and (is_random or so_far.draws == len(so_far.outside))
            if is_random:
                yield Draw(self._at_random(rng), "random", answer)
                continue
            view = StudyView(self._snapshot)
            with self._quiet(index):
                answer = self.answer(view)
                yield Draw(self._trial(view, answer.relative, self._space), "base", answer)

    def edits(self, mutations: Mutations) -> Draws:
        """Yield the new architectures that are one edit away from a parent.

        What an edit makes appear is drawn from the base sampler independently. The base sampler is
        asked once for its relative sample, which has the parameters outside of the architecture.
        """
        view = StudyView(self._snapshot)
        answer = self.answer(view)
        space = {**self._space, **mutations.parent.distributions}
        for index, neighbour in enumerate(mutations.neighbours()):
            values = {**answer.relative, **neighbour}
            with self._quiet(index):
                yield Draw(self._trial(view, values, space), "base", answer)

    def at_random(self, rng: random.Random) -> Draws:
        """Draw at random, for ever."""
        while True:
            yield Draw(self._at_random(rng), "random")

    def searched(self, wanted: Iterable[Candidate], rng: random.Random) -> Draws:
        """Yield architectures that are wanted; what they lack after all is drawn at random."""
        for candidate in wanted:
            yield Draw(self._at_random(rng, candidate), "searched")

    def show(self, proposal: Proposal, trial: CandidateTrial) -> None:
        """Show a candidate to the base sampler's later draws as a running trial.

        That is done with what is new. The base sampler does not learn of what is outside of the
        limits, so that what it draws has its own distribution on condition of being within. Only
        lest it go on for ever, such an architecture is shown if it is drawn a second time, or if
        the sampler is one that would always give the same optimum of a model.
        """
        is_shown = proposal.fate is Fate.NEW
        if proposal.fate is Fate.OUTSIDE and proposal.candidate is not None:
            key = proposal.candidate.key
            is_shown = key in self._seen_outside or _compat.draws_are_optima(self._base_sampler)
            self._seen_outside.add(key)
        if is_shown:
            self._snapshot.consider(trial.params, trial.distributions)

    def _at_random(self, rng: random.Random, wanted: Candidate | None = None) -> CandidateTrial:
        """Return a trial in which what is not ``wanted`` is drawn at random."""
        seed, study = rng.getrandbits(32), self._snapshot.study_to_read
        if wanted is None:
            return random_trial(seed, given=self._enqueued, fixed=self._fixed, study=study)
        return random_trial(
            seed,
            given=self._enqueued,
            fixed=self._fixed,
            space=wanted.distributions,
            relative=wanted.params,
            study=study,
        )

    def _trial(
        self, view: StudyView, values: Mapping[str, Any], space: Mapping[str, BaseDistribution]
    ) -> CandidateTrial:
        return CandidateTrial(
            view.trial(),
            functools.partial(self._base_sampler.sample_independent, view),  # type: ignore[arg-type]
            given=self._enqueued,
            fixed=self._fixed,
            space=space,
            relative=values,
            study=self._snapshot.study_to_read,
        )

    def _quiet(self, index: int) -> contextlib.AbstractContextManager[None]:
        return _compat.quiet(self._base_sampler) if index else contextlib.nullcontext()
