"""Claims: no two workers train one architecture, and no place in the warmup is lost."""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import threading
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from optuna_zerocost import AgingEvolutionSampler, Warmup, ZeroCostSampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

BASES = {"random": RandomSampler, "tpe": TPESampler, "evolution": AgingEvolutionSampler}
CHOICES = "abcde"
ALL = {"".join(letters) for letters in itertools.product(CHOICES, repeat=3)}


def letters_of(trial: Any) -> str:
    return "".join(trial.suggest_categorical(f"op{i}", list(CHOICES)) for i in range(3))


def score_of(letters: str) -> float:
    return float(sum(CHOICES.index(letter) * 6**i for i, letter in enumerate(letters)))


def scorer(trial: Any) -> dict[str, float]:
    return {"score": score_of(letters_of(trial))}


def sampler_of(
    base: str = "random",
    moves: int | Literal["neighbours"] = 4,
    share: float = 0.0,
    warmup: Warmup | None = None,
    seed: int = 0,
) -> ZeroCostSampler:
    return ZeroCostSampler(
        scorer,
        base_sampler=BASES[base](seed=seed),
        ranking="score",
        moves=moves,
        random_share=share,
        warmup=warmup,
        seed=seed,
    )


def trained(study: optuna.Study) -> list[str]:
    return ["".join(trial.params.values()) for trial in study.trials]


@pytest.mark.parametrize(
    ("base", "moves", "share"),
    [
        ("random", 2, 0.0),
        ("tpe", 2, 0.0),
        ("tpe", 8, 0.5),
        ("evolution", "neighbours", 0.0),
        ("evolution", "neighbours", 0.5),
    ],
)
def test_threads_train_no_architecture_twice_while_there_are_others(
    base: str, moves: int | Literal["neighbours"], share: float
) -> None:
    together = threading.Barrier(4)

    def objective(trial: optuna.Trial) -> float:
        value = score_of(letters_of(trial))
        together.wait(timeout=60)  # all ask at one moment
        return value

    study = optuna.create_study(direction="maximize", sampler=sampler_of(base, moves, share))
    study.optimize(objective, n_trials=80, n_jobs=4)
    assert max(collections.Counter(trained(study)).values()) == 1


def test_processes_train_no_architecture_twice(tmp_path: Path) -> None:
    def storage() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(tmp_path / "journal")))

    study = optuna.create_study(storage=storage(), study_name="s", direction="maximize")

    def work(seed: int) -> None:
        sampler = sampler_of("tpe", 2, 0.5, seed=seed)
        own = optuna.load_study(storage=storage(), study_name="s", sampler=sampler)
        own.optimize(lambda trial: score_of(letters_of(trial)), n_trials=20)

    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(trained(study))) == len(study.trials) == 80


def test_one_worker_goes_through_the_space_before_it_repeats() -> None:
    study = optuna.create_study(direction="maximize", sampler=sampler_of("tpe", 8))
    study.optimize(lambda trial: score_of(letters_of(trial)), n_trials=125)
    # What is left in the end is looked for by a hundred draws at random.
    assert len(set(trained(study))) >= len(ALL) - 5


def test_with_other_hyperparameters_what_is_not_under_way_is_trained_again() -> None:
    """A base sampler that proposes one architecture alone gets it, with another rate."""
    study = optuna.create_study(direction="maximize", sampler=sampler_of("tpe", 2))

    def objective(trial: optuna.Trial) -> float:
        return score_of(letters_of(trial)) - trial.suggest_float("rate", 0.0, 1.0)

    study.optimize(objective, n_trials=80)
    times = collections.Counter(
        "".join(v for name, v in trial.params.items() if name != "rate") for trial in study.trials
    )
    assert times.most_common(1)[0][0] in ("eee", *sorted(ALL, key=score_of)[-12:])
    assert max(times.values()) > 1


@pytest.mark.parametrize("lost", [[0], [3], [5], [0, 2, 4]])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_an_interrupted_warmup_lost_is_trained_after_all(
    lost: list[int], error: type[BaseException]
) -> None:
    """The best of the pool are trained whatever trials died, at whatever moment."""
    warmup = Warmup(candidates=40, trials=6, show_progress_bar=False)

    def objective(trial: optuna.Trial) -> float:
        value = score_of(letters_of(trial))
        if trial.number in lost:
            raise error
        return value

    def run(objective: Any, trials: int) -> set[str]:
        study = optuna.create_study(sampler=sampler_of(warmup=warmup), study_name="s")
        while len(study.trials) < trials:
            try:
                study.optimize(objective, n_trials=trials - len(study.trials))
            except error:
                assert study.trials[-1].state == TrialState.FAIL
        of_pool = [t for t in study.trials if t.user_attrs["zerocost:source"] == "warmup"]
        complete = [t for t in of_pool if t.state == TrialState.COMPLETE]
        assert len(complete) == 6
        return {"".join(trial.params.values()) for trial in complete}

    best = run(lambda trial: score_of(letters_of(trial)), 6)
    assert run(objective, 6 + len(lost)) == best


def test_the_warmup_comes_to_its_end_where_all_trials_fail() -> None:
    warmup = Warmup(candidates=40, trials=4, show_progress_bar=False)

    def objective(trial: optuna.Trial) -> float:
        letters_of(trial)
        raise RuntimeError("out of memory")

    study = optuna.create_study(sampler=sampler_of(warmup=warmup), study_name="s")
    study.optimize(objective, n_trials=12, catch=RuntimeError)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["warmup"] * 8 + ["move"] * 4


@pytest.mark.parametrize("warmup", [None, Warmup(40, 6, show_progress_bar=False)])
def test_a_retried_trial_keeps_its_architecture(warmup: Warmup | None) -> None:
    study = optuna.create_study(sampler=sampler_of(warmup=warmup), direction="maximize")
    study.optimize(lambda trial: score_of(letters_of(trial)), n_trials=2)
    dead = study.ask()
    letters_of(dead)
    study.tell(dead, state=TrialState.FAIL)
    frozen = study.trials[-1]
    # As Optuna enqueues it anew where the heartbeat of its worker has stopped.
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params=frozen.params,
            distributions=frozen.distributions,
            user_attrs=frozen.user_attrs,
            system_attrs={
                "failed_trial": frozen.number,
                "retry_history": [],
                **frozen.system_attrs,
            },
        )
    )
    other = study.ask()  # the one that waited
    study.optimize(lambda trial: score_of(letters_of(trial)), n_trials=3)
    assert letters_of(other) == "".join(frozen.params.values())
    study.tell(other, score_of(letters_of(other)))
    again = study.trials[3]
    assert again.user_attrs["zerocost:score"] == again.value
    own = "".join(again.params.values())
    assert [number for number, letters in enumerate(trained(study)) if letters == own] == [2, 3]
