"""One run of a builder, or of an objective as far as `report_network`, for the network alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NoReturn

from optuna_zerocost import _compat
from optuna_zerocost.scoring._scorer import DrawingTrial
from optuna_zerocost.scoring._surroundings import open_trackers

__all__ = ["NetworkReported", "NetworkRun", "run_of"]

_RUN: ContextVar[NetworkRun | None] = ContextVar("optuna_zerocost_network_run", default=None)


class NetworkReported(BaseException):
    """Ends an objective that is run for its network, at the line that reports it.

    No error: whoever catches it should let it pass. It is no ``Exception``, so that an objective's
    own handlers do.
    """

    def __init__(self, run: NetworkRun) -> None:
        super().__init__(
            "the network of a candidate was taken to be scored, and the objective is not run any "
            "further for it; let this exception pass"
        )
        self.run = run


class NetworkRun:
    """Runs a function of ``trial``, and takes the network that it reports.

    Attributes:
        network: What was reported, or ``None``.
        went_on: Whether the function went on after it had reported a network.
        seconds: The time until then, without that for drawing parameters.
        started_trackers: The packages whose runs the function had started by then.
    """

    def __init__(self, trial: Any) -> None:
        self.trial = trial
        self.network: Any = None
        self.went_on = False
        self.seconds = 0.0
        self.started_trackers: list[str] = []
        self._trackers: dict[str, Any] = {}
        self._drawing = 0.0
        self._started = 0.0

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return the network that is reported, or else what the function returns.

        Raises:
            Exception: What the function raises before it has reported a network.
        """
        self._trackers = open_trackers()
        self._started = time.perf_counter()
        token = _RUN.set(self)
        returned = None
        try:
            with self._at_the_trial():
                returned = function(self.trial, *args)
                self.went_on = self.network is not None
        except NetworkReported as reported:
            if reported.run is not self:
                raise
        except (Exception, SystemExit):
            # What fails while the objective is unwound is nothing to a network that is there.
            if self.network is None:
                raise
        finally:
            _RUN.reset(token)
            if self.network is None:
                self._stop_clock()
        return returned if self.network is None else self.network

    def take(self, network: Any) -> NoReturn:
        """Keep the network, the first of several, and end the function."""
        if self.network is None:
            self.network = network
            self._stop_clock()
            now = open_trackers().items()
            self.started_trackers = [n for n, run in now if self._trackers.get(n) != run]
        raise NetworkReported(self)

    def go_on(self) -> None:
        """End the function again, if it went on after its network was taken."""
        if self.network is not None:
            self.went_on = True
            raise NetworkReported(self)

    def _stop_clock(self) -> None:
        self.seconds = time.perf_counter() - self._started - self._drawing

    @contextlib.contextmanager
    def _at_the_trial(self) -> Iterator[None]:
        """Let the trial know of this run, as long as it lasts, and see how long it draws."""
        trial = self.trial
        if not isinstance(trial, DrawingTrial):
            yield
            return
        around, outer = trial.around_draw, trial.run

        @contextlib.contextmanager
        def around_draw() -> Iterator[None]:
            begun = time.perf_counter()
            with around():
                yield
            self._drawing += time.perf_counter() - begun

        trial.around_draw, trial.run = around_draw, self
        try:
            yield
        finally:
            trial.around_draw, trial.run = around, outer


def run_of(trial: Any) -> NetworkRun | None:
    """Return the run that ``trial`` belongs to, or ``None`` if it is to be trained."""
    if isinstance(trial, DrawingTrial) and trial.run is not None:
        # In whatever thread.
        own: NetworkRun = trial.run
        return own
    run = _RUN.get()
    if run is None or trial is run.trial:
        return run
    # Something around the trial that the function was given; but an objective may run a study of
    # its own, whose trials are nobody's candidates.
    return None if _compat.is_trial(trial) else run
