"""The global random states of Python, NumPy and torch, seeded for a while and then put back.

Network builders and dropout draw from the global generators, so a score is a function of the
network alone only if those generators start from a known state. Nobody outside may notice.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["RandomState", "SeededRandomState"]

# The global generators belong to the process, so two threads must not seed them at once.
_LOCK = threading.RLock()


class RandomState:
    """The global random states at the moment it is made."""

    def __init__(self) -> None:
        self._states: list[tuple[Any, Callable[[Any], None]]] = [
            (random.getstate(), random.setstate),
            (np.random.get_state(), np.random.set_state),
            (torch.get_rng_state(), torch.set_rng_state),
        ]
        in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        if torch.cuda.is_available() and in_use:
            self._states.append((torch.cuda.get_rng_state_all(), torch.cuda.set_rng_state_all))
        if torch.backends.mps.is_available():
            self._states.append((torch.mps.get_rng_state(), torch.mps.set_rng_state))

    def restore(self) -> None:
        """Put the global random states back to that moment's."""
        for state, restore in self._states:
            restore(state)


class SeededRandomState:
    """Context manager: inside, the global random states are seeded; afterwards they are as before.

    The seed is for Python's, NumPy's and torch's global generators, 0 ≤ seed < 2**32.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._outside: RandomState | None = None

    def __enter__(self) -> SeededRandomState:
        _LOCK.acquire()
        self._outside = RandomState()
        random.seed(self._seed)
        np.random.seed(self._seed)
        accelerators = (torch.cuda, torch.backends.mps, torch.xpu, torch.mtia)
        if any(module.is_available() for module in accelerators):
            torch.manual_seed(self._seed)
        else:  # a fiftieth of the time, most of which goes to remembering accelerators' seeds
            torch.default_generator.manual_seed(self._seed)
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._outside is not None
        self._outside.restore()
        self._outside = None
        _LOCK.release()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Give the outside its own random states back for a while.

        A sampler that is asked for a parameter in the middle of a builder draws from its own
        stream, and what it draws does not move the seeded one.
        """
        assert self._outside is not None, "paused() is for use inside the with block"
        inside = RandomState()
        self._outside.restore()
        try:
            yield
        finally:
            self._outside = RandomState()
            inside.restore()
