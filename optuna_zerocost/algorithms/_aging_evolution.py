"""Aging evolution: mutate the best of a few recent trials, and let old ones die."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optuna_zerocost import _compat
from optuna_zerocost.algorithms._mutations import Mutations
from optuna_zerocost.records import PREFIX, tournament_winner

__all__ = ["PARENT_KEY", "AgingEvolutionSampler"]

PARENT_KEY = f"{PREFIX}parent"
"""System attribute of a trial: the number of the trial that it is a mutation of."""

_MEMBERS = (TrialState.COMPLETE, TrialState.PRUNED)


class AgingEvolutionSampler(BaseSampler):
    """Regularized evolution: each trial is a mutation of the best of a few recent trials.

    Real et al., "Regularized Evolution for Image Classifier Architecture Search" (AAAI 2019). The
    population is the last ``population_size`` trials that finished: the oldest dies, however good
    it is. For each trial a tournament is held among ``tournament_size`` members, drawn without
    replacement; a copy of the winner, the parent, with one parameter changed becomes the trial.
    Until the population is full, trials are random.

    *Mutation.* A parameter with more than one value is picked uniformly, then one of its other
    values: any other choice of a categorical or value of an integer; for numbers with many values
    one of those next to it or a perturbed one, with a standard deviation of a tenth of the
    (logarithmic) range. Parameters that the change makes appear are drawn at random, those that
    vanish are dropped, and those whose range no longer holds their value are drawn anew. If
    ``ZeroCostSampler`` chose the parent's architecture, there is one edit to the architecture, and
    one to the other parameters, if there are any. A mutation that the study has evaluated already
    is not repeated while the parent has others; if it has none, another tournament finds another
    parent.

    *Population.* Pruned trials are members that lose to every complete one; among them the one
    that came further wins. Failed trials are none. Age counts by trial number. Trials that violate
    constraints lose to those that violate them less (the sum of positive constraint values). With
    several objectives the winner is any entrant that no other one dominates.

    The sampler is a function of the study's history, its seed and the trial's number: a resumed
    study goes on as if it had not been interrupted, and several workers may use one seed. All the
    draws for one trial, when ``ZeroCostSampler`` asks for many, are mutations of one parent, and
    different ones as long as there are any. The parent's number is the trial's system attribute
    ``zerocost:parent``.

    Args:
        population_size: Number of members. The paper uses 100; the default is the one of
            Abdelfattah et al. (ICLR 2021).
        tournament_size: Number of entrants, at most ``population_size``. The higher, the greedier.
        seed: Seeds all draws. Default: a random one.

    Raises:
        ValueError: If not 1 ≤ tournament_size ≤ population_size, or one of them is no integer.
    """

    def __init__(
        self, population_size: int = 64, tournament_size: int = 10, *, seed: int | None = None
    ) -> None:
        sizes = (population_size, tournament_size)
        are_integers = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
        if not are_integers or not 1 <= tournament_size <= population_size:
            raise ValueError(
                f"population_size is {population_size!r} and tournament_size {tournament_size!r}, "
                "but the entrants of a tournament are drawn from the population, so both must be "
                "integers with 1 ≤ tournament_size ≤ population_size."
            )
        self._population_size = population_size
        self._tournament_size = tournament_size
        self._seed = seed
        # What is decided at a trial's first suggestion: how to draw, and what to mutate.
        self._plans: dict[int, tuple[RandomSampler, Mutations | None]] = {}
        if seed is None:
            self.reseed_rng()

    def __getstate__(self) -> dict[str, Any]:
        # Plans live from a trial's first suggestion to its last, and can be made again.
        return {**vars(self), "_plans": {}}

    def __str__(self) -> str:
        return f"AgingEvolutionSampler({self._population_size}, {self._tournament_size})"

    def reseed_rng(self) -> None:
        """Take another seed; Optuna calls this in each thread of a parallel study."""
        self._seed = random.Random().getrandbits(63)

    def parent_of(self, study: Study, trial: FrozenTrial) -> FrozenTrial | None:
        """Return the trial that ``trial`` is to be a mutation of, the same one until it ends.

        ``None`` while the population fills.
        """
        _, mutations = self._plan(study, trial)
        return None if mutations is None else mutations.parent

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Choose the parent; return its parameters that have more than one value."""
        self._plans.pop(_compat.trial_id_of(trial), None)
        parent = self.parent_of(study, trial)
        if parent is None:
            return {}
        return {name: d for name, d in parent.distributions.items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a mutation of the parent; what the parent does not have is drawn at random."""
        _, mutations = self._plan(study, trial)
        mutated: Mapping[str, Any] = {}
        if mutations is not None:
            mutated = mutations.draw(search_space)
            _compat.storage_of(study).set_trial_system_attr(
                _compat.trial_id_of(trial), PARENT_KEY, mutations.parent.number
            )
        return {
            name: mutated[name]
            if name in mutated and _compat.contains(distribution, mutated[name])
            else self.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw at random."""
        sampler, _ = self._plan(study, trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forget the parent."""
        self._plans.pop(_compat.trial_id_of(trial), None)

    def _plan(self, study: Study, trial: FrozenTrial) -> tuple[RandomSampler, Mutations | None]:
        trial_id = _compat.trial_id_of(trial)
        if trial_id not in self._plans:
            # By the trial's number: workers with one seed differ, and a resumed study goes on.
            rng = random.Random(f"{self._seed};{trial.number}")
            random_sampler = RandomSampler(seed=rng.getrandbits(32))
            self._plans[trial_id] = random_sampler, self._choose_parent(study, trial, rng)
        return self._plans[trial_id]

    def _choose_parent(
        self, study: Study, trial: FrozenTrial, rng: random.Random
    ) -> Mutations | None:
        """Hold tournaments until a winner has a mutation that is not evaluated yet."""
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        # Only a trial with parameters can be mutated.
        finished = [t for t in others if t.params and t.state in _MEMBERS]
        if len(finished) < self._population_size:
            return None
        finished.sort(key=lambda member: member.number)
        population = finished[-self._population_size :]
        fixed = trial.system_attrs.get("fixed_params", {})
        first = None
        while population:
            entrants = rng.sample(population, min(self._tournament_size, len(population)))
            winner = tournament_winner(entrants, study.directions)
            mutations = Mutations(winner, others, rng, fixed=fixed)
            if mutations.has_new():
                return mutations
            first = first or mutations
            population = [member for member in population if member is not winner]
        return first
