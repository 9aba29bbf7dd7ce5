"""The sampler with the ranking that learns: its opening, its candidates, its attributes."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import textwrap
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial, TrialState

from optuna_zerocost import Learned, Sources, Warmup, ZeroCostSampler
from tests.spaces import BASES, SPACES, Recorder, size_scorer

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SMALL = Sources(random=4, searched=4)


def make(space: str, base: str = "random", **arguments: Any) -> ZeroCostSampler:
    defaults: dict[str, Any] = {
        "base_sampler": BASES[base](),
        "ranking": Learned(trusting=2, honest=2, sources=SMALL),
        "warmup": Warmup(candidates=40, trials=10),
        "moves": 3,
        "seed": 0,
    }
    return ZeroCostSampler(size_scorer(SPACES[space]), **{**defaults, **arguments})


def soon_learning(scorer: Recorder) -> optuna.Study:
    """Return a study that learns from its fourth trial on."""
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        ranking=Learned(trusting=1, honest=2, sources=SMALL),
        warmup=Warmup(candidates=20, trials=3),
        moves=3,
        seed=0,
    )
    return optuna.create_study(sampler=sampler)


def architecture(trial: Any) -> str:
    return json.dumps({k: v for k, v in sorted(trial.params.items()) if k != "rate"})


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("base", ["random", "tpe", "nsga2"])
def test_after_the_opening_every_trial_is_predicted(base: str, space: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        return SPACES[space](trial) - trial.suggest_float("rate", 1e-3, 1e-1, log=True)

    study = optuna.create_study(direction="maximize", sampler=make(space, base))
    study.optimize(objective, n_trials=12)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["warmup"] * 4 + ["move"] * 8
    for trial in study.trials:
        params = {k: v for k, v in trial.params.items() if k != "rate"}
        assert trial.user_attrs["zerocost:size"] == SPACES[space](FixedTrial(params))
    for trial in study.trials[4:]:
        origins = {"base", "pool", "random", "searched", "trained"}
        assert trial.user_attrs["zerocost:origin"] in origins
        assert trial.user_attrs["zerocost:deviation"] > 0
        # "Seen: rises with the objective", as it is nearly the objective.
        assert -1 <= trial.user_attrs["zerocost:trust:size"] <= 1
        assert isinstance(trial.user_attrs["zerocost:otherwise"], str)
    assert len({json.dumps(trial.params, sort_keys=True) for trial in study.trials}) == 12


def test_the_first_trials_are_the_best_of_the_pool_and_then_random_ones() -> None:
    scorer = Recorder(SPACES["numeric"])
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        ranking=Learned(trusting=3, honest=3),
        warmup=Warmup(candidates=60, trials=60),
        moves=2,
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: SPACES["numeric"](trial), n_trials=6)
    pool = sorted(scorer.scores[:60], reverse=True)
    scores = [trial.user_attrs["zerocost:size"] for trial in study.trials]
    assert scores[:3] == pool[:3]
    assert set(scores[3:]) < set(pool)
    assert sum(pool.index(score) for score in scores[3:]) > 3 * 6


def test_a_short_warmup_ends_the_opening_with_draws() -> None:
    study = optuna.create_study(
        sampler=make("numeric", warmup=Warmup(candidates=10, trials=1)),
    )
    study.optimize(lambda trial: SPACES["numeric"](trial), n_trials=6)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["warmup"] + ["move"] * 5
    is_predicted = ["zerocost:predicted" in trial.user_attrs for trial in study.trials]
    assert is_predicted == [False] * 4 + [True] * 2


def test_scoring_is_bounded() -> None:
    scorer = Recorder(SPACES["numeric"])
    study = soon_learning(scorer)
    study.optimize(lambda trial: SPACES["numeric"](trial), n_trials=3)
    calls = scorer.calls
    for _ in range(5):
        study.optimize(lambda trial: SPACES["numeric"](trial), n_trials=1)
        assert scorer.calls - calls <= 3 + SMALL.random + SMALL.searched
        calls = scorer.calls


def test_without_a_warmup_the_draws_of_the_base_sampler_are_what_there_is_at_first() -> None:
    study = optuna.create_study(sampler=make("conditional", warmup=None))
    study.optimize(lambda trial: SPACES["conditional"](trial), n_trials=8)
    assert {trial.user_attrs["zerocost:source"] for trial in study.trials} == {"move"}
    assert all(trial.user_attrs["zerocost:origin"] != "pool" for trial in study.trials)


def test_fixed_and_enqueued_parameters_are_kept() -> None:
    base = optuna.samplers.PartialFixedSampler({"n": 5}, BASES["random"]())
    study = optuna.create_study(sampler=make("numeric", base_sampler=base))
    study.optimize(lambda trial: SPACES["numeric"](trial), n_trials=6)
    study.enqueue_trial({"x": 0.25})
    study.optimize(lambda trial: SPACES["numeric"](trial), n_trials=1)
    assert all(trial.params["n"] == 5 for trial in study.trials)
    assert [trial.user_attrs["zerocost:rejected"] for trial in study.trials] == [0] * 7
    assert study.trials[-1].params["x"] == 0.25


def test_a_study_is_a_function_of_its_seed_and_its_history() -> None:
    def run(*pieces: int) -> list[Any]:
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
        for count in pieces:
            # RandomSampler's state would differ after a resume, so that it is asked for little.
            sampler = make("conditional", moves=2, warmup=Warmup(candidates=40, trials=10))
            study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
            study.optimize(SPACES["conditional"], n_trials=count)
        return [
            {k: v for k, v in trial.user_attrs.items() if k != "zerocost:seconds"}
            for trial in study.trials
        ]

    assert run(9) == run(9)
    # The opening does not depend on draws of the base sampler at all.
    assert run(2, 2) == run(4)


def test_a_scorer_that_rejects_much_leaves_enough() -> None:
    scorer = Recorder(SPACES["numeric"], fails=lambda call: call % 3 == 0)
    study = soon_learning(scorer)
    study.optimize(SPACES["numeric"], n_trials=8)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    counted = sum(trial.user_attrs["zerocost:rejected"] for trial in study.trials[3:])
    assert counted > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_small_space_is_nearly_exhausted_before_an_architecture_is_trained_twice(
    seed: int,
) -> None:
    def space(trial: Any) -> float:
        depth = trial.suggest_int("depth", 1, 3)
        return float(sum(trial.suggest_int(f"width{i}", 1, 3) for i in range(depth)))

    study = optuna.create_study(
        direction="maximize",
        sampler=ZeroCostSampler(
            lambda trial: {"size": space(trial)},
            base_sampler=optuna.samplers.RandomSampler(seed=seed),
            ranking=Learned(trusting=2, honest=2, sources=Sources(random=3, searched=6)),
            warmup=Warmup(candidates=30, trials=4),
            moves=2,
        ),
    )
    study.optimize(space, n_trials=30)
    # There are 39 architectures.
    assert len({architecture(trial) for trial in study.trials}) == 30


WORKER = """
    import sys, time, optuna
    from optuna_zerocost import Learned, Sources, Warmup, ZeroCostSampler

    def space(trial):
        depth = trial.suggest_int("depth", 1, 3)
        widths = [trial.suggest_categorical(f"width{i}", [16, 32, 64]) for i in range(depth)]
        return float(sum(widths))

    def objective(trial):
        value = space(trial)
        time.sleep(0.05)
        return value

    sampler = ZeroCostSampler(
        lambda trial: {"size": space(trial)},
        base_sampler=optuna.samplers.RandomSampler(),
        ranking=Learned(trusting=2, honest=2, sources=Sources(random=3, searched=6)),
        warmup=Warmup(candidates=30, trials=4, show_progress_bar=False),
        moves=2,
        seed=1,
    )
    study = optuna.load_study(study_name="shared", storage=sys.argv[1], sampler=sampler)
    study.optimize(objective, n_trials=10)
"""


def test_two_processes_do_not_train_one_architecture_twice(tmp_path: pathlib.Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="shared", storage=storage, direction="maximize")
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    command = [sys.executable, str(script), storage]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=240)
        assert worker.returncode == 0, errors
    study = optuna.load_study(study_name="shared", storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 20
    # There are 39 architectures.
    assert len({architecture(trial) for trial in study.trials}) == 20
