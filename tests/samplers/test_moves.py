"""Move proposal: the best of many draws, no repeats, rejections counted."""

from __future__ import annotations

import logging
import random
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from optuna_zerocost import ByScore, History, Warmup, ZeroCostSampler
from tests.spaces import BASES, SPACES, Recorder, size_scorer

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def architectures(study: optuna.Study) -> list[str]:
    return [
        str(sorted((name, value) for name, value in trial.params.items() if name != "rate"))
        for trial in study.trials
    ]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("base", ["random", "tpe", "nsga2", "qmc", "cmaes"])
def test_each_trial_is_the_best_new_architecture_drawn_for_it(base: str, space: str) -> None:
    scorer = Recorder(SPACES[space])
    sampler = ZeroCostSampler(
        scorer, base_sampler=BASES[base](), warmup=None, ranking="size", moves=6
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    trained: list[dict[str, Any]] = []
    for _ in range(8):
        start = len(scorer.scores)
        trial = study.ask()
        value = SPACES[space](trial)
        drawn = list(zip(scorer.params, scorer.scores, strict=True))[start:]
        new = [score for params, score in drawn if params not in trained]
        # More than six only if nothing new was among those.
        assert len(drawn) == 6 or not any(params not in trained for params, _ in drawn[:6])
        assert value == max(new)
        assert study.trials[-1].user_attrs["zerocost:source"] == "move"
        trained.append(trial.params)
        study.tell(trial, value)


@pytest.mark.parametrize("space", SPACES)
def test_what_was_scored_is_what_is_evaluated(space: str) -> None:
    """The stored score is that of the parameters that the objective got."""

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        return SPACES[space](trial) - rate

    sampler = ZeroCostSampler(
        size_scorer(SPACES[space]), seed=0, warmup=None, ranking="size", moves=5
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=15)
    for trial in study.trials:
        again = SPACES[space](optuna.trial.FixedTrial(trial.params))
        assert trial.user_attrs["zerocost:size"] == again
        assert trial.value == again - trial.params["rate"]


@pytest.mark.parametrize("base", ["random", "nsga2", "qmc"])
def test_no_architecture_is_evaluated_twice_before_all_are(base: str) -> None:
    """27 architectures: with enough draws a trial, 20 trials are 20 architectures."""

    def objective(trial: optuna.Trial) -> float:
        return SPACES["static"](trial) + trial.suggest_float("rate", 0, 1)

    sampler = ZeroCostSampler(
        size_scorer(SPACES["static"]),
        base_sampler=BASES[base](),
        warmup=None,
        ranking="size",
        moves=200,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=20)
    assert len(set(architectures(study))) == 20


def test_a_small_space_may_be_exhausted() -> None:
    sampler = ZeroCostSampler(
        lambda trial: {"size": trial.suggest_int("depth", 1, 3)},
        base_sampler=BASES["random"](),
        warmup=None,
        ranking="size",
        moves=30,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_int("depth", 1, 3), n_trials=7)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources == ["move"] * 3 + ["base"] * 4
    assert {trial.params["depth"] for trial in study.trials[:3]} == {1, 2, 3}
    assert all("zerocost:size" in trial.user_attrs for trial in study.trials)


def test_running_and_waiting_trials_count_as_known_and_failed_ones_the_second_time() -> None:
    """Of depth 1 to 6 the highest that is not known yet is proposed."""

    def space(trial: Any) -> int:
        return int(trial.suggest_int("depth", 1, 6))

    class NeverSteppingBack(ByScore):
        weighs_prospects = True  # what fails teaches nothing of what is like it

    sampler = ZeroCostSampler(
        size_scorer(space),
        base_sampler=BASES["random"](),
        warmup=None,
        ranking=NeverSteppingBack("size"),
        moves=100,
    )
    study = optuna.create_study(sampler=sampler)
    for _ in range(2):
        failed = study.ask()
        assert space(failed) == 6
        study.tell(failed, state=TrialState.FAIL)
    chosen_only = study.ask()
    sampler.infer_relative_search_space(study, study.trials[chosen_only.number])  # takes 5
    following = study.ask()
    study.enqueue_trial({"depth": 4})  # waits while the next one chooses
    assert space(following) == 3


def test_enqueued_values_are_kept_and_the_rest_is_the_best_for_them() -> None:
    scorer = Recorder(SPACES["conditional"])
    sampler = ZeroCostSampler(
        scorer, base_sampler=BASES["random"](), warmup=None, ranking="size", moves=8
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({"depth": 2, "norm": False})
    study.enqueue_trial({"depth": 1, "width0": 32, "norm": False})
    study.optimize(SPACES["conditional"], n_trials=2)
    partial, whole = study.trials
    assert partial.params["depth"] == 2 and partial.params["norm"] is False
    assert all(params["depth"] == 2 for params in scorer.params[:8])
    assert partial.value == max(scorer.scores[:8])
    assert whole.params == {"depth": 1, "width0": 32, "norm": False}
    assert whole.user_attrs["zerocost:source"] == "enqueued"
    assert whole.user_attrs["zerocost:size"] == 32.0


def test_direction_of_a_score_and_a_forced_one() -> None:
    class Low:
        score_names = ("size",)
        score_directions = {"size": "minimize"}

        def __call__(self, trial: Any) -> dict[str, float]:
            return {"size": SPACES["conditional"](trial)}

    def mean_size(ranking: str) -> float:
        sampler = ZeroCostSampler(
            Low(), base_sampler=BASES["random"](), ranking=ranking, warmup=None, moves=10
        )
        study = optuna.create_study(sampler=sampler)
        study.optimize(SPACES["conditional"], n_trials=6)
        return sum(trial.value for trial in study.trials if trial.value is not None)

    assert mean_size("size") == mean_size("-size") < mean_size("+size")


def test_random_failures_are_counted_and_the_study_completes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    generator = random.Random(0)
    scorer = Recorder(SPACES["conditional"], fails=lambda call: generator.random() < 0.4)
    sampler = ZeroCostSampler(
        scorer, base_sampler=BASES["tpe"](), warmup=None, ranking="size", moves=8
    )
    study = optuna.create_study(sampler=sampler)
    optuna_logger = logging.getLogger("optuna")
    optuna_logger.addHandler(caplog.handler)
    study.optimize(SPACES["conditional"], n_trials=10)
    optuna_logger.removeHandler(caplog.handler)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
    counted = sum(trial.user_attrs["zerocost:rejected"] for trial in study.trials)
    assert 0 < scorer.failed == counted
    told = [r.getMessage() for r in caplog.records if "was rejected" in r.getMessage()]
    assert len(told) == 1 and "this one cannot be built" in told[0]


def test_all_rejected_falls_back_to_the_base_sampler_with_a_warning() -> None:
    scorer = Recorder(SPACES["conditional"], fails=lambda call: True)
    sampler = ZeroCostSampler(
        scorer, base_sampler=BASES["random"](), warmup=None, ranking="size", moves=3
    )
    study = optuna.create_study(sampler=sampler)
    with pytest.warns(UserWarning, match="All 3 candidates.*this one cannot be built.*base"):
        study.optimize(SPACES["conditional"], n_trials=3)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert [trial.user_attrs["zerocost:source"] for trial in study.trials] == ["base"] * 3
    assert [trial.user_attrs["zerocost:rejected"] for trial in study.trials] == [3] * 3


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_candidates_with_a_score_that_is_not_finite_come_last(score: float) -> None:
    def scorer(trial: Any) -> dict[str, float]:
        depth = trial.suggest_int("depth", 1, 9)
        return {"size": score if depth == 9 else depth}

    sampler = ZeroCostSampler(
        scorer, base_sampler=BASES["random"](), warmup=None, ranking="size", moves=99
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_int("depth", 1, 9), n_trials=9)
    assert [trial.params["depth"] for trial in study.trials] == [8, 7, 6, 5, 4, 3, 2, 1, 9]
    assert sum(trial.user_attrs["zerocost:rejected"] for trial in study.trials) == 0
    assert "zerocost:size" not in study.trials[-1].user_attrs


def test_nothing_of_what_is_stored_is_a_numpy_scalar(tmp_path: Any) -> None:
    import numpy as np

    sampler = ZeroCostSampler(
        lambda trial: {"size": np.float32(SPACES["numeric"](trial))},  # type: ignore[dict-item]
        base_sampler=BASES["tpe"](),
        warmup=None,
        ranking="size",
        moves=3,
    )
    study = optuna.create_study(sampler=sampler, storage=f"sqlite:///{tmp_path}/study.db")
    study.optimize(SPACES["numeric"], n_trials=6)
    assert all(type(t.user_attrs["zerocost:size"]) is float for t in study.trials)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (0.5, TypeError, "mapping"),
        (None, TypeError, "mapping"),
        ({"size": "large"}, TypeError, "real number"),
        ({"source": 1.0}, ValueError, "zerocost:source"),
    ],
)
def test_a_wrong_scorer_fails_the_trial_with_a_clear_error(
    returned: Any, error: type[Exception], message: str
) -> None:
    def scorer(trial: Any) -> Any:
        trial.suggest_int("depth", 1, 9)
        return returned

    study = optuna.create_study(sampler=ZeroCostSampler(scorer, warmup=None, moves=2))
    with pytest.raises(error, match=message):
        study.optimize(lambda trial: trial.suggest_int("depth", 1, 9), n_trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_a_ranking_must_return_every_index_once() -> None:
    def first_only(candidates: Any, history: History) -> list[int]:
        return [0]

    sampler = ZeroCostSampler(
        size_scorer(SPACES["static"]), ranking=first_only, warmup=None, moves=9, seed=0
    )
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(ValueError, match="each index from 0"):
        study.optimize(SPACES["static"], n_trials=1)


def test_a_ranking_sees_the_finished_trials_and_the_directions() -> None:
    seen: list[History] = []

    def ranking(candidates: Any, history: History) -> list[int]:
        seen.append(history)
        return list(range(len(candidates)))

    sampler = ZeroCostSampler(size_scorer(SPACES["static"]), ranking=ranking, warmup=None, seed=0)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    study.optimize(lambda trial: (SPACES["static"](trial), 1.0), n_trials=4)
    assert [len(history.trials) for history in seen] == [0, 1, 2, 3]
    assert all(list(history.directions) == study.directions for history in seen)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"moves": 0}, ValueError, "at least 1"),
        ({"moves": 2.5}, ValueError, "integer"),
        ({"warmup": 64}, TypeError, "Warmup"),
        ({"base_sampler": "tpe"}, TypeError, "Optuna sampler"),
        ({"ranking": 3}, TypeError, "ranking"),
        ({"ranking": "snip"}, ValueError, "reads.*snip.*returns.*size"),
    ],
)
def test_wrong_arguments_get_clear_errors(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    class Named:
        score_names = ("size",)

        def __call__(self, trial: Any) -> dict[str, float]:
            return {"size": 1.0}

    with pytest.raises(error, match=message):
        ZeroCostSampler(Named(), **arguments)


def test_several_scores_need_a_ranking_before_the_first_trial() -> None:
    class Named:
        score_names = ("snip", "synflow")

        def __call__(self, trial: Any) -> dict[str, float]:
            return {"snip": 1.0, "synflow": 2.0}

    with pytest.raises(ValueError, match="several scores.*no ranking"):
        ZeroCostSampler(Named(), moves=1)
    ZeroCostSampler(Named(), moves=1, ranking="snip")


def test_a_warmup_by_several_scores_of_unknown_names_fails_its_trial() -> None:
    def scorer(trial: Any) -> dict[str, float]:
        return {"a": trial.suggest_int("depth", 1, 9), "b": 0.0}

    sampler = ZeroCostSampler(scorer, warmup=Warmup(5, 2, show_progress_bar=False), moves=1)
    study = optuna.create_study(sampler=sampler)
    with pytest.raises(ValueError, match="no ranking"):
        study.optimize(lambda trial: trial.suggest_int("depth", 1, 9), n_trials=1)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_moves_learn_what_the_scores_are_worth_unless_told_otherwise() -> None:
    def origins(ranking: str | None) -> set[str]:
        sampler = ZeroCostSampler(
            size_scorer(SPACES["numeric"]), ranking=ranking, warmup=None, moves=3, seed=0
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(SPACES["numeric"], n_trials=12)
        last = study.trials[-1].user_attrs
        assert ("zerocost:predicted" in last) == (ranking is None)
        return {trial.user_attrs.get("zerocost:origin", "") for trial in study.trials}

    assert origins("size") == {""}
    assert origins(None) - {""} <= {"base", "random", "searched", "pool"}


def test_advice_on_independent_sampling_does_not_flood(caplog: pytest.LogCaptureFixture) -> None:
    """What the base sampler logs once a trial alone, it logs no more often with many moves."""
    optuna_logger = logging.getLogger("optuna")

    def lines(moves: int) -> int:
        caplog.clear()
        base = optuna.samplers.CmaEsSampler(seed=0, n_startup_trials=2)
        sampler = ZeroCostSampler(
            size_scorer(SPACES["static"]),
            base_sampler=base,
            warmup=None,
            ranking="size",
            moves=moves,
        )
        study = optuna.create_study(sampler=sampler)
        study.optimize(SPACES["static"], n_trials=8)
        return sum("sampled independently" in r.getMessage() for r in caplog.records)

    optuna_logger.addHandler(caplog.handler)
    try:
        assert lines(moves=10) == lines(moves=1) > 0
    finally:
        optuna_logger.removeHandler(caplog.handler)
