"""Scoring processes that die or hang: the candidate is rejected, all others keep their scores."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from optuna_zerocost import Warmup, ZeroCostSampler

DEADLY = (2, 3)


def architecture_of(trial: Any) -> tuple[int, int]:
    return trial.suggest_int("depth", 1, 4), trial.suggest_int("width", 1, 4)


def objective(trial: Any) -> float:
    depth, width = architecture_of(trial)
    return float(depth * width)


class Killing:
    """Scores sizes; one architecture ends or stops the process."""

    score_names = ("size",)
    fingerprint = "size"

    def __init__(self, trouble: str, *, n_jobs: int = 1, timeout: float | None = None) -> None:
        self.trouble, self.n_jobs, self.timeout = trouble, n_jobs, timeout

    def __call__(self, trial: Any) -> dict[str, float]:
        depth, width = architecture_of(trial)
        if (depth, width) == DEADLY or self.trouble == "always":
            if self.trouble in ("killed", "always"):
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "hangs":
                time.sleep(1000)
        return {"size": depth * width + depth / 8}


def sampler_of(scorer: Any, **arguments: Any) -> ZeroCostSampler:
    defaults: dict[str, Any] = {
        "base_sampler": RandomSampler(seed=1),
        "warmup": Warmup(candidates=40, trials=3),
        "ranking": "size",
        "moves": 8,
        "seed": 0,
    }
    return ZeroCostSampler(scorer, **{**defaults, **arguments})


def scores_by_architecture(study: optuna.Study) -> dict[tuple[int, int], float]:
    from optuna_zerocost.records import stored_pools

    [pool] = stored_pools(study)
    return {(c.params["depth"], c.params["width"]): c.scores["size"] for c in pool.candidates}


@pytest.mark.parametrize(
    ("trouble", "n_jobs", "timeout"),
    [("killed", 2, None), ("killed", 1, 30.0), ("hangs", 1, 1.0)],
)
def test_the_candidate_is_rejected_and_all_others_keep_their_scores(
    trouble: str, n_jobs: int, timeout: float | None, tmp_path: Any
) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    scorer = Killing(trouble, n_jobs=n_jobs, timeout=timeout)
    study = optuna.create_study(storage=storage, study_name="s", sampler=sampler_of(scorer))
    study.optimize(objective, n_trials=4)
    untroubled = optuna.create_study(study_name="s", sampler=sampler_of(Killing("none")))
    untroubled.optimize(objective, n_trials=4)

    expected = scores_by_architecture(untroubled)
    assert expected.pop(DEADLY)
    assert scores_by_architecture(study) == expected
    # In the study's own process from here on: to try the deadly one would be the end of it.
    resumed = optuna.load_study(
        storage=storage, study_name="s", sampler=sampler_of(Killing(trouble))
    )
    resumed.optimize(objective, n_trials=16)
    assert {trial.state for trial in resumed.trials} == {TrialState.COMPLETE}
    said = str(resumed.sampler.explain(resumed))  # type: ignore[attr-defined]
    assert "{'depth': 2, 'width': 3} (Process" in said
    assert DEADLY not in {(t.params["depth"], t.params["width"]) for t in resumed.trials[:15]}


def test_many_deaths_in_a_row_end_with_an_error_that_says_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optuna_zerocost.scoring._apart._MOST_IN_A_ROW", 2)
    study = optuna.create_study(sampler=sampler_of(Killing("always", timeout=30.0)))
    with pytest.raises(RuntimeError, match=r"SIGKILL.*memory.*smaller batch"):
        study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
