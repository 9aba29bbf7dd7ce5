"""The demo's studies: the same number of trainings, chosen in three ways."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import joblib
import optuna
import torch
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import Trial, TrialState

from optuna_zerocost import ModelScorer, RankSum, Warmup, ZeroCostSampler, dashboard
from optuna_zerocost.demo._digits import load_digits, train_and_validate
from optuna_zerocost.demo._networks import build_model, seeded_network, suggest_training

__all__ = ["ARMS", "LEARNED", "PROXIES", "SCORES", "TPE", "Arm", "Settings", "publish", "run"]

ARMS = (TPE, RANK_SUM, LEARNED) = ("TPE alone", "rank sum", "learned")

SCORES = ("synflow", "jacob_cov", "snip")
"""Proxies that choose: those of the vote of Abdelfattah et al. (ICLR 2021)."""

PROXIES = (*SCORES, "grad_norm", "grasp", "fisher", "plain", "l2_norm", "params", "flops")
"""Proxies that are compared with the accuracy of the networks of TPE alone."""

_CHOOSING, _TRAINING = "demo:choosing_seconds", "demo:training_seconds"


@dataclass(frozen=True)
class Settings:
    """Size of the demo; warmup and moves of the rank sum are as large as they are by default.

    Attributes:
        trials: Trainings of each study.
        seeds: Each seeds one study of each kind: sampler, weights, order of the training images.
        jobs: Studies that run at a time, each in a process of its own; 1 uses this process.
        candidates: Random architectures that a warmup scores; the default takes 200 at most.
        moves: Draws from the base sampler for each later training, with the rank sum.
    """

    trials: int = 30
    seeds: tuple[int, ...] = (0, 1)
    jobs: int = 2
    candidates: int = 1000
    moves: int = 32


@dataclass(frozen=True)
class Arm:
    """One study, done.

    Attributes:
        name: One of :data:`ARMS`.
        seed: Seed of the study.
        study: The study, with the sampler that it was run with.
    """

    name: str
    seed: int
    study: optuna.Study

    @property
    def choosing(self) -> list[float]:
        """Seconds for choosing each network: sampling, and scoring where that is done."""
        return [trial.user_attrs[_CHOOSING] for trial in self.study.trials]

    @property
    def training(self) -> list[float]:
        """Seconds for training and validating each network."""
        return [trial.user_attrs[_TRAINING] for trial in self.study.trials]


def _sampler(name: str, seed: int, settings: Settings) -> ZeroCostSampler:
    """Return the sampler of one arm."""
    inputs, targets, *_ = load_digits()
    proxies = PROXIES if name == TPE else SCORES
    scorer = ModelScorer(
        build_model, batch=(inputs[:64], targets[:64]), proxies=proxies, seed=seed
    )
    if name == TPE:
        # One move without a warmup: TPE's own suggestion is used, and scored after its training,
        # for the comparison only.
        base = TPESampler(seed=seed)
        return ZeroCostSampler(scorer, base_sampler=base, warmup=None, moves=1)
    candidates, moves = settings.candidates, settings.moves
    if name == RANK_SUM:
        warmup = Warmup(candidates, trials=8, show_progress_bar=False)
        ranking = RankSum(*SCORES)
        return ZeroCostSampler(scorer, ranking=ranking, warmup=warmup, moves=moves, seed=seed)
    # What it does by default, but for the progress bar.
    candidates = min(candidates, 200)
    warmup = Warmup(candidates, trials=min(64, candidates), show_progress_bar=False)
    return ZeroCostSampler(scorer, warmup=warmup, seed=seed)


def run(settings: Settings, storage: RDBStorage) -> Iterator[Arm]:
    """Run all studies, under names that the storage does not hold yet; yield those that are done.

    Raises:
        DemoError: If scikit-learn is not installed.
    """
    load_digits()  # fails here, before there are any studies or processes
    names = _create_studies(settings, storage)
    # What is done sooner comes first, so that there is something to see.
    tasks = [(name, seed) for name in ARMS for seed in settings.seeds]
    parallel = joblib.Parallel(min(settings.jobs, len(tasks)), return_as="generator_unordered")
    try:
        for name, seed in parallel(
            joblib.delayed(_run_study)(*task, names[task], settings, storage, os.getpid())
            for task in tasks
        ):
            sampler = _sampler(name, seed, settings)
            yield Arm(
                name,
                seed,
                optuna.load_study(study_name=names[name, seed], storage=storage, sampler=sampler),
            )
    finally:
        # Processes that were ended have left their trials as if they were still running.
        for study_name in names.values():
            study = optuna.load_study(study_name=study_name, storage=storage)
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _create_studies(settings: Settings, storage: RDBStorage) -> dict[tuple[str, int], str]:
    """Make the studies, all under new names: one that is resumed is not what its seed says."""
    taken = set(optuna.get_all_study_names(storage))
    for attempt in itertools.count(1):
        suffix = "" if attempt == 1 else f"-run{attempt}"
        names = {
            (arm, seed): f"digits-{arm.lower().replace(' ', '-')}-seed{seed}{suffix}"
            for seed in settings.seeds
            for arm in ARMS
        }
        if taken.isdisjoint(names.values()):
            break
    with _one_quiet_thread():
        for name in names.values():
            optuna.create_study(study_name=name, storage=storage, direction="maximize")
    return names


def _run_study(
    name: str, seed: int, study_name: str, settings: Settings, storage: RDBStorage, parent: int
) -> tuple[str, int]:
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    digits = load_digits()

    def objective(trial: Trial) -> float:
        started = time.perf_counter()
        network = seeded_network(trial, seed)
        learning_rate, weight_decay = suggest_training(trial)
        chosen = time.perf_counter()
        accuracy = train_and_validate(
            network, digits, learning_rate=learning_rate, weight_decay=weight_decay, seed=seed
        )
        trained = time.perf_counter()
        trial.set_user_attr(_CHOOSING, chosen - started)
        trial.set_user_attr(_TRAINING, trained - chosen)
        return accuracy

    with _one_quiet_thread():
        sampler = _sampler(name, seed, settings)
        study = optuna.load_study(study_name=study_name, storage=storage, sampler=sampler)
        study.optimize(objective, n_trials=settings.trials)
    return name, seed


def publish(arms: Iterable[Arm]) -> None:
    """Store figures, a note and the comparison of all with each study, for optuna-dashboard.

    Raises:
        ImportError: If plotly or optuna-dashboard is not installed.
    """
    curves: dict[str, list[optuna.Study]] = {name: [] for name in ARMS}
    for arm in arms:
        curves[arm.name].append(arm.study)
    for study in itertools.chain(*curves.values()):
        dashboard.publish(study, curves=curves)


@contextlib.contextmanager
def _one_quiet_thread() -> Iterator[None]:
    """Let torch use one thread, so that times compare, and Optuna tell of failures only.

    Small networks gain nothing from more threads, and a candidate without a score is no news.
    """
    threads, verbosity = torch.get_num_threads(), optuna.logging.get_verbosity()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        optuna.logging.set_verbosity(verbosity)
