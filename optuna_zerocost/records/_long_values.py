"""Long values in attributes: JSON in pieces that every storage accepts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from optuna_zerocost import _compat

__all__ = ["read_json", "write_json"]

# Room in the last piece for the number of pieces and the digest.
_HEADER_LENGTH = 32


def write_json(write: Callable[[str, Any], None], key: str, value: Any) -> None:
    """Store ``value`` as JSON in pieces that every storage accepts, under keys of their own.

    The piece under ``key`` itself is written last and says how many others there are and what
    they must add up to: a reader sees the whole value or none, even if the writer dies or two
    writers interleave. A short value is this one piece. ``write`` sets one attribute.
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
