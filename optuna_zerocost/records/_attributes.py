"""What the samplers store with a study or a trial, and how long values are stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from optuna_zerocost import _compat

__all__ = [
    "CONSTRAINT",
    "PREFIX",
    "RESERVED_NAMES",
    "TRUST",
    "is_score_name",
    "read_json",
    "set_user_attributes",
    "write_json",
]

PREFIX = "zerocost:"
"""What the names of all attributes begin with that the package stores."""

# A trial's attribute "zerocost:<name>" has another meaning for these.
RESERVED_NAMES = frozenset(
    {
        "candidates",
        "deviation",
        "doubted",
        "feasible",
        "origin",
        "otherwise",
        "predicted",
        "rejected",
        "seconds",
        "source",
        "verdict",
        "verdict_correlation",
        "verdict_reason",
        "verdict_share",
        "verdict_trials",
        "violation",
    }
)

TRUST = "trust:"
"""What follows the prefix where an attribute tells how far a score is trusted."""


def is_score_name(name: str) -> bool:
    """Return whether the attribute ``zerocost:<name>`` holds a score."""
    return name not in RESERVED_NAMES and ":" not in name


# The constraint of a trial that is outside of the limits, and the attribute that mirrors it.
CONSTRAINT = f"{PREFIX}violation"

# Room in the last piece for the number of pieces and the digest.
_HEADER_LENGTH = 32


def write_json(write: Callable[[str, Any], None], key: str, value: Any) -> None:
    """Store ``value`` as JSON in pieces that every storage accepts, under keys of their own.

    The piece under ``key`` itself is written last and says how many others there are and what
    they must add up to: a reader sees the whole value or none, even if the writer dies or two
    writers interleave. A short value is this one piece.

    Args:
        write: ``(key, value)`` → nothing; sets one attribute.
        key: The key of the whole.
        value: Anything that JSON can hold.
    """
    text = json.dumps(value, separators=(",", ":"))
    length = _compat.MAX_ATTRIBUTE_LENGTH - _HEADER_LENGTH
    pieces = [text[start : start + length] for start in range(0, len(text), length)]
    for index, piece in enumerate(pieces[1:], start=1):
        write(f"{key}:{index}", piece)
    write(key, f"{len(pieces)}:{_digest(text)}:{pieces[0]}")


def read_json(attributes: Mapping[str, Any], key: str) -> Any:
    """Return what :func:`write_json` stored under ``key``, or ``None`` if it is not all there."""
    if key not in attributes:
        return None
    count, digest, first = str(attributes[key]).split(":", 2)
    others = (str(attributes.get(f"{key}:{index}", "")) for index in range(1, int(count)))
    text = "".join([first, *others])
    return json.loads(text) if _digest(text) == digest else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def set_user_attributes(study: Study, trial: FrozenTrial, attributes: Mapping[str, Any]) -> None:
    """Store user attributes of ``trial``, names without the prefix."""
    storage, trial_id = _compat.storage_of(study), _compat.trial_id_of(trial)
    for name, value in attributes.items():
        storage.set_trial_user_attr(trial_id, f"{PREFIX}{name}", value)
        # The objective's own copy of the trial, so that it can read the attributes too.
        trial.user_attrs[f"{PREFIX}{name}"] = value
