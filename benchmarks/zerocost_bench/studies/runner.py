"""Runs studies of the suite in processes, and keeps what is done."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
import optuna
import threadpoolctl
import torch
from optuna.samplers import BaseSampler
from optuna.study import Study

import optuna_zerocost
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.studies.arms import Arm
from zerocost_bench.studies.lines import Line, append_line, latest, read_lines
from zerocost_bench.studies.study import UserStudy, is_feasible
from zerocost_bench.tasks import run_tasks

__all__ = ["run_study", "run_studies", "settings_of"]

_LONGEST_FAILURE = 300
# What of the package a sampler and its scores depend on.
_ROOMS = ("proxies", "records", "scoring", "rankings", "algorithms", "samplers")


def settings_of(study: UserStudy, name: str, arm: Arm, *, seed: int, trials: int) -> str:
    """Return a text that changes when a study would go otherwise.

    For arms with this package's sampler it depends on the package's code, apart from comments.
    """
    parts = [study.name, study.version, name, seed, trials, optuna.__version__, torch.__version__]
    if arm.is_ours:
        parts.append(_code())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


@functools.cache
def _code() -> str:
    folder = Path(optuna_zerocost.__file__).parent
    files = [folder / "_compat.py", *(f for room in _ROOMS for f in (folder / room).rglob("*.py"))]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(ast.dump(ast.parse(file.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()


class _Clock:
    """Measures what a sampler takes, wherever Optuna calls it: some of it within the objective."""

    _METHODS = (
        "before_trial",
        "infer_relative_search_space",
        "sample_relative",
        "sample_independent",
        "after_trial",
    )

    def __init__(self, sampler: BaseSampler) -> None:
        self.seconds = 0.0
        self._depth = 0
        for name in self._METHODS:
            setattr(sampler, name, self._timed(getattr(sampler, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            self._depth += 1
            try:
                return method(*arguments, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started

        return timed


def run_study(study: UserStudy, name: str, arm: Arm, *, seed: int, trials: int) -> Line:
    """Run one study in this process, one thread, in memory.

    Args:
        study: What is searched.
        name: Of the arm.
        arm: What searches.
        seed: Of sampler and trainings.
        trials: How long the study is.
    """
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    settings = settings_of(study, name, arm, seed=seed, trials=trials)
    sampler = arm.make_sampler(study, seed)
    clock = _Clock(sampler)
    evaluate = study.objective(seed)
    started = time.perf_counter()
    marks = [0.0]

    def mark(_study: Study, _trial: Any) -> None:
        marks.append(clock.seconds)

    failure = None
    optuna_study = optuna.create_study(
        directions=list(study.directions), sampler=sampler, study_name=f"{study.name}-{seed}"
    )
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            optuna_study.optimize(evaluate, n_trials=trials, catch=study.catch, callbacks=[mark])
        except BenchmarkError:
            raise
        except Exception as error:  # whatever it is, it is what a user would have got
            failure = f"{type(error).__name__}: {error}"[:_LONGEST_FAILURE]
    whole = time.perf_counter() - started
    done = optuna_study.get_trials(deepcopy=False)
    errors = study.errors(done) or [study.worst]
    return Line(
        study=study.name,
        arm=name,
        seed=seed,
        settings=settings,
        errors=tuple(errors + [errors[-1]] * (trials - len(errors))),
        values=tuple(None if t.values is None else tuple(t.values) for t in done),
        states=tuple(trial.state.name for trial in done),
        feasible=tuple(is_feasible(trial) for trial in done),
        seconds=tuple(round(b - a, 6) for a, b in zip(marks, marks[1:], strict=False)),
        objective_seconds=round(whole - clock.seconds, 3),
        floor=study.floor,
        failure=failure,
    )


def _run_and_keep(
    study: UserStudy, name: str, arm: Arm, seed: int, trials: int, file: Path
) -> None:
    append_line(file, run_study(study, name, arm, seed=seed, trials=trials))


def run_studies(
    studies: Sequence[UserStudy],
    arms: dict[str, Arm],
    *,
    seeds: Sequence[int],
    trials: int | None,
    jobs: int,
    file: Path,
) -> list[Line]:
    """Run what is not in ``file`` yet, and return its lines of what was asked for.

    Args:
        studies: What is searched.
        arms: Name → what searches.
        seeds: One study for each.
        trials: How long each study is; ``None`` for its own length.
        jobs: Processes at a time.
        file: Where lines are added, one as soon as its study is done.
    """
    wanted = {
        (study.name, name, seed): (study, name, arm, seed, trials or study.trials, file)
        for seed in seeds
        for study in studies
        for name, arm in arms.items()
    }
    settings = {
        key: settings_of(study, name, arm, seed=seed, trials=length)
        for key, (study, name, arm, seed, length, _) in wanted.items()
    }
    done = {line.key for line in read_lines(file) if settings.get(line.key) == line.settings}
    tasks = [task for key, task in wanted.items() if key not in done]
    if tasks:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            run_tasks(
                _run_and_keep,
                tasks,
                jobs=jobs,
                sizes=[1] * len(tasks),
                done=len(wanted) - len(tasks),
                label="studies",
                unit="study",
            )
    return latest(x for x in read_lines(file) if settings.get(x.key) == x.settings)
