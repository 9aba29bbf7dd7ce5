"""Fingerprints: texts that are the same in every process for what gives the same scores."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

__all__ = ["described", "fingerprint_of", "qualified_name", "without_address"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint_of(scorer: Callable[..., Any]) -> str:
    """Return the scorer's own fingerprint, or its qualified name where it has none."""
    own = getattr(scorer, "fingerprint", None)
    return qualified_name(scorer) if own is None else str(own)


def qualified_name(function: Any) -> str:
    """Return where ``function``, or the class of a callable object, is defined.

    For a ``functools.partial`` with the arguments that it binds.
    """
    if isinstance(function, functools.partial):
        bound = [
            *map(described, function.args),
            *(f"{name}={described(value)}" for name, value in function.keywords.items()),
        ]
        return f"{qualified_name(function.func)}({', '.join(bound)})"
    named = function if hasattr(function, "__qualname__") else type(function)
    # A script's own module is called __mp_main__ in the processes that multiprocessing spawns.
    # And code that is executed without a name has no module.
    module = (named.__module__ or "").replace("__mp_main__", "__main__")
    return f"{module}.{named.__qualname__}"


def described(value: Any) -> str:
    """Return what is the same in every process, without places in memory."""
    return fingerprint_of(value) if callable(value) else without_address(repr(value))


def without_address(text: str) -> str:
    """Return the ``repr`` of an object without its place in memory."""
    return _ADDRESS.sub("", text)
