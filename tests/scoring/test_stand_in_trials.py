"""A candidate behaves as a trial as far as an objective can tell, and leaves nothing behind."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import create_trial
from torch import nn

from optuna_zerocost import ModelScorer, ZeroCostPruner, report_network
from optuna_zerocost.scoring import StudyToRead
from tests.reported_networks import BATCH, Step, build, from_, study_of, with_step


def reports(trial: Any) -> None:
    trial.report(1.0, 0)
    assert not trial.should_prune()


def sets(trial: Any) -> None:
    trial.set_user_attr("size", 3)
    assert trial.user_attrs["size"] == 3
    trial.study.set_user_attr("best", 3)


def constrains(trial: Any) -> None:
    if hasattr(optuna.trial.Trial, "set_constraint"):
        trial.set_constraint("size", 1.0)
    else:
        trial.set_user_attr("constraint", 1.0)


@pytest.mark.parametrize("effect", [reports, sets, constrains])
def test_what_a_candidate_says_of_itself_goes_nowhere(effect: Step) -> None:
    """The study is as it is with the same steps after the line, where no candidate takes them."""
    dumps = []
    for function in (with_step(before=effect), with_step(after=effect)):
        study = study_of(from_(function))
        study.optimize(function, n_trials=4)
        kept = [
            (
                t.params,
                t.intermediate_values,
                {k: v for k, v in t.user_attrs.items() if k != "zerocost:seconds"},
                {k for k in t.system_attrs if "zerocost" not in k},
            )
            for t in study.trials
        ]
        dumps.append((kept, study.user_attrs))
    assert dumps[0] == dumps[1]


def test_nothing_is_enqueued_or_stopped_for_a_candidate() -> None:
    def meddles(trial: Any) -> float:
        if isinstance(trial.study, StudyToRead):
            trial.study.enqueue_trial({"width": 3})
            trial.study.stop()
            trial.study.add_trial(create_trial(value=0.0))
        assert isinstance(trial.study, optuna.Study)
        return float(with_step()(trial))

    study = study_of(from_(meddles))
    study.optimize(meddles, n_trials=4)
    assert len(study.trials) == 4
    assert {t.state for t in study.trials} == {optuna.trial.TrialState.COMPLETE}


def reads_all(trial: Any) -> nn.Module:
    study = trial.study
    assert trial.storage.get_study_user_attrs(study._study_id)["classes"] == 3
    assert isinstance(trial.relative_params, dict)
    # Optuna up to 4.x has them.
    assert isinstance(getattr(trial, "system_attrs", {}), dict)
    assert trial.datetime_start is not None and trial.number >= 0
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    width = trial.suggest_int("width", 2, 64)
    return nn.Sequential(
        nn.Linear(4, width), nn.ReLU(), nn.Linear(width, study.user_attrs["classes"])
    )


def reads_all_and_reports(trial: Any) -> float:
    report_network(trial, reads_all(trial))
    return 0.0


@pytest.mark.filterwarnings("ignore:system_attrs has been deprecated")  # by Optuna 4
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_builder_may_read_what_it_may_read_of_a_trial(n_jobs: int) -> None:
    for scorer in (
        ModelScorer(reads_all, BATCH, ["synflow"], n_jobs=n_jobs),
        from_(reads_all_and_reports, n_jobs=n_jobs),
    ):
        study = study_of(scorer)
        study.set_user_attr("classes", 3)
        study.optimize(reads_all_and_reports, n_trials=4)
        assert [t.user_attrs["zerocost:source"] for t in study.trials] == (
            ["warmup"] * 2 + ["move"] * 2
        )
        assert {t.user_attrs["zerocost:rejected"] for t in study.trials} == {0}


def test_what_an_objective_prints_is_shown_for_its_trials_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = with_step(before=lambda trial: print("hello"))
    study_of(from_(function)).optimize(function, n_trials=3)
    assert capsys.readouterr().out.splitlines() == ["hello"] * 3
    print("and now")
    assert capsys.readouterr().out == "and now\n"


class Tracker:
    """As much of W&B and of MLflow as begins and ends a run."""

    def __init__(self) -> None:
        self.run: Any = None
        self.begun = 0
        self.ended = 0

    def init(self) -> None:
        self.begun += 1
        self.run = SimpleNamespace(id=f"run {self.begun}")

    def finish(self, quiet: bool = False) -> None:
        self.ended += self.run is not None
        self.run = None

    def active_run(self) -> Any:
        return self.run and SimpleNamespace(info=SimpleNamespace(run_id=self.run.id))

    def end_run(self, status: str = "FINISHED") -> None:
        self.finish()


class Stack(Tracker):
    """MLflow refuses a run inside of another one that is not told to be nested."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def start_run(self, nested: bool = False) -> None:
        if self.runs and not nested:
            raise RuntimeError(f"{self.runs[-1]} is already active")
        self.begun += 1
        self.runs.append(f"run {self.begun}")

    def active_run(self) -> Any:
        return self.runs and SimpleNamespace(info=SimpleNamespace(run_id=self.runs[-1]))

    def end_run(self, status: str = "FINISHED") -> None:
        self.runs.pop()


@pytest.mark.filterwarnings("ignore:The objective starts a run of mlflow")
def test_a_trial_with_a_run_of_its_own_keeps_it_while_candidates_are_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker, open_ones = Stack(), []
    monkeypatch.setitem(sys.modules, "mlflow", tracker)  # type: ignore[arg-type]

    def function(trial: Any) -> float:
        tracker.start_run()  # before the first question, at which candidates are scored
        report_network(trial, build(trial))
        open_ones.append(list(tracker.runs))
        tracker.end_run()
        return 0.0

    study = study_of(from_(function))
    study.optimize(function, n_trials=3)
    assert all(trial.user_attrs["zerocost:rejected"] == 0 for trial in study.trials)
    assert [len(runs) for runs in open_ones] == [1] * 3 and not tracker.runs


def test_a_trials_run_of_wandb_is_not_ended_by_its_candidates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker, same = Tracker(), []
    monkeypatch.setitem(sys.modules, "wandb", tracker)  # type: ignore[arg-type]

    def function(trial: Any) -> float:
        tracker.init()  # it ends an earlier run
        own = tracker.run
        report_network(trial, build(trial))
        same.append(tracker.run is own)
        tracker.finish()
        return 0.0

    study_of(from_(function)).optimize(function, n_trials=3)
    assert same == [True] * 3 and tracker.begun == tracker.ended == 3


@pytest.fixture(params=["wandb", "mlflow"])
def package(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def tracker(package: str, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    tracker = Tracker()
    monkeypatch.setitem(sys.modules, package, tracker)  # type: ignore[arg-type]
    return tracker


def test_a_trackers_run_of_a_candidate_is_ended_and_told_of_once(
    package: str, tracker: Tracker
) -> None:
    function = with_step(lambda trial: tracker.init(), lambda trial: tracker.finish())
    study = study_of(from_(function))
    with pytest.warns(
        UserWarning, match=f"starts a run of {package} before report_network"
    ) as told:
        study.optimize(function, n_trials=3)
    assert len(told) == 1
    assert tracker.begun == tracker.ended > 3


def test_a_trackers_run_around_the_search_is_left_alone(tracker: Tracker) -> None:
    tracker.init()
    study_of(from_(with_step())).optimize(with_step(), n_trials=3)
    assert tracker.run is not None and tracker.ended == 0


def prunes(trial: Any) -> float:
    """An objective that asks whether to go on before its network is there, and after."""
    width = trial.suggest_int("width", 2, 64)
    trial.report(0.0, 0)
    if trial.should_prune():
        raise optuna.TrialPruned
    report_network(trial, nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)))
    trial.report(float(width), 1)
    if trial.should_prune():
        raise optuna.TrialPruned
    return float(width)


def test_a_pruner_may_score_the_objective_that_asks_it() -> None:
    pruner = ZeroCostPruner(from_(prunes), quantile=0.2)
    study = optuna.create_study(pruner=pruner)
    study.optimize(prunes, n_trials=8)
    assert all("zerocost:synflow" in trial.user_attrs for trial in study.trials)
    assert all("zerocost:verdict" in trial.user_attrs for trial in study.trials)


@pytest.fixture
def process_group(tmp_path: pathlib.Path) -> Iterator[None]:
    if not torch.distributed.is_available():
        pytest.skip("this build of torch has no torch.distributed")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_other_processes_of_a_distributed_training_hear_of_trials_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: sent.append(src))
    function = with_step(lambda trial: torch.distributed.broadcast(torch.zeros(1), src=0))
    study_of(from_(function)).optimize(function, n_trials=3)
    assert sent == [0] * 3


def test_skorch_makes_the_network_of_a_candidate() -> None:
    skorch = pytest.importorskip("skorch", reason="skorch makes the network")

    def with_skorch(trial: Any) -> float:
        class Module(nn.Module):
            def __init__(self, width: int) -> None:
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

            def forward(self, inputs: torch.Tensor) -> Any:
                return self.layers(inputs)

        net = skorch.NeuralNetClassifier(
            Module,
            module__width=trial.suggest_int("width", 2, 64),
            max_epochs=1,
            verbose=0,
            train_split=None,
        )
        report_network(trial, net.initialize().module_)
        net.fit(*BATCH)
        return float(trial.suggest_float("rate", 0, 1))

    study = study_of(from_(with_skorch))
    study.optimize(with_skorch, n_trials=4)
    assert {trial.user_attrs["zerocost:rejected"] for trial in study.trials} == {0}
