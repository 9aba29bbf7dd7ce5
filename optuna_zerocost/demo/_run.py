"""The demo's experiment: the same number of trainings with the base sampler alone and with scores.

How the ranking was chosen: :data:`optuna_zerocost.demo._agreement.RANKED`. The size of the warmup
and the number of moves keep scoring short beside trainings of half a second; where a training
takes longer, there is time for more of both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import joblib
import optuna
import torch
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from optuna_zerocost import ModelScorer, RankSum
from optuna_zerocost.demo._agreement import PROXIES, RANKED
from optuna_zerocost.demo._errors import DemoError
from optuna_zerocost.demo._space import build_model, suggest_training
from optuna_zerocost.demo._training import Digits, load_digits, train_and_validate
from optuna_zerocost.proxies import SeededRandomState
from optuna_zerocost.samplers import Warmup, ZeroCostSampler

__all__ = [
    "BASE",
    "ZEROCOST",
    "Arm",
    "Settings",
    "make_scorer",
    "one_thread",
    "open_storage",
    "quiet_optuna",
    "run",
]

BASE, ZEROCOST = "tpe", "zerocost"

_PREFIX = "zerocost:"
_CHOOSING = "demo:choosing_seconds"
_TRAINING = "demo:training_seconds"
_MINIBATCH = 64


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes:
        trials: Trainings of each study.
        seeds: Each seeds one study with the base sampler alone and one with scores: the samplers,
            the weights, the order of the training images.
        candidates: Random architectures that the warmup scores.
        warmup_trials: Trainings that take the best of them.
        moves: Draws from the base sampler for each later training.
        jobs: Studies that run at a time, each in a process of its own; 1 uses this process.
    """

    trials: int = 30
    seeds: tuple[int, ...] = (0, 1, 2)
    candidates: int = 200
    warmup_trials: int = 8
    moves: int = 8
    jobs: int = 2

    def __post_init__(self) -> None:
        if self.trials < 1 or self.jobs < 1 or not self.seeds or min(self.seeds) < 0:
            raise DemoError(
                f"cannot run {self.trials} trials with the seeds {self.seeds} in {self.jobs} "
                "processes. Ask for at least one of each, and for seeds from 0 on."
            )

    @property
    def warmup(self) -> Warmup:
        """The warmup, no longer than the study."""
        trials = min(self.warmup_trials, self.trials)
        return Warmup(candidates=self.candidates, trials=trials, show_progress_bar=False)


@dataclass(frozen=True)
class Arm:
    """One study, done.

    Attributes:
        name: :data:`BASE` or :data:`ZEROCOST`.
        seed: What it was seeded with.
        study_name: Its name in the storage.
        trials: Its complete trials, in the order they were trained.
    """

    name: str
    seed: int
    study_name: str
    trials: tuple[FrozenTrial, ...]

    @property
    def accuracies(self) -> list[float]:
        """Validation accuracy of each training, 0 to 1."""
        return [float(trial.values[0]) for trial in self.trials]

    @property
    def choosing_seconds(self) -> float:
        """Time for choosing what to train: sampling, and scoring where that is done."""
        return float(sum(trial.user_attrs[_CHOOSING] for trial in self.trials))

    @property
    def training_seconds(self) -> float:
        """Time for training and validating."""
        return float(sum(trial.user_attrs[_TRAINING] for trial in self.trials))

    @property
    def seconds(self) -> list[float]:
        """Time for choosing and training each network."""
        return [trial.user_attrs[_CHOOSING] + trial.user_attrs[_TRAINING] for trial in self.trials]

    @property
    def scores(self) -> list[dict[str, float]]:
        """For each training, those of :data:`PROXIES` that are stored with it."""
        return [
            {
                name: trial.user_attrs[_PREFIX + name]
                for name in PROXIES
                if _PREFIX + name in trial.user_attrs
            }
            for trial in self.trials
        ]


@contextlib.contextmanager
def open_storage(url: str) -> Iterator[RDBStorage]:
    """Open the database at ``url`` for a while; make it if it is a file that does not exist.

    Raises:
        DemoError: If there can be no such database.
    """
    storage = _opened(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _opened(url: str) -> RDBStorage:
    try:
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        if is_sqlite and parsed.database in (None, "", ":memory:"):
            raise DemoError(
                f"the storage {url!r} is in memory and would be lost. Name a file, for example "
                "sqlite:///zerocost-demo.db"
            )
        # Several processes write to one file, and wait for each other.
        return RDBStorage(
            url, engine_kwargs={"connect_args": {"timeout": 60}} if is_sqlite else None
        )
    except (ImportError, RuntimeError, ValueError, SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).partition("\n")[0]
        raise DemoError(
            f"the storage {url!r} cannot be opened ({reason}). For a file, write for example "
            "sqlite:///zerocost-demo.db"
        ) from error


def make_scorer(digits: Digits, proxies: Sequence[str], *, seed: int) -> ModelScorer:
    """Return the scorer of the demo's networks.

    It makes the very weights that training starts from.

    Args:
        digits: The first 64 training images are the minibatch.
        proxies: What is computed.
        seed: Seeds the weights.
    """
    return ModelScorer(build_model, digits.minibatch(_MINIBATCH), proxies, seed=seed)


def run(
    settings: Settings, storage: RDBStorage, *, report: Callable[[Arm], None] | None = None
) -> list[Arm]:
    """Run all studies, each under a name that the storage does not hold yet.

    Args:
        settings: What is run.
        storage: Where the studies are kept.
        report: Called with each study when it is done, in the order in which they finish.

    Returns:
        The studies, by seed, the base sampler's first.

    Raises:
        DemoError: If scikit-learn is not installed.
    """
    load_digits()  # fails here, before there are any studies or processes
    names = _create_studies(settings, storage)
    # What takes longer starts first, so that no process is left over with it.
    tasks = [(arm, seed) for arm in (ZEROCOST, BASE) for seed in settings.seeds]
    done: dict[tuple[str, int], Arm] = {}
    with _progress_bar(storage, list(names.values()), settings.trials) as bar:
        finished = joblib.Parallel(
            n_jobs=min(settings.jobs, len(tasks)), return_as="generator_unordered"
        )(
            joblib.delayed(_run_task)(os.getpid(), arm, seed, names[arm, seed], settings, storage)
            for arm, seed in tasks
        )
        try:
            for arm in finished:
                done[arm.name, arm.seed] = arm
                if report is not None:
                    with bar.external_write_mode():
                        report(arm)
        except BaseException:
            # Processes that were ended have left their trials as if they were still running.
            _fail_running(names.values(), storage)
            raise
    return [done[name, seed] for seed in settings.seeds for name in (BASE, ZEROCOST)]


def _create_studies(settings: Settings, storage: RDBStorage) -> dict[tuple[str, int], str]:
    """Make the studies under the first names that are free.

    A study is not resumed: it would not be the one that its seed stands for.
    """
    taken = set(optuna.get_all_study_names(storage))
    attempt = 1
    while True:
        suffix = "" if attempt == 1 else f"-run{attempt}"
        names = {
            (arm, seed): f"digits-{arm}-seed{seed}{suffix}"
            for seed in settings.seeds
            for arm in (BASE, ZEROCOST)
        }
        if not taken & set(names.values()):
            try:
                with quiet_optuna():
                    for name in names.values():
                        optuna.create_study(study_name=name, storage=storage, direction="maximize")
                return names
            except DuplicatedStudyError:
                pass  # another demo, started at the same moment, has taken the name
        attempt += 1


def _fail_running(study_names: Iterable[str], storage: RDBStorage) -> None:
    for name in study_names:
        study = optuna.load_study(study_name=name, storage=storage)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _run_task(
    parent: int, arm: str, seed: int, study_name: str, settings: Settings, storage: RDBStorage
) -> Arm:
    """Run one study; in a process of its own, leave interrupts to the process that started it."""
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _run_study(arm, seed, study_name, settings, storage)


def _run_study(
    arm: str, seed: int, study_name: str, settings: Settings, storage: RDBStorage
) -> Arm:
    """Run one study in this process, on one thread."""
    digits = load_digits()
    # Another instance for either arm: the scores that are kept in memory cost no time again.
    score_trained = make_scorer(digits, PROXIES, seed=seed)
    base = TPESampler(seed=seed)
    sampler: BaseSampler = base
    if arm == ZEROCOST:
        sampler = ZeroCostSampler(
            make_scorer(digits, RANKED, seed=seed),
            base_sampler=base,
            ranking=RankSum(*RANKED),
            warmup=settings.warmup,
            moves=settings.moves,
            seed=seed,
        )

    def objective(trial: Trial) -> float:
        started = time.perf_counter()
        with SeededRandomState(seed):
            network = build_model(trial)
        learning_rate, weight_decay = suggest_training(trial)
        chosen = time.perf_counter()
        accuracy = train_and_validate(
            network, digits, learning_rate=learning_rate, weight_decay=weight_decay, seed=seed
        )
        trained = time.perf_counter()
        trial.set_user_attr(_CHOOSING, chosen - started)
        trial.set_user_attr(_TRAINING, trained - chosen)
        if arm == BASE:  # afterwards, for the comparison only: nobody looks at them in this arm
            for name, score in score_trained(FixedTrial(trial.params)).items():
                trial.set_user_attr(_PREFIX + name, score)
        return accuracy

    with one_thread(), quiet_optuna():
        study = optuna.load_study(study_name=study_name, storage=storage, sampler=sampler)
        study.optimize(objective, n_trials=settings.trials)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return Arm(arm, seed, study_name, tuple(complete))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread: small networks gain nothing from more, and times compare."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let Optuna say only what is wrong."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _progress_bar(
    storage: RDBStorage, study_names: Sequence[str], trials: int
) -> Iterator[tqdm[NoReturn]]:
    """Show on a terminal how many networks are trained, as the storage has it."""
    done = threading.Event()
    with tqdm(
        total=trials * len(study_names), desc="training", unit="network", disable=None
    ) as bar:

        def watch() -> None:
            studies = [optuna.load_study(study_name=name, storage=storage) for name in study_names]
            while not done.wait(0.5):
                bar.n = sum(
                    len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
                    for study in studies
                )
                bar.refresh()

        watcher = threading.Thread(target=watch, daemon=True)
        if not bar.disable:
            watcher.start()
        try:
            yield bar
        finally:
            done.set()
            if watcher.is_alive():
                watcher.join()
