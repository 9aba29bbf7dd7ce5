"""An objective as the source of networks: run for each candidate up to `report_network`."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from typing import Any

from optuna_zerocost.scoring._network_run import NetworkRun
from optuna_zerocost.scoring._rejection import CandidateRejected, NetworkNotReported
from optuna_zerocost.scoring._scorer import DrawingTrial
from optuna_zerocost.scoring._surroundings import alone, silent, trackers_closed

__all__ = ["Objective"]

# Running an objective is slow where it takes so many times as long as scoring, and so many
# seconds. The first run does not count: much is loaded once.
_TIMES, _SECONDS, _RUNS = 3.0, 0.5, 3

# An objective without the line is run in vain. One that returns early where an architecture makes
# no sense does so for some candidates, in no time, and a few of them may come first.
_MOST_IN_VAIN, _LONGEST_IN_VAIN = 5, 1.0


class Objective:
    """Makes networks by running an objective as far as the line that reports one.

    Says once what a user will want to know of: that the objective is slow, goes on after that
    line, or starts a tracker's run before it.
    """

    def __init__(self, objective: Callable[[Any], Any]) -> None:
        if not callable(objective):
            raise TypeError(
                f"objective is {objective!r}, but it must be the function that "
                "study.optimize is given. Pass the function itself, not what it returns."
            )
        self._objective = objective
        self._reported = 0
        self._in_vain: list[float] = []
        self._fastest = float("inf")
        self._said: set[str] = set()
        self._pid = os.getpid()

    def __call__(self, trial: Any) -> Any:
        """Return the network of ``trial``.

        Raises:
            NetworkNotReported: If the objective ends without a network again and again, or after
                a long time, and no candidate before had one.
            CandidateRejected: If it ends so otherwise.
        """
        run = NetworkRun(trial)
        is_candidate = isinstance(trial, DrawingTrial)
        with alone(), trackers_closed(), silent() if is_candidate else contextlib.nullcontext():
            returned = run(self._objective)
        if run.network is None:
            self._has_no_network(returned, run.seconds)
        self._reported += 1
        if self._reported > 1:
            self._fastest = min(self._fastest, run.seconds)
        if run.went_on:
            self._say(
                "The objective caught the exception by which report_network ends it for a "
                "candidate, and went on. Let it pass: replace a bare 'except:' or 'except "
                "BaseException:' around the line by 'except Exception:'."
            )
        if run.started_trackers:
            self._say(
                f"The objective starts a run of {' and '.join(run.started_trackers)} before "
                "report_network, so that each candidate that is scored starts one, and not only "
                "each trial. Move that below report_network(trial, network)."
            )
        return run.network

    def scored(self, seconds: float) -> None:
        """Say that running the objective is slow, if it is, ``seconds`` being what scoring takes.

        These are the mean over the networks that were scored so far.
        """
        slow = max(_TIMES * seconds, _SECONDS)
        if self._reported >= _RUNS and self._fastest > slow and os.getpid() == self._pid:
            self._say(
                "Running the objective as far as report_network takes "
                f"{self._fastest:.1f} s, and scoring its network {seconds:.2f} s. It is run for "
                "every candidate, which are hundreds in a warmup. Move what does not make the "
                "network below report_network(trial, network), or out of the objective: loading "
                "data, say."
            )

    def _has_no_network(self, returned: Any, seconds: float) -> None:
        told = f"The objective returned {returned!r:.60} for a candidate, and did not call"
        self._in_vain.append(seconds)
        may_yet = len(self._in_vain) < _MOST_IN_VAIN and sum(self._in_vain) < _LONGEST_IN_VAIN
        if self._reported or may_yet:
            raise CandidateRejected(f"{told} report_network(trial, network)")
        raise NetworkNotReported(
            f"{told} report_network(trial, network). So there is no network to be scored, and it "
            f"has been run to its end in vain ({len(self._in_vain)} times, "
            f"{sum(self._in_vain):.1f} s). Add that line right after the network is made. "
            "If the objective has no network for some parameters, let it raise "
            "optuna.TrialPruned() there, which rejects the candidate."
        )

    def _say(self, message: str) -> None:
        kind = message[:30]
        if kind not in self._said:
            self._said.add(kind)
            warnings.warn(message, stacklevel=2)
