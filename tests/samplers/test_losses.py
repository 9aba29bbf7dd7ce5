"""What is lost is told once, with numbers, reasons and what the lost have in common."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import optuna
import pytest

from optuna_zerocost import LimitedScorer, Limits, RankSum, Warmup, ZeroCostSampler
from optuna_zerocost.records import stored_pools
from optuna_zerocost.scoring import CandidateRejected


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def warnings_of(told: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in told.records if r.levelno == logging.WARNING]


def narrow_fails(trial: Any) -> dict[str, float]:
    width = trial.suggest_int("width", 1, 100)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    if width <= 10:
        raise CandidateRejected(f"too narrow: {width}")
    return {"size": float(width), "other": float("nan") if kind == "b" else 1.0}


def study_of(**settings: Any) -> optuna.Study:
    sampler = ZeroCostSampler(
        narrow_fails,
        ranking=RankSum("size", "other"),
        base_sampler=optuna.samplers.RandomSampler(seed=0),
        seed=0,
        **settings,
    )
    return optuna.create_study(sampler=sampler)


@pytest.mark.parametrize(
    "settings",
    [{"warmup": Warmup(200, 2, show_progress_bar=False), "moves": 40}, {"warmup": None}],
)
def test_each_is_said_once(settings: Any, told: pytest.LogCaptureFixture) -> None:
    study = study_of(**settings)
    study.optimize(lambda trial: float(narrow_fails(trial)["size"]), n_trials=25)
    said = warnings_of(told)
    (rejected,) = (text for text in said if "draws were rejected" in text)
    assert "too narrow" in rejected and " times)" in rejected
    (undefined,) = (text for text in said if "undefined" in text)
    assert "other for" in undefined and "kind = 'b' (100% of these, 0%" in undefined
    # Where rejections were few at first, the kind of reason was told before.
    assert len(said) <= 3
    if settings["warmup"] is not None:
        typical = r"width ≤ (9|10) \(100% of these, 0% of the others\)"
        assert re.search(typical, rejected) and len(said) == 2


def test_a_rejection_now_and_then_is_only_named(told: pytest.LogCaptureFixture) -> None:
    def rarely(trial: Any) -> dict[str, float]:
        width = trial.suggest_int("width", 1, 1000)
        if width <= 5:
            raise CandidateRejected("too narrow")
        return {"size": float(width)}

    sampler = ZeroCostSampler(rarely, warmup=Warmup(999, 2, show_progress_bar=False), seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: float(trial.suggest_int("width", 1, 1000)), n_trials=2)
    (said,) = warnings_of(told)
    assert "A candidate was rejected because of too narrow" in said


def test_a_scorer_without_any_score_is_told_of(told: pytest.LogCaptureFixture) -> None:
    sampler = ZeroCostSampler(
        lambda trial: {} if trial.suggest_int("width", 1, 1000) else {"size": 1.0},
        warmup=Warmup(50, 3, show_progress_bar=False),
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: float(trial.suggest_int("width", 1, 1000)), n_trials=5)
    (said,) = warnings_of(told)
    assert "has a score" in said
    assert all(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    assert "none of them has a score" in sampler.explain(study)


def test_what_rejected_draws_had_asked_for_is_stored_with_the_pool(tmp_path: Any) -> None:
    study = study_of(warmup=Warmup(60, 2, show_progress_bar=False))
    study.optimize(lambda trial: narrow_fails(trial)["size"], n_trials=1)
    (pool,) = stored_pools(study)
    assert pool.rejected == len(pool.rejects) > 0
    for reject in pool.rejects:
        assert reject.asked.params["width"] <= 10 and "too narrow" in reject.reason


def test_limits_go_with_missing_scores(told: pytest.LogCaptureFixture) -> None:
    def score(trial: Any) -> dict[str, float]:
        return {"a": float("nan") if trial.suggest_int("width", 1, 9) % 2 else 1.0}

    scorer = LimitedScorer(
        lambda trial: trial.suggest_int("width", 1, 9),
        Limits(custom={"cost": (float, 7.0)}),
        score=score,
    )
    sampler = ZeroCostSampler(scorer, ranking="a", warmup=None, moves=9, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: float(trial.suggest_int("width", 1, 9)), n_trials=7)
    widths = [trial.params["width"] for trial in study.trials]
    assert set(widths[:3]) == {2, 4, 6} and set(widths[3:]) == {1, 3, 5, 7}
    for trial in study.trials:
        assert trial.user_attrs["zerocost:cost"] == trial.params["width"]
        assert ("zerocost:a" in trial.user_attrs) == (trial.params["width"] % 2 == 0)
