"""What ends a process, or should: no trial is left running, and a study resumes where it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from optuna_zerocost import Warmup, ZeroCostSampler


def size_of(trial: Any) -> int:
    return trial.suggest_int("depth", 1, 20) * trial.suggest_int("width", 1, 20)


def objective(trial: Any) -> float:
    return float(size_of(trial))


class Troubled:
    """Scores the size, and at the ``call``-th architecture does what is trouble."""

    score_names = ("size",)

    def __init__(self, trouble: Callable[[], Any], call: int) -> None:
        self.trouble, self.call, self.calls = trouble, call, 0

    def __call__(self, trial: Any) -> dict[str, float]:
        size = size_of(trial)
        self.calls += 1
        if self.calls == self.call:
            self.trouble()
        return {"size": float(size)}


def sampler_of(scorer: Any) -> ZeroCostSampler:
    base = RandomSampler(seed=1)
    warmup = Warmup(candidates=20, trials=3)
    return ZeroCostSampler(scorer, base_sampler=base, warmup=warmup, ranking="size", moves=4)


class Cancelled(BaseException):
    """As asyncio and trio have it: no ``Exception``."""


def interrupt() -> None:
    raise KeyboardInterrupt


def cancel() -> None:
    raise Cancelled


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def leaving_on_sigterm() -> Any:
    def leave(*args: Any) -> None:
        sys.exit(3)

    before = signal.signal(signal.SIGTERM, leave)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("call", [7, 22])  # in the warmup, in a move
@pytest.mark.parametrize(
    ("trouble", "error"),
    [(interrupt, KeyboardInterrupt), (cancel, Cancelled), (terminate, SystemExit)],
)
def test_an_interruption_goes_up_and_leaves_no_trial_running(
    trouble: Callable[[], Any], error: type[BaseException], call: int, leaving_on_sigterm: Any
) -> None:
    study = optuna.create_study(sampler=sampler_of(Troubled(trouble, call)), study_name="s")
    with pytest.raises(error):
        study.optimize(objective, n_trials=6)
    states = [trial.state for trial in study.trials]
    assert states[-1] is TrialState.FAIL and TrialState.RUNNING not in states

    study.optimize(objective, n_trials=6 - len(states) + 1)
    states = [trial.state for trial in study.trials]
    assert len(states) == 7 and states.count(TrialState.COMPLETE) == 6


def test_threads_that_are_interrupted_leave_no_trial_running() -> None:
    study = optuna.create_study(sampler=sampler_of(Troubled(interrupt, 22)))
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, n_trials=12, n_jobs=4)
    assert not study.get_trials(states=[TrialState.RUNNING])
    study.optimize(objective, n_trials=4, n_jobs=2)
    assert not study.get_trials(states=[TrialState.RUNNING])


@pytest.mark.parametrize("trouble", [interrupt, cancel])
def test_a_trial_that_nobody_has_yet_is_told_to_have_failed(trouble: Callable[[], Any]) -> None:
    study = optuna.create_study(sampler=sampler_of(Troubled(trouble, 7)))
    space = {"depth": IntDistribution(1, 20), "width": IntDistribution(1, 20)}
    with pytest.raises(BaseException):  # noqa: B017, PT011
        study.ask(space)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert study.ask(space).params


def test_a_trial_that_somebody_has_is_left_to_them() -> None:
    study = optuna.create_study(sampler=sampler_of(Troubled(interrupt, 7)))
    trial = study.ask()
    with pytest.raises(KeyboardInterrupt):
        objective(trial)
    study.tell(trial, state=TrialState.FAIL)


@pytest.mark.parametrize("call", [7, 22])
def test_a_builder_that_exits_is_rejected(call: int, caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.enable_propagation()
    study = optuna.create_study(sampler=sampler_of(Troubled(lambda: sys.exit(1), call)))
    study.optimize(objective, n_trials=6)
    optuna.logging.disable_propagation()
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert "A candidate was rejected because of SystemExit: 1." in caplog.text
