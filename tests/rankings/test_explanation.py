"""What the sampler says in words, against what happened."""

from __future__ import annotations

import logging
import random
from typing import Any

import optuna
import pytest

from optuna_zerocost import Learned, Sources, Warmup, ZeroCostSampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def space(trial: Any) -> tuple[int, ...]:
    return tuple(trial.suggest_int(f"x{i}", 0, 9) for i in range(3))


def secret(point: tuple[int, ...]) -> float:
    """Something that the parameters do not show."""
    return random.Random(str(point)).gauss(0, 1)


def scorer(trial: Any) -> dict[str, float]:
    point = space(trial)
    return {"right": secret(point), "wrong": -secret(point), "noise": hash(point) % 97 / 97}


def run(trials: int, ranking: Any = None, direction: str = "maximize") -> Any:
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=optuna.samplers.RandomSampler(seed=0),
        ranking=ranking or Learned(trusting=4, sources=Sources(random=4, searched=4)),
        warmup=Warmup(candidates=50, trials=10, show_progress_bar=False),
        moves=2,
        seed=0,
    )
    sign = 1.0 if direction == "maximize" else -1.0
    study = optuna.create_study(direction=direction, sampler=sampler)
    study.optimize(lambda trial: sign * secret(space(trial)), n_trials=trials)
    return sampler, study


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"- {name}:"))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_it_tells_what_helped_which_way_and_since_when(direction: str) -> None:
    sampler, study = run(16, direction=direction)
    text = sampler.explain(study)
    assert text.startswith("16 trials are complete.")
    right, wrong, noise = (line_of(text, name) for name in ("right", "wrong", "noise"))
    assert "ρ = +1.00" in right and "explains" in right
    assert "other way round" not in right
    assert "ρ = -1.00" in wrong and "other way round" in wrong
    assert "nothing" in noise or "chance" in noise
    # Four of the warmup's trials trust a score, the next four are random.
    sources = [t.user_attrs["zerocost:source"] for t in study.trials]
    chosen = sources[:4].count("warmup") + sources.count("move")
    assert f"{chosen} of the trials were chosen with the help of the scores" in text
    first = min(t.number for t in study.trials if "zerocost:trust:right" in t.user_attrs)
    assert f"since trial {first}" in right


def structured_scorer(trial: Any) -> dict[str, float]:
    point = space(trial)
    return {"sum": float(sum(point)), "noise": random.Random(repr(point)).random()}


def test_it_says_which_scores_look_like_noise() -> None:
    sampler = ZeroCostSampler(structured_scorer, seed=0, warmup=Warmup(100, 10))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: float(sum(space(trial))), n_trials=10)
    text = sampler.explain(study)
    assert "alike networks" in line_of(text, "noise")
    assert "alike networks" not in line_of(text, "sum")
    told = [t.user_attrs["zerocost:doubted"] for t in study.trials if t.number >= 8]
    assert told == ["noise", "noise"]


def test_trials_that_trust_nothing_but_noise_are_not_said_to_be_chosen_by_it() -> None:
    sampler, study = run(9, Learned("noise", sources=Sources(random=24, searched=4)))
    text = sampler.explain(study)
    assert "alike networks" in line_of(text, "noise")
    assert "1 of the trials were chosen with the help of the scores" in text
    assert study.trials[-1].user_attrs["zerocost:doubted"] == "noise"


def test_what_would_have_been_chosen_otherwise_is_counted() -> None:
    sampler, study = run(16)
    others = [t for t in study.trials if t.user_attrs.get("zerocost:otherwise")]
    told = [t for t in study.trials if "zerocost:otherwise" in t.user_attrs]
    text = sampler.explain(study)
    assert f"{len(others)} of the {len(told)} learned choices" in text
    assert others[-1].user_attrs["zerocost:otherwise"] in text


def test_a_study_that_has_only_begun_has_no_verdict_yet() -> None:
    sampler, study = run(2)
    assert "not judged yet" in line_of(sampler.explain(study), "right")
    empty = optuna.create_study()
    assert "none of them has a score" in sampler.explain(empty)


def test_a_fixed_ranking_says_that_it_is_fixed() -> None:
    sampler, study = run(6, ranking="right")
    text = sampler.explain(study)
    assert "does not learn" in text
    assert "decides" in line_of(text, "right")
    assert "decides nothing" in line_of(text, "noise")


def test_the_only_score_of_a_scorer_that_names_none_decides() -> None:
    sampler = ZeroCostSampler(lambda trial: {"right": secret(space(trial))}, warmup=None, moves=1)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: secret(space(trial)), n_trials=3)
    text = sampler.explain(study)
    assert "decides" in line_of(text, "right") and "decides nothing" not in text
    assert "ByScore('right')" in text
    assert "No trial was chosen with the help of the scores" in text


class Named:
    """Names its scores beforehand."""

    score_names = ("right", "wrong", "noise")

    def __call__(self, trial: Any, /) -> dict[str, float]:
        return scorer(trial)


def test_several_scores_can_watch_without_a_ranking() -> None:
    def run_with(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(lambda trial: secret(space(trial)), n_trials=12)
        return study

    base = optuna.samplers.RandomSampler(seed=0)
    watching = ZeroCostSampler(Named(), base_sampler=base, warmup=None, moves=1)
    study = run_with(watching)
    alone = run_with(optuna.samplers.RandomSampler(seed=0))
    assert [t.params for t in study.trials] == [t.params for t in alone.trials]
    text = watching.explain(study)
    assert "ρ = +1.00" in line_of(text, "right") and "ρ = -1.00" in line_of(text, "wrong")
    assert "No trial was chosen with the help of the scores" in text
    with pytest.raises(ValueError, match="several scores"):
        ZeroCostSampler(Named(), moves=1)


def test_a_scorer_that_fails_while_it_watches_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(trial: Any) -> dict[str, float]:
        space(trial)
        raise ValueError("no such layer")

    sampler = ZeroCostSampler(failing, warmup=None, moves=1)
    study = optuna.create_study(sampler=sampler)
    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    try:
        study.optimize(lambda trial: secret(space(trial)), n_trials=3)
    finally:
        logger.removeHandler(caplog.handler)
    told = [r.getMessage() for r in caplog.records if "has no scores" in r.getMessage()]
    assert told == ["Trial 0 has no scores: ValueError: no such layer"]
