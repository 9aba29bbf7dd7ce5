"""Limits on the size and the speed of networks: what they are, and how far one is outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from optuna_zerocost.records import RESERVED_NAMES
from optuna_zerocost.scoring._rejection import CandidateRejected

__all__ = ["SHAPE_LIMITS", "Limit", "Limits", "OutsideLimits"]

Limit: TypeAlias = float | tuple[float, float]

# In the order in which they are measured: what needs shapes alone, what the user adds, what needs
# the network to run.
_FROM_SHAPES = ("params", "flops")
SHAPE_LIMITS = frozenset(_FROM_SHAPES)
_FROM_RUNS = ("memory_mb", "latency_ms")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on the cost of a network. One that costs more is never trained, nor even scored.

    A limit is a maximum, ``params=2e6``, or a pair of minimum and maximum,
    ``params=(1e5, 2e6)``; the bounds themselves are allowed, and ``math.inf`` is no maximum. A
    candidate outside is drawn again. Limits are checked in this order, and what follows the first
    one that is broken is not measured:

    Args:
        params: Number of trainable parameters.
        flops: Floating point operations of one forward of one sample, as the proxy ``flops``
            counts them (2 × multiply-adds).
        custom: Name → (function, limit). The function is given what the scorer's builder made (for
            a ``ModelScorer`` the untrained network on its device) and returns a finite number.
        memory_mb: Peak of the memory in tensors, in 10⁶ bytes, while the network runs on the
            minibatch: parameters, buffers, inputs, and what is computed on the way. Counted from
            the tensors that are alive, the same way on every device; work space inside of a
            kernel, and what an allocator rounds up, is not seen.
        latency_ms: Median time of one forward, in milliseconds, in eval mode and without
            gradients, on the scorer's device and with torch's present number of threads, warmed
            up, by ``torch.utils.benchmark``. It is measured once for an architecture and kept;
            measuring again would give a slightly different number. Whatever runs beside it counts
            as well: leave the scorer's ``n_jobs`` at 1.
        samples: How many samples of the minibatch run when memory and latency are measured;
            ``None`` for all of them.
        backward: Whether the memory is that of a training step, a forward in training mode and
            the backward of the loss, instead of that of a forward in eval mode.
        draws: At most so many draws for a trial: the base sampler's, and if the first quarter of
            them is outside, random ones. Where a share s of the space is within the limits, n
            random draws are all outside with probability (1 − s)ⁿ; with 2 % and the 750 random
            ones of the default this is 3 · 10⁻⁷. A warmup draws at most so often for each of its
            trials.

    Raises:
        ValueError: If there is no limit, one is negative, not a number, or has a minimum above its
            maximum, or a name is taken.
        TypeError: If an argument is of the wrong kind, or ``Limits`` has no such argument.
    """

    params: Limit | None = None
    flops: Limit | None = None
    custom: Mapping[str, tuple[Callable[[Any], float], Limit]] = field(default_factory=dict)
    memory_mb: Limit | None = None
    latency_ms: Limit | None = None
    samples: int | None = None
    backward: bool = False
    draws: int = 1000

    def __post_init__(self) -> None:
        if not isinstance(self.custom, Mapping):
            raise TypeError(
                f"custom is {self.custom!r}, but it must map names to pairs (function, limit), "
                "such as {'energy_mj': (energy_of, 5.0)}."
            )
        ranges: dict[str, tuple[float, float]] = {}
        for name in _FROM_SHAPES:
            _add_range(ranges, name, getattr(self, name), at_least=0.0)
        for name, pair in self.custom.items():
            _check_custom(name, pair)
            _add_range(ranges, name, pair[1], at_least=-math.inf)
        for name in _FROM_RUNS:
            _add_range(ranges, name, getattr(self, name), at_least=0.0)
        if not ranges:
            raise ValueError(
                "Limits() limits nothing. Pass at least one of params, flops, latency_ms, "
                "memory_mb and custom, such as Limits(params=2e6); for no limits, leave "
                "limits=None."
            )
        samples = 1 if self.samples is None else self.samples
        for name, number in (("samples", samples), ("draws", self.draws)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"{name} is {number!r}, but it must be an integer of at least 1.")
        # Derived once; the dataclass is frozen.
        object.__setattr__(self, "_ranges", ranges)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Name → (minimum, maximum), in the order in which they are checked."""
        return dict(vars(self)["_ranges"])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what is limited, in the order in which it is checked."""
        return tuple(self.ranges)

    def excess(self, name: str, value: float) -> float:
        """Return how far ``value`` is outside, relative to the bound that it breaks; 0 if inside.

        1.5 million parameters where 1 million are allowed are an excess of 0.5, and so are 15 ms
        where 10 ms are: excesses of different limits can be compared and added. For a bound of 0
        the difference itself is taken.
        """
        low, high = self.ranges[name]
        bound = high if value > high else low
        if low <= value <= high:
            return 0.0
        return abs(value - bound) / (abs(bound) or 1.0)

    def violation(self, measured: Mapping[str, float]) -> float:
        """Return the sum of the excesses of what was measured; 0 if all of it is inside."""
        return sum(self.excess(name, value) for name, value in measured.items())

    def check(self, measured: Mapping[str, float]) -> None:
        """Check what was measured, name → value for some or all of the names.

        Raises:
            OutsideLimits: If something is outside; it has the values.
            ValueError: If a value is not finite.
        """
        for name, value in measured.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"{name} was measured as {value}, which can be compared with no limit; "
                    "return a finite number"
                )
        if self.violation(measured) > 0:
            raise OutsideLimits(self, measured)

    def describe(self, name: str) -> str:
        """Return one limit in words."""
        low, high = self.ranges[name]
        most = f"at most {high:g}" if high < math.inf else ""
        least = f"at least {low:g}" if low not in (0.0, -math.inf) else ""
        return f"{name} {' and '.join(filter(None, (least, most)))}"


class OutsideLimits(CandidateRejected):
    """A network is outside of the limits.

    Attributes:
        measured: Name → value, up to the first limit that is broken.
        violation: The sum of the relative excesses, above 0; see :meth:`Limits.excess`.
    """

    def __init__(self, limits: Limits, measured: Mapping[str, float]) -> None:
        self.limits = limits
        self.measured = dict(measured)
        self.violation = limits.violation(measured)
        broken = (
            f"{name} is {value:g}, but the limit is {limits.describe(name)}"
            for name, value in measured.items()
            if limits.excess(name, value) > 0
        )
        super().__init__("; ".join(broken))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limits, self.measured)


def _add_range(
    ranges: dict[str, tuple[float, float]], name: str, limit: Any, *, at_least: float
) -> None:
    if limit is None:
        return
    if name in ranges:
        raise ValueError(
            f"{name!r} is limited twice, by its own argument and in custom; leave one out."
        )
    is_pair = isinstance(limit, (tuple, list))
    bounds = tuple(limit) if is_pair else (at_least, limit)
    if len(bounds) != 2 or not all(_is_number(bound) for bound in bounds):
        raise TypeError(
            f"The limit of {name!r} is {limit!r}, but it must be a maximum, such as 2e6, or a "
            "pair (minimum, maximum), such as (1e5, 2e6)."
        )
    low, high = float(bounds[0]), float(bounds[1])
    objection = ""
    if math.isnan(low) or math.isnan(high):
        objection = "but nothing is within NaN. Pass numbers."
    elif low < at_least or high < at_least:
        objection = (
            "but it is never negative, so nothing would be within, or the minimum would say "
            "nothing. Pass numbers of at least 0."
        )
    elif low > high:
        objection = (
            "whose minimum is above its maximum, so that nothing would be within. Did you mean "
            f"{(bounds[1], bounds[0])!r}?"
        )
    elif low in (0.0, -math.inf) and high == math.inf:
        objection = "which is none; leave it out."
    elif low == math.inf or high == -math.inf:
        objection = "so that nothing would be within."
    if objection:
        raise ValueError(f"The limit of {name!r} is {limit!r}, {objection}")
    ranges[name] = (low, high)


def _is_number(value: Any) -> bool:
    if isinstance(value, (bool, str)):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _check_custom(name: Any, pair: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name in RESERVED_NAMES:
        raise ValueError(
            f"custom names a limit {name!r}, but it must be an identifier and none of "
            f"{sorted(RESERVED_NAMES)}, since it becomes the trial attribute 'zerocost:<name>'."
        )
    is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not is_pair or not callable(pair[0]) or pair[1] is None:
        raise TypeError(
            f"custom[{name!r}] is {pair!r}, but it must be a pair of a function and its limit, "
            f"such as {{{name!r}: (function, 5.0)}} or {{{name!r}: (function, (1.0, 5.0))}}."
        )
