"""Python's cyclic garbage collector, out of the way for a while."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["collector_paused"]


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Context manager: inside, the cyclic garbage collector does not run by itself.

    Making a network of some hundred modules starts it half a dozen times, in vain, since all of
    them are alive, and now and then it goes through everything that was ever imported. Most
    networks are freed without it, by their reference counts; one that refers to itself is
    collected afterwards. The collector belongs to the process, so other threads' garbage waits
    too.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
