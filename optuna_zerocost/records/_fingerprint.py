"""Fingerprints: texts that are the same in every process for what gives the same scores."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from optuna_zerocost.records._digest import first_digest_of, name_of

__all__ = ["digested", "fingerprint_of"]


def fingerprint_of(scorer: Callable[..., Any]) -> str:
    """Return the scorer's own fingerprint, or its name and digest where it has none.

    Raises:
        RuntimeError: If the scorer's own fingerprint cannot be read.
    """
    try:
        own = scorer.fingerprint  # type: ignore[attr-defined]
    except AttributeError as error:
        if inspect.getattr_static(scorer, "fingerprint", None) is not None:
            raise RuntimeError(
                f"The attribute 'fingerprint' of {scorer!r} raised {type(error).__name__}: "
                f"{error}. Mend it, or remove it to have its code and data compared instead."
            ) from error
        own = None
    return digested(scorer) if own is None else str(own)


def digested(scorer: Callable[..., Any]) -> str:
    """Return the name of a scorer and the digest of its code and of what it holds."""
    named = scorer
    while isinstance(named, functools.partial):
        named = named.func
    return f"{name_of(named)}:{first_digest_of(scorer)}"
