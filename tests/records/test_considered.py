"""What is stored for those who look at a search afterwards: pools, and what moves chose among."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optuna_zerocost import Candidate, RankSum, Warmup, ZeroCostSampler
from optuna_zerocost.records._considered import considered_scores, store_considered
from optuna_zerocost.records._pool import stored_pools
from tests.spaces import BASES, SPACES, Recorder


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=80))
def test_scores_come_back_in_order_and_many_as_some_of_them(scores: list[float]) -> None:
    attributes: dict[str, Any] = {}
    candidates = [Candidate({}, {}, {"a": score, "b": 1.0}) for score in scores]
    store_considered(attributes.__setitem__, candidates, ["a"])
    expected = sorted(float(f"{score:.6g}") for score in scores)
    stored = considered_scores(attributes)
    assert set(stored) == {"a"}
    if len(scores) <= 33:
        assert stored["a"] == expected
    else:
        assert len(stored["a"]) == 33
        assert (stored["a"][0], stored["a"][-1]) == (expected[0], expected[-1])
        assert stored["a"] == sorted(stored["a"]) and set(stored["a"]) <= set(expected)
        # Each is the quantile that it stands for, as near as there is a score.
        for index, score in enumerate(stored["a"]):
            below = sum(other < score for other in expected) / (len(expected) - 1)
            up_to = (sum(other <= score for other in expected) - 1) / (len(expected) - 1)
            assert below - 1 / len(expected) <= index / 32 <= up_to + 1 / len(expected)


def test_each_move_stores_the_scores_it_chose_among() -> None:
    scorer = Recorder(SPACES["numeric"])
    sampler = ZeroCostSampler(
        scorer, base_sampler=BASES["random"](), warmup=None, ranking="size", moves=7
    )
    study = optuna.create_study(sampler=sampler)
    for _ in range(4):
        start = len(scorer.scores)
        trial = study.ask()
        study.tell(trial, SPACES["numeric"](trial))
        considered = considered_scores(study.trials[-1].system_attrs)
        # Parameters are real numbers here, so every draw is a new architecture.
        assert considered == {
            "size": sorted(float(f"{score:.6g}") for score in scorer.scores[start:])
        }
        chosen = study.trials[-1].user_attrs["zerocost:size"]
        assert considered["size"][-1] == pytest.approx(chosen, rel=1e-5)


def test_only_what_the_ranking_reads_is_stored() -> None:
    def scorer(trial: Any) -> dict[str, float]:
        size = SPACES["conditional"](trial)
        return {"a": size, "b": -size, "c": 0.0}

    for ranking, names in (("b", {"b"}), (RankSum("a", "-b"), {"a", "b"})):
        sampler = ZeroCostSampler(
            scorer, base_sampler=BASES["random"](), ranking=ranking, warmup=None, moves=5
        )
        study = optuna.create_study(sampler=sampler)
        study.optimize(SPACES["conditional"], n_trials=1)
        assert set(considered_scores(study.trials[0].system_attrs)) == names


def test_trials_of_the_warmup_chose_from_a_pool_that_can_be_read() -> None:
    scorer = Recorder(SPACES["numeric"], fails=lambda call: call % 6 == 0)
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        warmup=Warmup(candidates=50, trials=2, show_progress_bar=False),
        ranking="size",
        moves=3,
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    assert stored_pools(study) == []
    study.optimize(SPACES["numeric"], n_trials=2)
    (pool,) = stored_pools(study)
    assert sorted(candidate.scores["size"] for candidate in pool.candidates) == sorted(
        scorer.scores
    )
    for candidate in pool.candidates:
        again = SPACES["numeric"](optuna.trial.FixedTrial(dict(candidate.params)))
        assert candidate.scores["size"] == again
    assert pool.rejected == scorer.failed
    assert considered_scores(study.trials[0].system_attrs) == {}


@pytest.mark.filterwarnings("ignore:The study .* holds scores of another scorer")
def test_every_scorer_has_a_pool_of_its_own() -> None:
    study = optuna.create_study()
    for size, fingerprint in ((40, "first"), (20, "second")):
        scorer = Recorder(SPACES["numeric"])
        scorer.fingerprint = fingerprint  # type: ignore[attr-defined]
        study.sampler = ZeroCostSampler(
            scorer,
            ranking="size",
            warmup=Warmup(candidates=size, trials=9, show_progress_bar=False),
            seed=1,
        )
        study.optimize(SPACES["numeric"], n_trials=1)
    assert [len(pool.candidates) for pool in stored_pools(study)] == [40, 20]
