"""Warmup: the best of one pool, shared by all workers, never scored twice, never lost."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import textwrap
import threading
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from optuna_zerocost import Warmup, ZeroCostSampler
from optuna_zerocost.records import stored_pools
from optuna_zerocost.records._long_values import read_json, write_json
from optuna_zerocost.samplers._pool_source import PoolSource
from tests.spaces import BASES, SPACES, Recorder, size_scorer

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def make_sampler(scorer: Any, **arguments: Any) -> ZeroCostSampler:
    defaults: dict[str, Any] = {
        "base_sampler": RandomSampler(seed=1),
        "warmup": Warmup(candidates=60, trials=8),
        "moves": 1,
        "seed": 0,
    }
    return ZeroCostSampler(scorer, **{**defaults, **arguments})


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("base", ["random", "tpe", "nsga2", "cmaes"])
def test_first_trials_are_the_best_of_the_pool_best_first(base: str, space: str) -> None:
    scorer = Recorder(SPACES[space])
    study = optuna.create_study(sampler=make_sampler(scorer, base_sampler=BASES[base]()))
    study.optimize(SPACES[space], n_trials=8)
    assert scorer.calls == 60
    distinct = {json.dumps(p): s for p, s in zip(scorer.params, scorer.scores, strict=True)}
    values = [trial.value for trial in study.trials]
    assert values == sorted(distinct.values(), reverse=True)[:8]
    assert len({json.dumps(trial.params) for trial in study.trials}) == 8
    for trial in study.trials:
        assert trial.user_attrs["zerocost:source"] == "warmup"
        assert trial.user_attrs["zerocost:size"] == trial.value
        assert trial.user_attrs["zerocost:candidates"] == len(distinct)


def test_after_the_warmup_the_moves_begin() -> None:
    sampler = make_sampler(size_scorer(SPACES["conditional"]), moves=5)
    study = optuna.create_study(sampler=sampler)
    study.optimize(SPACES["conditional"], n_trials=11)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["warmup"] * 8 + ["move"] * 3


def test_parameters_outside_of_the_architecture_are_the_base_samplers() -> None:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        return SPACES["conditional"](trial) * rate

    study = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["conditional"])))
    study.optimize(objective, n_trials=8)
    bare = optuna.create_study(sampler=RandomSampler(seed=1))
    bare.optimize(lambda trial: trial.suggest_float("rate", 1e-4, 1e-1, log=True), n_trials=8)
    assert [t.params["rate"] for t in study.trials] == [t.params["rate"] for t in bare.trials]


def test_same_seed_same_warmup_and_other_seed_another() -> None:
    def params(seed: int | None, name: str | None = None) -> list[dict[str, Any]]:
        sampler = make_sampler(size_scorer(SPACES["numeric"]), seed=seed)
        study = optuna.create_study(sampler=sampler, study_name=name)
        study.optimize(SPACES["numeric"], n_trials=5)
        return [trial.params for trial in study.trials]

    assert params(0) == params(0) != params(1)
    assert params(None, "a") == params(None, "a") != params(None, "b")


def test_an_objective_that_never_asks_for_the_architecture_gets_on() -> None:
    """Each trial is still given an architecture of its own, although none is ever asked for."""
    study = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["conditional"])))
    with pytest.warns(UserWarning, match="Trial 0 .* never asked for 'depth'") as told:
        study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=8)
    assert len(told) == 1
    scores = [trial.user_attrs["zerocost:size"] for trial in study.trials]
    fresh = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["conditional"])))
    fresh.optimize(SPACES["conditional"], n_trials=8)
    assert scores == [trial.user_attrs["zerocost:size"] for trial in fresh.trials]


def test_enqueued_trials_take_no_place_from_the_pool() -> None:
    study = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["conditional"])))
    study.enqueue_trial({"depth": 1, "width0": 16, "norm": False})
    study.optimize(SPACES["conditional"], n_trials=3)
    scores = [trial.user_attrs["zerocost:size"] for trial in study.trials]
    fresh = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["conditional"])))
    fresh.optimize(SPACES["conditional"], n_trials=2)
    assert scores == [16.0, *(trial.user_attrs["zerocost:size"] for trial in fresh.trials)]


def test_an_architecture_that_was_evaluated_before_is_not_warmed_up_again() -> None:
    first = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["conditional"])))
    first.optimize(SPACES["conditional"], n_trials=4)
    second = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["conditional"])))
    second.add_trial(first.trials[1])
    second.optimize(SPACES["conditional"], n_trials=3)
    assert [t.params for t in second.trials] == [first.trials[i].params for i in (1, 0, 2, 3)]


def test_rejected_candidates_are_counted_and_left_out() -> None:
    scorer = Recorder(SPACES["numeric"], fails=lambda call: call % 3 == 0)
    study = optuna.create_study(sampler=make_sampler(scorer))
    study.optimize(SPACES["numeric"], n_trials=4)
    assert scorer.failed == 20
    assert {trial.user_attrs["zerocost:rejected"] for trial in study.trials} == {20}
    assert {trial.user_attrs["zerocost:candidates"] for trial in study.trials} == {40}


def test_a_pool_that_is_all_rejected_leaves_it_to_the_base_sampler() -> None:
    scorer = Recorder(SPACES["numeric"], fails=lambda call: True)
    study = optuna.create_study(sampler=make_sampler(scorer))
    with pytest.warns(UserWarning, match="All 60 candidates of the warmup.*cannot be built"):
        study.optimize(SPACES["numeric"], n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert scorer.calls == 60 + 2  # the pool once, and each trial afterwards


def test_a_pool_smaller_than_the_warmup_goes_on_with_moves() -> None:
    """A space of 5 architectures has no 8 best ones."""

    def space(trial: Any) -> float:
        return float(trial.suggest_int("depth", 1, 5))

    study = optuna.create_study(sampler=make_sampler(size_scorer(space), moves=3))
    study.optimize(space, n_trials=7)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["warmup"] * 5 + ["base"] * 2


def test_choices_that_no_storage_can_hold_still_work_in_memory() -> None:
    choices: list[Any] = [int, float, complex]  # classes, as a user might write [nn.ReLU, …]

    def space(trial: Any) -> float:
        return float(len(trial.suggest_categorical("kind", choices).__name__))

    study = optuna.create_study(sampler=make_sampler(size_scorer(space)))
    with pytest.warns(UserWarning, match="Choices for a categorical distribution"):
        study.optimize(space, n_trials=3)
    assert {trial.params["kind"] for trial in study.trials} == set(choices)


@pytest.mark.parametrize(("candidates", "trials"), [(5, 6), (10, 0), (0, 0)])
def test_impossible_warmups_are_refused(candidates: int, trials: int) -> None:
    with pytest.raises(ValueError, match="1 ≤ trials ≤ candidates"):
        Warmup(candidates=candidates, trials=trials)


def test_the_pool_does_not_depend_on_how_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna_zerocost.samplers import _pool_source

    def pool(longest: int) -> list[Any]:
        monkeypatch.setattr(_pool_source, "_LONGEST_PIECE", longest)
        monkeypatch.setattr(_pool_source, "_FEWEST_PIECES", 1)
        study = optuna.create_study()
        source = PoolSource(study, size_scorer(SPACES["dynamic"]), Warmup(50, 5), fixed={}, seed=7)
        return [(c.params, c.scores) for c in source.get(worker=0).candidates]

    assert pool(1) == pool(7) == pool(50)


def test_a_pool_read_from_the_storage_equals_the_one_that_was_scored(tmp_path: Any) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    scorer = Recorder(SPACES["conditional"])

    def pool() -> list[Any]:
        study = optuna.create_study(study_name="s", storage=storage, load_if_exists=True)
        source = PoolSource(study, scorer, Warmup(50, 5), fixed={}, seed=None)
        return [(c.params, c.distributions, c.scores) for c in source.get(0).candidates]

    scored = pool()
    assert scorer.calls == 50
    assert pool() == scored
    assert scorer.calls == 50


@pytest.mark.parametrize("stop_at", [1, 17, 59])
def test_an_interrupted_warmup_resumes_with_what_was_stored(tmp_path: Any, stop_at: int) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"

    class Interrupted(Recorder):
        def __call__(self, trial: Any) -> dict[str, float]:
            scores = super().__call__(trial)
            if self.calls == stop_at:
                raise KeyboardInterrupt
            return scores

    scorer = Interrupted(SPACES["numeric"])
    study = optuna.create_study(storage=storage, study_name="s", sampler=make_sampler(scorer))
    with pytest.raises(KeyboardInterrupt):
        study.optimize(SPACES["numeric"], n_trials=8)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]

    resumed = optuna.load_study(storage=storage, study_name="s", sampler=make_sampler(scorer))
    resumed.optimize(SPACES["numeric"], n_trials=7)
    assert scorer.calls <= 61  # at most the piece under way, one candidate, was scored again
    scorer.calls = stop_at  # past it: no interruption any more
    in_one_go = optuna.create_study(sampler=make_sampler(scorer))
    in_one_go.optimize(SPACES["numeric"], n_trials=7)
    assert [t.params for t in resumed.trials[1:]] == [t.params for t in in_one_go.trials]


def test_threads_share_one_pool() -> None:
    scorer = Recorder(SPACES["numeric"])
    study = optuna.create_study(sampler=make_sampler(scorer))
    study.optimize(SPACES["numeric"], n_trials=8, n_jobs=4)
    assert scorer.calls == 60
    assert len({json.dumps(trial.params) for trial in study.trials}) == 8
    assert (
        sorted((t.value or 0.0 for t in study.trials), reverse=True)
        == sorted(scorer.scores, reverse=True)[:8]
    )


def test_each_study_of_one_sampler_has_the_pool_stored() -> None:
    """What was scored for the first is stored with the second as well, for its other workers."""
    scorer = Recorder(SPACES["numeric"])
    sampler = make_sampler(scorer, seed=3)
    studies = [optuna.create_study(sampler=sampler) for _ in range(2)]
    for study in studies:
        study.optimize(SPACES["numeric"], n_trials=3)
    first, second = (stored_pools(study) for study in studies)
    assert first == second and len(first[0].candidates) == 60
    assert [t.params for t in studies[0].trials] == [t.params for t in studies[1].trials]


def test_trials_that_began_together_get_different_architectures() -> None:
    """Four workers ask before any of them chooses: the first to choose takes the best."""
    study = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["numeric"])))
    trials = [study.ask() for _ in range(4)]
    values = [SPACES["numeric"](trial) for trial in reversed(trials)]
    assert values == sorted(set(values), reverse=True)


def test_a_worker_that_died_before_its_choice_costs_no_architecture(tmp_path: Any) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    sampler = make_sampler(size_scorer(SPACES["numeric"]))
    study = optuna.create_study(storage=storage, sampler=sampler)
    study.ask()  # never heard of again
    study.optimize(SPACES["numeric"], n_trials=2)
    undisturbed = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["numeric"])))
    undisturbed.optimize(SPACES["numeric"], n_trials=2)
    assert [t.params for t in study.trials[1:]] == [t.params for t in undisturbed.trials]


def test_a_failed_architecture_gets_one_more_chance(tmp_path: Any) -> None:
    """The best of the pool is not lost to a bug in the training, nor tried for ever."""
    attempts: list[dict[str, Any]] = []

    def objective(trial: optuna.Trial) -> float:
        value = SPACES["numeric"](trial)
        attempts.append(trial.params)
        if trial.params == attempts[0]:
            raise RuntimeError("out of memory")
        return value

    study = optuna.create_study(sampler=make_sampler(size_scorer(SPACES["numeric"])))
    study.optimize(objective, n_trials=4, catch=RuntimeError)
    assert attempts[0] == attempts[1]
    assert len({json.dumps(params) for params in attempts}) == 3


WORKER = """
    import sys, optuna
    from optuna_zerocost import Warmup, ZeroCostSampler

    name, storage, log = sys.argv[1:]

    def space(trial):
        depth = trial.suggest_int("depth", 1, 4)
        return sum(trial.suggest_float(f"width{i}", 0.0, 1.0) for i in range(depth))

    def scorer(trial):
        size = space(trial)
        with open(log, "a") as file:
            file.write(f"{size!r}\\n")
        sum(range(200_000))  # scoring takes a while
        return {"size": size}

    sampler = ZeroCostSampler(
        scorer, warmup=Warmup(candidates=320, trials=40, show_progress_bar=False), moves=1
    )
    study = optuna.create_study(
        study_name=name, storage=storage, sampler=sampler, load_if_exists=True
    )
    study.optimize(space, n_trials=12)
"""


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_processes_share_one_warmup(tmp_path: pathlib.Path, kind: str) -> None:
    script = tmp_path / "worker.py"
    source = textwrap.dedent(WORKER)
    if kind == "sqlite":
        storage: Any = f"sqlite:///{tmp_path}/study.db"
        optuna.create_study(study_name="shared", storage=storage)
    else:
        backend = "optuna.storages.journal.JournalFileBackend(storage)"
        source = source.replace(
            "storage=storage", f"storage=optuna.storages.JournalStorage({backend})"
        )
    script.write_text(source)
    where = storage if kind == "sqlite" else str(tmp_path / "journal.log")
    log = tmp_path / "scored.txt"
    command = [sys.executable, str(script), "shared", where, str(log)]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    if kind == "journal":
        backend_object = optuna.storages.journal.JournalFileBackend(where)
        storage = optuna.storages.JournalStorage(backend_object)
    study = optuna.load_study(study_name="shared", storage=storage)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 24
    scored = [float(line) for line in log.read_text().splitlines()]
    pool = sorted(set(scored), reverse=True)
    assert len(pool) == 320
    # Two workers may meet at a few pieces of ten; the 24 trials are the 24 best, each once.
    assert len(scored) <= 320 * 1.25
    assert sorted((trial.value or 0.0 for trial in study.trials), reverse=True) == pool[:24]


@pytest.mark.parametrize("length", [0, 1, 2000, 2013, 2014, 5000])
def test_long_values_are_cut_and_read_back(length: int) -> None:
    stored: dict[str, Any] = {}
    write_json(stored.__setitem__, "key", "x" * length)
    assert read_json(stored, "key") == "x" * length
    assert all(len(piece) <= 2045 for piece in stored.values())


def test_a_value_that_is_not_all_there_reads_as_absent() -> None:
    stored: dict[str, Any] = {}
    write_json(stored.__setitem__, "key", list(range(2000)))
    assert len(stored) > 2
    for key in stored:
        assert read_json({k: v for k, v in stored.items() if k != key}, "key") is None
        if key != "key":
            mixed = {**stored, key: "7" + stored[key][1:]}
            assert read_json(mixed, "key") is None
    assert read_json(stored, "key") == list(range(2000))


def test_threads_of_one_sampler_do_not_hand_over_to_each_other() -> None:
    """Each trial gets what was scored for it, although all threads use one sampler object."""
    barrier = threading.Barrier(3)

    def objective(trial: optuna.Trial) -> float:
        value = SPACES["numeric"](trial)
        barrier.wait(timeout=30)
        return value

    study = optuna.create_study(
        sampler=make_sampler(size_scorer(SPACES["numeric"]), warmup=None, moves=4)
    )
    study.optimize(objective, n_trials=9, n_jobs=3)
    assert all(trial.user_attrs["zerocost:size"] == trial.value for trial in study.trials)
