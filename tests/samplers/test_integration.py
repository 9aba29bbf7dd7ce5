"""In pipelines that exist already: pruners, storages, several objectives, resume, dashboard."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from optuna_zerocost import Warmup, ZeroCostSampler
from tests.dashboard_api import study_detail
from tests.spaces import BASES, SPACES, size_scorer

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def make_sampler(base: str = "tpe", space: str = "conditional", **arguments: Any) -> Any:
    defaults: dict[str, Any] = {
        "base_sampler": BASES[base](),
        "warmup": Warmup(candidates=40, trials=4),
        "moves": 5,
        "seed": 0,
    }
    return ZeroCostSampler(size_scorer(SPACES[space]), **{**defaults, **arguments})


def objective(trial: optuna.Trial) -> float:
    size = SPACES["conditional"](trial)
    return size * trial.suggest_float("rate", 1e-3, 1e-1, log=True)


def summary(study: optuna.Study) -> list[Any]:
    return [(trial.params, trial.values, trial.state) for trial in study.trials]


def check(study: optuna.Study, *, trials: int = 12) -> None:
    assert len(study.trials) == trials
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources[:4] == ["warmup"] * 4
    # "base" where all draws were architectures that the study knows already.
    assert "move" in sources and set(sources[4:]) <= {"move", "base"}
    for trial in study.trials:
        params = {k: v for k, v in trial.params.items() if k != "rate"}
        assert trial.user_attrs["zerocost:size"] == SPACES["conditional"](
            optuna.trial.FixedTrial(params)
        )
        assert trial.user_attrs["zerocost:seconds"] >= 0


def sqlite(folder: pathlib.Path) -> Any:
    return f"sqlite:///{folder}/study.db"


def journal(folder: pathlib.Path) -> Any:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    return optuna.storages.JournalStorage(backend)


def in_memory(folder: pathlib.Path) -> Any:
    return optuna.storages.InMemoryStorage()


STORAGES: dict[str, Callable[[pathlib.Path], Any]] = {
    "memory": in_memory,
    "sqlite": sqlite,
    "journal": journal,
}


@pytest.mark.parametrize("base", ["random", "tpe", "nsga2", "cmaes"])
def test_every_storage_gives_the_same_study(base: str, tmp_path: pathlib.Path) -> None:
    studies = []
    for make_storage in STORAGES.values():
        study = optuna.create_study(storage=make_storage(tmp_path), sampler=make_sampler(base))
        study.optimize(objective, n_trials=12)
        check(study)
        studies.append(summary(study))
    assert studies[0] == studies[1] == studies[2]


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
@pytest.mark.parametrize("stop", [2, 7])
def test_a_study_is_resumed_where_it_stopped(kind: str, stop: int, tmp_path: pathlib.Path) -> None:
    """With a base sampler that has no random state of its own, exactly as in one go."""

    def sampler() -> Any:
        # Every draw is seeded anew, so what a trial is depends on the history alone.
        return make_sampler("random")

    storage = STORAGES[kind](tmp_path)
    study = optuna.create_study(study_name="s", storage=storage, sampler=sampler())
    study.optimize(objective, n_trials=stop)
    resumed = optuna.load_study(study_name="s", storage=storage, sampler=sampler())
    resumed.optimize(objective, n_trials=12 - stop)
    check(resumed)
    in_one_go = optuna.create_study(sampler=sampler())
    in_one_go.optimize(objective, n_trials=12)
    warmed_up = [t.user_attrs["zerocost:size"] for t in resumed.trials[:4]]
    assert warmed_up == [t.user_attrs["zerocost:size"] for t in in_one_go.trials[:4]]
    configurations = {json.dumps(trial.params, sort_keys=True) for trial in resumed.trials}
    assert len(configurations) == 12


def test_a_study_that_began_without_the_sampler_goes_on_with_it(tmp_path: pathlib.Path) -> None:
    storage = sqlite(tmp_path)
    study = optuna.create_study(study_name="s", storage=storage, sampler=BASES["random"]())
    study.optimize(objective, n_trials=2)
    resumed = optuna.load_study(study_name="s", storage=storage, sampler=make_sampler())
    resumed.optimize(objective, n_trials=5)
    sources = [trial.user_attrs.get("zerocost:source") for trial in resumed.trials]
    assert sources == [None, None, "warmup", "warmup", "move", "move", "move"]


def test_a_pickled_sampler_goes_on_as_the_original() -> None:
    sampler = ZeroCostSampler(
        SpaceScorer("conditional"),
        base_sampler=BASES["tpe"](),
        warmup=Warmup(candidates=40, trials=4),
        moves=5,
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=6)
    copy = pickle.loads(pickle.dumps(sampler))
    twin = optuna.create_study(sampler=copy, study_name=f"{study.study_name}-twin")
    twin.add_trials(study.trials)
    study.optimize(objective, n_trials=4)
    twin.optimize(objective, n_trials=4)
    assert summary(twin) == summary(study)


class SpaceScorer:
    def __init__(self, space: str) -> None:
        self.space = space

    def __call__(self, trial: Any) -> dict[str, float]:
        return {"size": SPACES[self.space](trial)}


@pytest.mark.parametrize("base", ["random", "tpe", "nsga2", "cmaes", "qmc"])
def test_hyperband_keeps_its_brackets_and_reports(base: str) -> None:
    def train(trial: optuna.Trial) -> float:
        value = objective(trial)
        for step in range(1, 10):
            trial.report(value * step / 9, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    # The brackets follow from the name; with some names all twelve trials are in the last one.
    study = optuna.create_study(sampler=make_sampler(base), pruner=pruner, study_name="brackets")
    study.optimize(train, n_trials=12)
    check(study)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert all(trial.intermediate_values for trial in study.trials)


@pytest.mark.parametrize("base", ["random", "tpe", "nsga2"])
def test_several_objectives(base: str) -> None:
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=make_sampler(base))
    study.optimize(lambda trial: (objective(trial), trial.params["depth"]), n_trials=12)
    check(study)
    assert study.best_trials


@pytest.mark.parametrize("base", ["random", "tpe", "nsga2"])
def test_ask_and_tell_also_out_of_order(base: str) -> None:
    study = optuna.create_study(sampler=make_sampler(base))
    for _ in range(3):
        trials = [study.ask() for _ in range(4)]
        values = [objective(trial) for trial in trials]
        for trial, value in reversed(list(zip(trials, values, strict=True))):
            study.tell(trial, value)
    check(study)


def test_ask_with_fixed_distributions() -> None:
    distributions = {
        "x": optuna.distributions.FloatDistribution(-1, 1),
        "y": optuna.distributions.FloatDistribution(1e-3, 1, log=True),
        "n": optuna.distributions.IntDistribution(1, 9, step=2),
    }
    study = optuna.create_study(sampler=make_sampler("tpe", "numeric"))
    for _ in range(6):
        trial = study.ask(distributions)
        scored = trial.user_attrs["zerocost:size"]
        assert scored == SPACES["numeric"](optuna.trial.FixedTrial(trial.params))
        study.tell(trial, scored)


def test_optimize_in_threads() -> None:
    study = optuna.create_study(sampler=make_sampler())
    study.optimize(objective, n_trials=12, n_jobs=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 12
    for trial in study.trials:
        params = {k: v for k, v in trial.params.items() if k != "rate"}
        assert trial.user_attrs["zerocost:size"] == SPACES["conditional"](
            optuna.trial.FixedTrial(params)
        )


def test_the_objective_can_read_the_scores_of_its_trial() -> None:
    study = optuna.create_study(sampler=make_sampler())
    seen = []

    def reading(trial: optuna.Trial) -> float:
        value = SPACES["conditional"](trial)
        seen.append(trial.user_attrs["zerocost:size"])
        return value

    study.optimize(reading, n_trials=6)
    assert seen == [trial.value for trial in study.trials]


def test_an_objective_that_fails_leaves_no_running_trial() -> None:
    study = optuna.create_study(sampler=make_sampler())

    def failing(trial: optuna.Trial) -> float:
        if trial.number % 2:
            raise RuntimeError("out of memory")
        return objective(trial)

    study.optimize(failing, n_trials=8, catch=RuntimeError)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL] * 4


def test_sampling_leaves_no_trials_behind() -> None:
    study = optuna.create_study(sampler=make_sampler())
    study.optimize(objective, n_trials=6)
    assert [trial.number for trial in study.get_trials()] == list(range(6))


def test_the_scores_are_seen_through_the_dashboards_api(tmp_path: pathlib.Path) -> None:
    storage = optuna.storages.RDBStorage(sqlite(tmp_path))
    study = optuna.create_study(storage=storage, sampler=make_sampler())
    study.optimize(objective, n_trials=6)
    detail = study_detail(study)
    shown = {entry["key"]: entry["sortable"] for entry in detail["union_user_attrs"]}
    assert shown["zerocost:size"] and shown["zerocost:seconds"]
    assert {"zerocost:source", "zerocost:candidates", "zerocost:rejected"} <= set(shown)
    for trial in detail["trials"]:
        attributes = {entry["key"]: entry["value"] for entry in trial["user_attrs"]}
        stored = study.trials[trial["number"]].user_attrs
        assert float(attributes["zerocost:size"]) == stored["zerocost:size"]


def test_the_supported_releases_are_the_declared_ones() -> None:
    """CI names the oldest release of Optuna that the package admits."""
    requirements = importlib.metadata.requires("optuna-zerocost") or []
    assert any(requirement.startswith("optuna>=4.6") for requirement in requirements)
