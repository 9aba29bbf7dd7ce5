"""A trial whose values are all given, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FixedTrial

from optuna_zerocost import _compat
from optuna_zerocost.commands._command_error import CommandError

__all__ = ["GivenTrial"]


class GivenTrial(FixedTrial):
    """Answers ``suggest_*`` from ``params``; a parameter of one possible value may be left out.

    Args:
        params: Name → value.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__(dict(params))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            if not distribution.single():
                raise CommandError(f"the parameter {name!r} is missing; {_allowed(distribution)}.")
            self._params[name] = _compat.single_value(distribution)
        self._params[name] = _checked(name, self._params[name], distribution)
        return super()._suggest(name, distribution)


def _checked(name: str, value: Any, distribution: BaseDistribution) -> Any:
    try:
        if _compat.contains(distribution, value):
            return distribution.to_external_repr(distribution.to_internal_repr(value))
    except (TypeError, ValueError):
        pass  # of another kind than the distribution's values
    raise CommandError(f"the parameter {name!r} is {value!r}, but {_allowed(distribution)}.")


def _allowed(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"it is one of {', '.join(map(repr, distribution.choices))}"
    step = getattr(distribution, "step", None)
    by = f" in steps of {step}" if step not in (None, 1) else ""
    kind = type(distribution).__name__.removesuffix("Distribution").lower()
    low, high = getattr(distribution, "low", None), getattr(distribution, "high", None)
    return f"it is of type {kind}, from {low} to {high}{by}"
