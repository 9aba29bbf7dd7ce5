"""A trial that exists only while a candidate is drawn and scored; no storage knows of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_zerocost import _compat
from optuna_zerocost.records import ArchitectureKey, architecture_key
from optuna_zerocost.scoring import CandidateRejected, DrawnTrial, StudyToRead

__all__ = ["CandidateTrial", "random_trial"]

DrawIndependent = Callable[[FrozenTrial, str, BaseDistribution], Any]

_NOTHING: Mapping[str, Any] = {}


class CandidateTrial(DrawnTrial):
    """A trial whose ``suggest_*`` are answered by a sampler, in the precedence of Optuna's trial.

    That is: already suggested, then enqueued, which is ``given``, then the only value there is,
    then what a ``PartialFixedSampler`` has ``fixed``, then the relative sample, then an
    independent draw. What is not asked for is dropped. What is given or fixed may be out of range,
    as with Optuna; Optuna says so when the trial comes.

    The parameters of ``frozen`` grow with each suggestion, since some samplers read what was
    suggested before. Where ``draw_independent`` may read the global random states, it
    ``draws_globally``: a scorer that seeded them must then put them back around each draw.
    What is in ``bans`` is rejected as soon as it is drawn, for the reason there.
    ``needs_no_score`` tells from an architecture's key whether a score would be in vain.
    """

    def __init__(
        self,
        frozen: FrozenTrial,
        draw_independent: DrawIndependent,
        *,
        given: Mapping[str, Any] = _NOTHING,
        fixed: Mapping[str, Any] = _NOTHING,
        space: Mapping[str, BaseDistribution] = _NOTHING,
        relative: Mapping[str, Any] = _NOTHING,
        draws_globally: bool = True,
        study: StudyToRead | None = None,
    ) -> None:
        super().__init__({}, frozen.number, study)
        self._frozen = frozen
        self._draw_independent = draw_independent
        # What was suggested before the drawing began counts as given.
        self._given = {**given, **frozen.params}
        self._fixed = fixed
        self._space = space
        self._relative = relative
        self._draws_globally = draws_globally
        self._user_attrs = dict(frozen.user_attrs)
        self.around_draw = contextlib.nullcontext
        self.bans: Mapping[ArchitectureKey, str] = {}
        self.needs_no_score: Callable[[ArchitectureKey], bool] = lambda key: False

    @property
    def relative_params(self) -> dict[str, Any]:
        """What a sampler has suggested for the parameters together."""
        return dict(self._relative)

    @property
    def relative_search_space(self) -> dict[str, BaseDistribution]:
        """The distributions of the relative parameters."""
        return dict(self._space)

    def is_repeated(self) -> bool:
        """Return whether the architecture needs no score any more."""
        return self.needs_no_score(architecture_key(self._suggested_params, self._distributions))

    def is_fixed_by(self, names: Collection[str]) -> bool:
        """Return whether no other draw would give another architecture, these being given."""
        return all(
            name in names or distribution.single()
            for name, distribution in self._distributions.items()
        )

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        value = super()._suggest(name, distribution)
        self._frozen.params.setdefault(name, value)
        self._frozen.distributions.setdefault(name, distribution)
        if self.bans:
            key = architecture_key(self._suggested_params, self._distributions)
            if key in self.bans:
                raise CandidateRejected(self.bans[key])
        return value

    def _value_of(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._given:
            return _compat.as_stored(distribution, self._given[name])
        if distribution.single():
            return _compat.single_value(distribution)
        if name in self._fixed:
            return _compat.as_stored(distribution, self._fixed[name])
        if name in self._relative:
            check_distribution_compatibility(self._space[name], distribution)
            if _compat.contains(distribution, self._relative[name]):
                return self._relative[name]
        with self.around_draw() if self._draws_globally else contextlib.nullcontext():
            return self._draw_independent(self._frozen, name, distribution)


def random_trial(
    seed: int,
    *,
    given: Mapping[str, Any] = _NOTHING,
    fixed: Mapping[str, Any] = _NOTHING,
    space: Mapping[str, BaseDistribution] = _NOTHING,
    relative: Mapping[str, Any] = _NOTHING,
    study: StudyToRead | None = None,
) -> CandidateTrial:
    """Return a trial in which what else there is comes from ``relative``, or at random."""
    sampler = RandomSampler(seed=seed)
    return CandidateTrial(
        create_trial(state=TrialState.RUNNING),
        # A random sampler does not look at the study.
        functools.partial(sampler.sample_independent, None),  # type: ignore[arg-type]
        given=given,
        fixed=fixed,
        space=space,
        relative=relative,
        # Its generator is its own, and six swaps of the global states would take 2 ms.
        draws_globally=False,
        study=study,
    )
