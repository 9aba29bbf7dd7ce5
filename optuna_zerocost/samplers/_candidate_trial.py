"""A trial that exists only while a candidate is drawn and scored; no storage knows of it."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Collection, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from optuna_zerocost import _compat
from optuna_zerocost.records import ArchitectureKey, Candidate, architecture_key
from optuna_zerocost.scoring import DrawingTrial, RepeatedArchitecture, Scorer, evaluate

__all__ = ["CandidateTrial", "random_trial", "scored_architecture", "trial_with"]

DrawIndependent = Callable[[FrozenTrial, str, BaseDistribution], Any]


class CandidateTrial(FixedTrial, DrawingTrial):
    """A trial whose ``suggest_*`` are answered by a sampler, in the precedence of Optuna's trial.

    That is: already suggested, then enqueued or fixed, then the only value there is, then the
    relative sample, then an independent draw.

    Args:
        frozen: The trial as the sampler is to see it. Its parameters grow with each suggestion,
            since some samplers read what was suggested before.
        draw_independent: ``(frozen, name, distribution) → value``.
        fixed: Values that are given, e.g. by ``enqueue_trial``.
        space: The relative search space.
        relative: Values drawn for it.
        is_repeated: Tells from the finished candidate whether its architecture is known.
        draws_globally: Whether ``draw_independent`` may read the global random states, which a
            scorer that seeded them must then put back around each draw.
    """

    def __init__(
        self,
        frozen: FrozenTrial,
        draw_independent: DrawIndependent,
        *,
        fixed: Mapping[str, Any],
        space: Mapping[str, BaseDistribution],
        relative: Mapping[str, Any],
        is_repeated: Callable[[CandidateTrial], bool],
        draws_globally: bool = True,
    ) -> None:
        super().__init__({}, number=frozen.number)
        self._frozen = frozen
        self._draw_independent = draw_independent
        # What was suggested before the drawing began counts as given.
        self._given = {**fixed, **frozen.params}
        self._space = space
        self._relative = relative
        self._is_repeated = is_repeated
        self._draws_globally = draws_globally
        self._user_attrs = dict(frozen.user_attrs)
        self.around_draw = contextlib.nullcontext

    @property
    def key(self) -> ArchitectureKey:
        """What tells the architecture drawn so far from another."""
        return architecture_key(self._suggested_params, self._distributions)

    def is_repeated(self) -> bool:
        """Return whether the architecture needs no score any more."""
        return self._is_repeated(self)

    def is_fixed_by(self, names: Collection[str]) -> bool:
        """Return whether no other draw would give another architecture, these being given."""
        return all(
            name in names or distribution.single()
            for name, distribution in self._distributions.items()
        )

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._distributions:
            check_distribution_compatibility(self._distributions[name], distribution)
            return self._suggested_params[name]
        value = self._value_of(name, distribution)
        self._suggested_params[name] = self._frozen.params[name] = value
        self._distributions[name] = self._frozen.distributions[name] = distribution
        return value

    def _value_of(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._given:
            return self._given[name]
        if distribution.single():
            return _compat.single_value(distribution)
        if name in self._relative:
            check_distribution_compatibility(self._space[name], distribution)
            if _compat.contains(distribution, self._relative[name]):
                return self._relative[name]
        with self.around_draw() if self._draws_globally else contextlib.nullcontext():
            return self._draw_independent(self._frozen, name, distribution)


def random_trial(
    seed: int,
    *,
    fixed: Mapping[str, Any],
    space: Mapping[str, BaseDistribution],
    relative: Mapping[str, Any],
    is_repeated: Callable[[CandidateTrial], bool],
) -> CandidateTrial:
    """Return a trial in which what is not given is drawn at random.

    Args:
        seed: Seeds the draws.
        fixed: See :class:`CandidateTrial`.
        space: The distributions of ``relative``.
        relative: Values that are suggested where they fit.
        is_repeated: See :class:`CandidateTrial`.
    """
    sampler = RandomSampler(seed=seed)
    return CandidateTrial(
        create_trial(state=TrialState.RUNNING),
        # A random sampler does not look at the study.
        functools.partial(sampler.sample_independent, None),  # type: ignore[arg-type]
        fixed=fixed,
        space=space,
        relative=relative,
        is_repeated=is_repeated,
        # Its generator is its own, and six swaps of the global states would take 2 ms.
        draws_globally=False,
    )


def scored_architecture(scorer: Scorer, trial: CandidateTrial) -> Candidate:
    """Let ``scorer`` ask ``trial`` for an architecture and score it.

    Returns:
        The architecture; without scores if the scorer gave up since it is repeated.

    Raises:
        CandidateRejected: If the scorer raised, or a score is not finite.
        TypeError: If the scorer does not return a mapping of names to numbers.
    """
    scores: Mapping[str, float] = {}
    with contextlib.suppress(RepeatedArchitecture):
        scores = evaluate(scorer, trial)
    return Candidate(trial.params, trial.distributions, scores)


def trial_with(
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    rng: random.Random,
    *,
    fixed: Mapping[str, Any] | None = None,
    is_repeated: Callable[[CandidateTrial], bool] = lambda trial: False,
) -> CandidateTrial:
    """Return a trial that suggests ``params``, to run a builder or a scorer on.

    What the builder asks for and ``params`` lack, or hold with a value outside of the range that
    is asked for, is drawn at random. What it does not ask for is dropped. Afterwards the trial's
    ``params`` and ``distributions`` tell what came out.

    Args:
        params: Values as a user sees them, e.g. one of :func:`one_edit_neighbours`.
        distributions: For each name in ``params`` a distribution.
        rng: Seeds the random values.
        fixed: Values that are given, whatever ``params`` say.
        is_repeated: See :class:`~optuna_zerocost.samplers._candidate_trial.CandidateTrial`.
    """
    return random_trial(
        rng.getrandbits(32),
        fixed=fixed or {},
        space=distributions,
        relative=params,
        is_repeated=is_repeated,
    )
