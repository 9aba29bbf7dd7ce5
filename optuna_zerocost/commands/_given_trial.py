"""A trial whose values are all given, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_zerocost import _compat
from optuna_zerocost.commands._command_error import CommandError
from optuna_zerocost.samplers import CandidateTrial

__all__ = ["GivenTrial"]


class GivenTrial(CandidateTrial):
    """Answers ``suggest_*`` from ``params``; a parameter of one possible value may be left out.

    Args:
        params: Name → value.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__(
            create_trial(state=TrialState.RUNNING),
            _missing,
            fixed=params,
            space={},
            relative={},
            is_repeated=lambda trial: False,
        )

    def _value_of(self, name: str, distribution: BaseDistribution) -> Any:
        value = super()._value_of(name, distribution)
        try:
            if _compat.contains(distribution, value):
                return distribution.to_external_repr(distribution.to_internal_repr(value))
        except (TypeError, ValueError):
            pass  # of another kind than the distribution's values
        raise CommandError(f"the parameter {name!r} is {value!r}, but {_allowed(distribution)}.")


def _missing(trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
    raise CommandError(f"the parameter {name!r} is missing; {_allowed(distribution)}.")


def _allowed(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"it is one of {', '.join(map(repr, distribution.choices))}"
    step = getattr(distribution, "step", None)
    by = f" in steps of {step}" if step not in (None, 1) else ""
    kind = type(distribution).__name__.removesuffix("Distribution").lower()
    low, high = getattr(distribution, "low", None), getattr(distribution, "high", None)
    return f"it is of type {kind}, from {low} to {high}{by}"
