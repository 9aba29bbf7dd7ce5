"""Scores of another scorer are told of once, and left out of account; so none are mixed."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
import torch
from optuna.samplers import RandomSampler
from torch import nn

from optuna_zerocost import (
    Limits,
    ModelScorer,
    ReducedTrainingScorer,
    Warmup,
    ZeroCostPruner,
    ZeroCostSampler,
)
from optuna_zerocost.records import (
    comparable,
    other_scorers,
    scored_by,
    stored_pools,
    stored_scores,
)
from optuna_zerocost.samplers import OtherScorerError
from optuna_zerocost.scoring import _scorer, as_scorer

BUILDER = """
def build(trial):
    return nn.Linear(4, {factor} * trial.suggest_int("width", 1, 50))
"""
BATCH = torch.ones(2, 4), torch.zeros(2, dtype=torch.long)


def builder(factor: int) -> Callable[[Any], nn.Module]:
    """Return one version of a builder; all of them have one name."""
    names: dict[str, Any] = {"nn": nn, "__name__": "script"}
    exec(BUILDER.format(factor=factor), names)
    made: Callable[[Any], nn.Module] = names["build"]
    return made


def objective(trial: Any) -> float:
    return float(trial.suggest_int("width", 1, 50))


def study_with(storage: str, scorer: Any, **arguments: Any) -> optuna.Study:
    settings = {"warmup": Warmup(20, 2), "moves": 3, "seed": 0, **arguments}
    sampler = ZeroCostSampler(scorer, base_sampler=RandomSampler(seed=1), **settings)
    return optuna.create_study(
        study_name="s", storage=storage, sampler=sampler, load_if_exists=True
    )


@pytest.fixture
def storage(tmp_path: pathlib.Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    optuna.logging.enable_propagation()
    with caplog.at_level(logging.INFO, logger="optuna.zerocost"):
        yield lambda: [text for text in caplog.messages if "holds scores" in text]
    optuna.logging.disable_propagation()


def test_scores_of_an_edited_builder_are_not_used(storage: str) -> None:
    study_with(storage, ModelScorer(builder(1), BATCH, ["params"])).optimize(objective, 4)
    edited = ModelScorer(builder(3), BATCH, ["params"])
    study = study_with(storage, edited)
    with pytest.warns(
        UserWarning, match="'s' holds .* another scorer: the builder's code"
    ) as said:
        study.optimize(objective, 3)
    assert len(said) == 1
    for trial in study.trials:
        factor = 1 if trial.number < 4 else 3
        assert trial.user_attrs["zerocost:params"] == 5 * factor * trial.params["width"]
    small, large = (
        sorted(candidate.params["width"] for candidate in pool.candidates)
        for pool in stored_pools(study)
    )
    assert small == large  # an edit changes scores, and no draw
    seen = comparable(study.trials, edited.scored_by.key)
    assert [bool(stored_scores(trial.user_attrs)) for trial in seen] == [False] * 4 + [True] * 3
    assert "3 of 7 complete trials have scores" in study.sampler.explain(study)  # type: ignore[attr-defined]


def test_what_the_other_builder_trained_is_scored_when_it_is_trained_again(storage: str) -> None:
    """Three architectures, each with a rate: the second scorer meets few that are new."""

    def tuned(trial: Any) -> float:
        width = trial.suggest_int("width", 1, 3)
        return float(width - abs(trial.suggest_float("rate", 0, 1) - 0.5))

    def narrow(factor: int) -> Callable[[Any], nn.Module]:
        names: dict[str, Any] = {"nn": nn, "__name__": "script"}
        exec(BUILDER.replace("50", "3").format(factor=factor), names)
        made: Callable[[Any], nn.Module] = names["build"]
        return made

    arguments = {"warmup": Warmup(3, 2), "moves": None}
    study_with(storage, ModelScorer(narrow(1), BATCH, ["params"]), **arguments).optimize(tuned, 8)
    study = study_with(storage, ModelScorer(narrow(3), BATCH, ["params"]), **arguments)
    with pytest.warns(UserWarning, match="another scorer"):
        study.optimize(tuned, 8)
    origins = [trial.user_attrs.get("zerocost:origin") for trial in study.trials[8:]]
    assert "trained" in origins
    for trial in study.trials[8:]:
        assert trial.user_attrs["zerocost:params"] == 15 * trial.params["width"]


def test_the_old_scores_are_there_for_the_old_builder(storage: str) -> None:
    study = study_with(storage, ModelScorer(builder(1), BATCH, ["params"]))
    study.optimize(objective, 4)
    with pytest.warns(UserWarning, match="another scorer"):
        study_with(storage, ModelScorer(builder(3), BATCH, ["params"])).optimize(objective, 3)
    again = ModelScorer(builder(1), BATCH, ["params"])
    seen = comparable(study.trials, again.scored_by.key)
    assert [bool(stored_scores(trial.user_attrs)) for trial in seen] == [True] * 4 + [False] * 3
    (other,) = other_scorers(study, again.scored_by)
    assert other.differences(again.scored_by) == ["builder"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"proxies": ["snip"]}, "the proxies"),
        ({"batch": (2 * BATCH[0], BATCH[1])}, "the minibatch"),
        ({"loss_fn": nn.functional.multi_margin_loss}, "the loss"),
        ({"forward_fn": lambda network, inputs: network(inputs)}, "the forward function"),
        ({"seed": 1}, "seed"),
    ],
)
def test_two_workers_with_other_settings_say_it_once(
    storage: str, arguments: dict[str, Any], part: str
) -> None:
    settings: dict[str, Any] = {"batch": BATCH, "proxies": ["synflow"]}
    first = study_with(storage, ModelScorer(builder(1), **settings))
    second = study_with(storage, ModelScorer(builder(1), **settings | arguments))
    with pytest.warns(UserWarning, match=f"another scorer: {part} is another.*beside") as said:
        for worker in (first, second) * 2:
            worker.optimize(objective, 1)
    assert len(said) == 1
    keys = [scored_by(trial) for trial in first.trials]
    assert keys[0] == keys[2] != keys[1] == keys[3]


def test_other_scores_can_be_an_error(storage: str) -> None:
    study_with(storage, ModelScorer(builder(1), BATCH)).optimize(objective, 2)
    study = study_with(storage, ModelScorer(builder(3), BATCH), other_scorer="raise")
    for _ in range(2):  # it is not forgotten
        with pytest.raises(OtherScorerError, match="the builder's code .* another study"):
            study.optimize(objective, 1)
    assert len(other_scorers(study, ModelScorer(builder(1), BATCH).scored_by)) == 0
    with pytest.raises(ValueError, match="'stop', but it must be 'warn'"):
        ZeroCostSampler(objective, other_scorer="stop")  # type: ignore


def test_other_versions_are_only_logged(
    storage: str, told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    study_with(storage, ModelScorer(builder(1), BATCH)).optimize(objective, 3)
    monkeypatch.setattr(_scorer, "_versions", lambda: {"Python": "3.0", "torch": "1.0"})
    study = study_with(storage, ModelScorer(builder(1), BATCH), other_scorer="raise")
    study.optimize(objective, 2)
    (said,) = told()
    assert f"torch {torch.__version__} (now 1.0)" in said and "are used" in said
    seen = comparable(study.trials, as_scorer(ModelScorer(builder(1), BATCH)).scored_by.key)
    assert all(stored_scores(trial.user_attrs) for trial in seen)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="another scorer"):
        study_with(storage, ModelScorer(builder(2), BATCH)).optimize(objective, 1)


def test_a_study_of_an_earlier_version_is_used_as_it_is(storage: str) -> None:
    study = optuna.create_study(study_name="s", storage=storage)
    for width in (3, 4):
        scores = {"zerocost:params": 5.0 * width}
        distributions = {"width": optuna.distributions.IntDistribution(1, 50)}
        study.add_trial(
            optuna.create_trial(
                value=1.0,
                params={"width": width},
                distributions=distributions,  # type: ignore[arg-type]
                user_attrs=scores,
            )
        )
    scorer = ModelScorer(builder(1), BATCH, ["params"])
    study_with(storage, scorer).optimize(objective, 1)
    assert all(stored_scores(t.user_attrs) for t in comparable(study.trials, scorer.scored_by.key))
    edited = study_with(storage, ModelScorer(builder(3), BATCH, ["params"]))
    with pytest.warns(UserWarning, match="Trial 0 .* has params 15 stored, .* gives 45 now"):
        with pytest.warns(UserWarning, match="another scorer"):
            edited.optimize(objective, 1)


def test_scores_that_depend_on_something_else_are_found(storage: str) -> None:
    path = pathlib.Path(storage.removeprefix("sqlite:///")).with_name("factor")

    def scorer(trial: Any) -> dict[str, float]:
        return {"size": float(path.read_text()) * objective(trial)}

    path.write_text("1")
    study_with(storage, scorer).optimize(objective, 3)
    path.write_text("1.0001")
    study_with(storage, scorer).optimize(objective, 3)
    path.write_text("2")
    with pytest.warns(UserWarning, match="has size .* cannot be compared.*a file") as said:
        study_with(storage, scorer).optimize(objective, 3)
    assert len(said) == 1


def test_what_is_costly_or_measured_is_not_checked(storage: str) -> None:
    limits = Limits(latency_ms=1e6)
    study_with(storage, ModelScorer(builder(1), BATCH, limits=limits)).optimize(objective, 2)
    study_with(storage, ModelScorer(builder(1), BATCH, limits=limits)).optimize(objective, 2)
    assert not ReducedTrainingScorer.is_cheap


def test_other_limits_leave_scores_as_they_are(storage: str) -> None:
    study_with(storage, ModelScorer(builder(1), BATCH)).optimize(objective, 2)
    wide = study_with(storage, ModelScorer(builder(1), BATCH, limits=Limits(params=1000)))
    wide.optimize(objective, 2)
    assert len({scored_by(trial) for trial in wide.trials}) == 1


def test_a_pruner_compares_scores_of_one_scorer(storage: str) -> None:
    def slow(trial: Any) -> float:
        value = objective(trial)
        trial.report(value, 0)
        return value if not trial.should_prune() else 0.0

    first = ModelScorer(builder(1), BATCH, ["params"])
    study = optuna.create_study(study_name="s", storage=storage)
    study.pruner = ZeroCostPruner(first, threshold=1, min_trials=0, min_correlation=None)
    study.optimize(slow, 3)
    assert {scored_by(trial) for trial in study.trials} == {first.scored_by.key}
    other = ModelScorer(builder(3), BATCH, ["params"])
    study.pruner = ZeroCostPruner(other, quantile=0.1, min_trials=0, min_correlation=None)
    study.optimize(slow, 1)
    last = study.trials[-1]
    assert scored_by(last) == other.scored_by.key
    assert "of 0 architectures" in last.user_attrs["zerocost:verdict_reason"]


def test_pieces_of_a_pool_say_by_what_they_were_scored(storage: str) -> None:
    scorer = ModelScorer(builder(1), BATCH)
    study = study_with(storage, scorer)
    study.optimize(objective, 1)
    attributes = study._storage.get_study_system_attrs(study._study_id)
    pieces = [key for key in attributes if key.endswith("-1")]
    assert pieces
    assert all(scorer.scored_by.key in attributes[key] for key in pieces)


def test_a_trial_whose_parameters_were_all_given_says_it_too(storage: str) -> None:
    scorer, another = ModelScorer(builder(1), BATCH), ModelScorer(builder(2), BATCH)
    study = study_with(storage, scorer)
    study.enqueue_trial({"width": 3})
    study.optimize(objective, 1)
    assert scored_by(study.trials[0]) == scorer.scored_by.key
    assert other_scorers(study, another.scored_by) == [scorer.scored_by]


def test_a_plain_function_whose_closure_differs_is_another(storage: str) -> None:
    def scorer_of(weights: torch.Tensor) -> Callable[[Any], dict[str, float]]:
        return lambda trial: {"size": float(weights.sum()) * objective(trial)}

    study_with(storage, scorer_of(torch.ones(2))).optimize(objective, 2)
    study_with(storage, scorer_of(torch.ones(2))).optimize(objective, 1)
    with pytest.warns(UserWarning, match="the scorer's code or what it holds is another"):
        study_with(storage, scorer_of(torch.zeros(2))).optimize(objective, 1)
