"""The proxies by name: ours and the user's own, on an equal footing."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna_zerocost.proxies._errors import ProxyDefinitionError, UnknownProxyError
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity

__all__ = ["Direction", "Proxy", "ProxyFunction", "describe", "names", "register"]

Direction = Literal["maximize", "minimize"]
ProxyFunction = Callable[[Measured], float]


@dataclass(frozen=True)
class Proxy:
    """A zero-cost proxy: a number that an untrained network and a minibatch yield.

    Attributes:
        name: What it is asked for by.
        function: From what the pass measured to the score.
        direction: Whether a better network has a larger or a smaller score.
        reads: The quantities it needs, all of one pass.
        summary: The formula, in one line.
        paper: Authors, venue and year; empty for a proxy without one.
        fails: Where it is undefined or says little, in one line.

    Raises:
        ProxyDefinitionError: If these contradict one another.
    """

    name: str
    function: ProxyFunction = field(repr=False)
    direction: Direction
    reads: tuple[Quantity[Any], ...]
    summary: str
    paper: str = ""
    fails: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ProxyDefinitionError(
                f"the proxy name {self.name!r} is not an identifier; use letters, digits and _"
            )
        if self.direction not in ("maximize", "minimize"):
            raise ProxyDefinitionError(
                f"the direction of {self.name!r} is {self.direction!r}; "
                "use 'maximize' or 'minimize'"
            )
        if not self.reads or not all(isinstance(item, Quantity) for item in self.reads):
            raise ProxyDefinitionError(
                f"{self.name!r} reads {self.reads!r}; declare at least one quantity, for example "
                "reads=(WEIGHT_GRADIENTS,)"
            )
        sources = {quantity.source for quantity in self.reads}
        if len(sources) > 1:
            passes = " and ".join(sorted(source.name for source in sources))
            raise ProxyDefinitionError(
                f"{self.name!r} reads from the passes {passes}, and a proxy reads from one; make "
                "two proxies of it and combine their scores"
            )

    @property
    def source(self) -> Pass:
        """The pass it reads from."""
        return self.reads[0].source

    @property
    def needs_labels(self) -> bool:
        """True if the minibatch must have labels."""
        return any(quantity.needs_labels for quantity in self.reads)

    @property
    def needs_second_derivatives(self) -> bool:
        """True if the network must be twice differentiable."""
        return any(quantity.needs_second_derivatives for quantity in self.reads)


_PROXIES: dict[str, Proxy] = {}


def register(
    name: str,
    *,
    reads: tuple[Quantity[Any], ...],
    summary: str,
    direction: Direction = "maximize",
    paper: str = "",
    fails: str = "",
) -> Callable[[ProxyFunction], ProxyFunction]:
    """Return a decorator that registers a function as the proxy ``name``.

    Example::

        @register("largest_gradient", reads=(WEIGHT_GRADIENTS,), summary="max |g|")
        def largest_gradient(measured: Measured) -> float:
            return max(float(item.gradient.abs().max()) for item in measured[WEIGHT_GRADIENTS])

    A process that is to compute it has to import the module with the function; or pass the
    ``Proxy`` itself, as ``describe(name)`` gives it, instead of its name.

    Args:
        name: An identifier that is not taken.
        reads: The quantities that the function asks ``measured`` for, all of one pass.
        summary: The formula, in one line.
        direction: Whether a better network has a larger or a smaller score.
        paper: Authors, venue and year.
        fails: Where it is undefined or says little, in one line.

    Raises:
        ProxyDefinitionError: If the name is taken or the declaration contradicts itself.
    """

    def decorate(function: ProxyFunction) -> ProxyFunction:
        if name in _PROXIES:
            raise ProxyDefinitionError(
                f"the proxy name {name!r} is taken ({_PROXIES[name].summary}); "
                "choose another name for yours"
            )
        _PROXIES[name] = Proxy(name, function, direction, reads, summary, paper, fails)
        return function

    return decorate


def names() -> tuple[str, ...]:
    """Return the names of all registered proxies, in alphabetical order."""
    return tuple(sorted(_PROXIES))


def describe(name: str) -> Proxy:
    """Return the proxy of that name.

    Raises:
        UnknownProxyError: If there is none.
    """
    if name not in _PROXIES:
        close = difflib.get_close_matches(name, _PROXIES, n=1)
        hint = f"did you mean {close[0]!r}? Known" if close else "known"
        raise UnknownProxyError(
            f"no proxy is called {name!r}; {hint} are {', '.join(names())}; "
            "add your own with proxies.register"
        )
    return _PROXIES[name]
