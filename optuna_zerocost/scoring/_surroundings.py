"""What an objective does to the world around it, while it is run for its network alone."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from unittest import mock

__all__ = ["alone", "open_trackers", "silent", "trackers_closed"]

_SILENT: ContextVar[bool] = ContextVar("optuna_zerocost_silent", default=False)

# Collective calls that send from the first process, where candidates are scored.
_COLLECTIVE = ("broadcast", "broadcast_object_list", "barrier")


class _Quietened:
    """Stands in for a stream, and lets through what is not printed inside of ``silent``."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if _SILENT.get() else int(self._stream.write(text) or 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _StandardOutput:
    """Replaces ``sys.stdout`` for as long as some thread is silent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._stream: Any = None
        self._quietened: Any = None

    def change(self, count: int) -> None:
        with self._lock:
            if not self._count:
                self._stream = sys.stdout
                self._quietened = sys.stdout = _Quietened(self._stream)
            self._count += count
            # Somebody else may have redirected it meanwhile.
            if not self._count and sys.stdout is self._quietened:
                sys.stdout = self._stream


_STANDARD_OUTPUT = _StandardOutput()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Context manager: what this thread prints inside goes nowhere."""
    token = _SILENT.set(True)
    _STANDARD_OUTPUT.change(1)
    try:
        yield
    finally:
        _STANDARD_OUTPUT.change(-1)
        _SILENT.reset(token)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Context manager: what the first of several processes broadcasts inside goes nowhere.

    The others wait for the trial's own values, and know of no candidate.
    ``TorchDistributedTrial`` sends each value of a trial.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        yield
        return
    with contextlib.ExitStack() as stack:
        for name in _COLLECTIVE:
            stack.enter_context(mock.patch.object(distributed, name, _send_nothing))
        yield


def _send_nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing: the values of the process that sends are there already."""


def open_trackers() -> dict[str, Any]:
    """Return the runs of trackers that are open: name of the package → identifier."""
    found: dict[str, Any] = {}
    with contextlib.suppress(Exception):
        found["wandb"] = getattr(getattr(sys.modules.get("wandb"), "run", None), "id", None)
    with contextlib.suppress(Exception):
        active = getattr(sys.modules.get("mlflow"), "active_run", lambda: None)()
        found["mlflow"] = None if active is None else active.info.run_id
    return {name: run for name, run in found.items() if run is not None}


@contextlib.contextmanager
def trackers_closed() -> Iterator[None]:
    """Context manager: a tracker's run that is started inside, and left open, is ended.

    A trial may ask for its parameters, and so for candidates, when its own run has begun. MLflow
    refuses another one then, unless it is nested; W&B may end it, unless the same is given again.
    """
    before = open_trackers()
    mlflow: Any = sys.modules.get("mlflow")
    wandb: Any = sys.modules.get("wandb")
    try:
        with contextlib.ExitStack() as stack:
            if "mlflow" in before and hasattr(mlflow, "start_run"):
                nested = functools.partial(mlflow.start_run, nested=True)
                stack.enter_context(mock.patch.object(mlflow, "start_run", nested))
            if "wandb" in before and hasattr(wandb, "init"):
                own = wandb.run
                stack.enter_context(mock.patch.object(wandb, "init", lambda *_, **__: own))
            yield
    finally:
        for name, run in open_trackers().items():
            if before.get(name) != run:
                # The trial that is trained next would write into it.
                with contextlib.suppress(Exception):
                    if name == "wandb":
                        sys.modules[name].finish(quiet=True)
                    else:
                        sys.modules[name].end_run("KILLED")
