"""Scoring in a process apart, which may die or hang, and is replaced.

The candidate stays here, and so does the sampler that draws it: the process asks for each value
when its builder does. So it is known what a candidate had asked for by the time it died.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from joblib.externals.loky.backend import reduction
from optuna.distributions import BaseDistribution

from optuna_zerocost.records import Candidate
from optuna_zerocost.scoring._rejection import CandidateRejected, ScoringProcessError
from optuna_zerocost.scoring._scorer import BaseScorer, DrawingTrial
from optuna_zerocost.scoring._stand_in import DrawnTrial, StudyToRead

__all__ = ["ScorerApart", "serve"]

# A process may be killed for what another one did; a second death is the candidate's own.
_TRIES = 2

# So many candidates, one after the other, are no accident.
_MOST_IN_A_ROW = 10

# Seconds: a process that has nothing to do leaves, one whose parent is gone leaves at once.
_LONGEST_IDLE, _BETWEEN_LOOKS = 300.0, 1.0


class ScorerApart(BaseScorer):
    """Does what ``scorer`` does, in a process that lives as long as the scorer."""

    def __init__(self, scorer: BaseScorer) -> None:
        self._scorer = scorer
        self.score_names = scorer.score_names
        self.score_directions = scorer.score_directions
        self.limits = scorer.limits
        self.n_jobs = scorer.n_jobs

    def __call__(self, trial: Any, /) -> Mapping[str, float]:
        """Score ``trial``.

        Raises:
            CandidateRejected: If the process died or hung twice.
            ScoringProcessError: If it cannot be started, or many candidates ended it.
        """
        return _process_of(self._scorer).scores_of(self._scorer, trial)

    @property
    def fingerprint(self) -> str:
        """That of the scorer."""
        return self._scorer.fingerprint

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Let the scorer remember; a process that is started later knows of it."""
        self._scorer.remember(candidates)

    def outline_of(self, trial: Any, /) -> Mapping[str, Any] | None:
        """Return what the scorer says, in this process."""
        return self._scorer.outline_of(trial)

    def prepare_worker(self) -> None:
        """Let the scorer prepare; the process apart has as many torch threads as this one."""
        self._scorer.prepare_worker()


class _Ended(Exception):
    """The process has died or was ended; the message is the reason."""


class _Process:
    """A process that scores for this one, and its replacements."""

    def __init__(self) -> None:
        # The threads of one process share it.
        self._lock = threading.Lock()
        self._connection: Connection[Any, Any] | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._end: Any = None
        self._in_a_row = 0

    def scores_of(self, scorer: BaseScorer, trial: Any) -> Mapping[str, float]:
        with self._lock:
            reason = ""
            for _ in range(_TRIES):
                try:
                    outcome = self._outcome(scorer, trial)
                except _Ended as ended:
                    reason = str(ended)
                except BaseException:
                    # In the middle of a conversation there is nothing to go on with.
                    self._close()
                    raise
                else:
                    self._in_a_row = 0
                    break
            else:
                self._reject(reason)
        scores, error, network = outcome
        if isinstance(trial, DrawingTrial) and network is not None:
            trial.network = network
        if error is not None:
            raise error
        return scores  # type: ignore[no-any-return]

    def _reject(self, reason: str) -> NoReturn:
        self._in_a_row += 1
        if self._in_a_row >= _MOST_IN_A_ROW:
            self._in_a_row = 0
            raise ScoringProcessError(
                f"The process that scores ended at {_MOST_IN_A_ROW} candidates one after the "
                f"other, at the last one because of {reason}. Probably there is too little memory "
                "for the networks or for so many processes, or the time allowed is too short. "
                "Use a smaller batch or fewer n_jobs, limit the networks by "
                "Limits(params=…), or allow more time by timeout=…. What was scored is kept."
            )
        raise CandidateRejected(reason)

    def _outcome(self, scorer: BaseScorer, trial: Any) -> tuple[Any, BaseException | None, Any]:
        """Return scores, the exception if there is one, and the network."""
        connection = self._opened(scorer)
        left = scorer.timeout
        try:
            _send(connection, _facts_of(trial))
            while True:
                begun = time.monotonic()
                if not connection.poll(left):
                    self._close()
                    raise _Ended(f"ProcessHung: scoring it takes longer than {scorer.timeout:g} s")
                if left is not None:
                    left = max(0.0, left - (time.monotonic() - begun))
                kind, *content = _receive(connection)
                if kind == "outcome":
                    return content[0], content[1], content[2]
                _send(connection, _answer(trial, kind, *content))
        except (EOFError, ConnectionError):
            raise _Ended(self._how_it_died()) from None

    def _opened(self, scorer: BaseScorer) -> Connection[Any, Any]:
        """Return the connection to the process; start it, if it is not there."""
        if self._connection is not None and self._popen is not None and self._popen.poll() is None:
            return self._connection
        self._close()
        torch = sys.modules.get("torch")
        threads = None if torch is None else torch.get_num_threads()
        here, there = multiprocessing.Pipe()
        code = f"from {__name__} import serve; serve({there.fileno()}, {os.getpid()})"
        paths = [path or os.getcwd() for path in sys.path]
        with there:
            self._popen = subprocess.Popen(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._connection = here
        self._end = weakref.finalize(self, _end, self._popen, here)
        try:
            _send(here, (scorer, threads))
            failed = _receive(here)
        except (EOFError, ConnectionError):
            failed = f"{self._how_it_died()}, before it scored anything"
        except Exception as error:
            failed = f"{type(error).__name__}: {error}"
        if failed is not None:
            self._close()
            raise ScoringProcessError(
                f"The scorer cannot be used in a process apart: {failed}. Builder, losses and "
                "batch must be what pickle can take there, and memory must suffice for one more "
                "process."
            )
        return here

    def _how_it_died(self) -> str:
        assert self._popen is not None
        # Its end of the pipe is closed, so it is gone or about to be.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_BETWEEN_LOOKS)
        code = self._popen.poll()
        self._close()
        if code is None or code >= 0:
            return f"ProcessDied: the process that scores it ended with exit code {code}"
        hint = ", perhaps for lack of memory" if -code == getattr(signal, "SIGKILL", 9) else ""
        return f"ProcessDied: {signal.Signals(-code).name} ended the process that scores it{hint}"

    def _close(self) -> None:
        if self._end is not None:
            self._end()
        self._connection = self._popen = self._end = None


_PROCESSES: weakref.WeakKeyDictionary[BaseScorer, _Process] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def _process_of(scorer: BaseScorer) -> _Process:
    with _LOCK:
        return _PROCESSES.setdefault(scorer, _Process())


def _end(process: subprocess.Popen[bytes], connection: Connection[Any, Any]) -> None:
    connection.close()
    process.kill()
    process.wait()


def _send(connection: Connection[Any, Any], message: Any) -> None:
    # As joblib does, also what a script or a notebook defines.
    connection.send_bytes(reduction.dumps(message))


def _receive(connection: Connection[Any, Any]) -> Any:
    return pickle.loads(connection.recv_bytes())


def _facts_of(trial: Any) -> dict[str, Any]:
    return {
        "number": trial.number,
        "user_attrs": dict(trial.user_attrs),
        "relative_params": dict(getattr(trial, "relative_params", {})),
        "relative_search_space": dict(getattr(trial, "relative_search_space", {})),
    }


def _answer(trial: Any, kind: str, *content: Any) -> tuple[Any, BaseException | None]:
    """Return what the trial answers to a question of the process, or the exception it raises."""
    try:
        if kind == "suggest":
            return trial._suggest(*content), None
        if kind == "study":
            return getattr(trial, "_study", None), None
        if not isinstance(trial, DrawingTrial):
            return False, None
        trial.network = content[0]
        return trial.is_repeated(), None
    except Exception as error:
        return None, _portable(error)


def _portable(error: BaseException) -> BaseException:
    """Return ``error``, or its text where it cannot be sent to another process."""
    try:
        pickle.loads(reduction.dumps(error))
    except Exception:
        return CandidateRejected(f"{type(error).__name__}: {error}")
    return error


class _RemoteTrial(DrawnTrial):
    """A trial whose values are drawn in the process that has it."""

    def __init__(
        self,
        connection: Connection[Any, Any],
        *,
        number: int,
        user_attrs: dict[str, Any],
        relative_params: dict[str, Any],
        relative_search_space: dict[str, BaseDistribution],
    ) -> None:
        super().__init__({}, number)
        self._connection = connection
        self._user_attrs = user_attrs
        self._relative = relative_params, relative_search_space

    @property
    def study(self) -> StudyToRead:
        self._study = self._study or self._ask("study")
        return super().study

    @property
    def relative_params(self) -> dict[str, Any]:
        return dict(self._relative[0])

    @property
    def relative_search_space(self) -> dict[str, BaseDistribution]:
        return dict(self._relative[1])

    def is_repeated(self) -> bool:
        return bool(self._ask("is_repeated", self.network))

    def _value_of(self, name: str, distribution: BaseDistribution) -> Any:
        return self._ask("suggest", name, distribution)

    def _ask(self, kind: str, *content: Any) -> Any:
        _send(self._connection, (kind, *content))
        answer, error = _receive(self._connection)
        if error is not None:
            raise error
        return answer


def serve(handle: int, parent: int) -> None:
    """Score for the process ``parent``, as long as it has something to score."""
    # An interruption from the keyboard is the parent's to deal with.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError), Connection(handle) as connection:
        try:
            scorer, threads = _receive(connection)
        except Exception as error:
            _send(connection, f"{type(error).__name__}: {error}")
            return
        if threads is not None and "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        _send(connection, None)
        while connection.poll(_LONGEST_IDLE):
            trial = _RemoteTrial(connection, **_receive(connection))
            scores, failed = None, None
            try:
                scores = scorer(trial)
            except BaseException as error:
                failed = _portable(error)
            _send(connection, ("outcome", scores, failed, trial.network))


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_BETWEEN_LOOKS)
    os._exit(1)
