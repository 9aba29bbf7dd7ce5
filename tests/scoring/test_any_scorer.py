"""A scorer has all that one may have, whatever a user's own has."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from optuna_zerocost.records import Candidate, fingerprint_of
from optuna_zerocost.scoring import BaseScorer, as_scorer


def plain(trial: Any) -> dict[str, float]:
    return {"size": 1.0}


class Rich:
    """Some of the optional attributes."""

    score_names = ["size"]
    score_directions = {"size": "minimize"}
    n_jobs = 2
    fingerprint = "rich 1"

    def __init__(self) -> None:
        self.remembered: list[Candidate] = []
        self.prepared = 0

    def __call__(self, trial: Any) -> dict[str, float]:
        return {"size": 2.0}

    def remember(self, candidates: Any) -> None:
        self.remembered += candidates

    def prepare_worker(self) -> None:
        self.prepared += 1


class Whole(BaseScorer):
    score_names = ("size",)

    def __call__(self, trial: Any) -> dict[str, float]:
        return {"size": 3.0}


def test_a_function_has_the_defaults() -> None:
    scorer = as_scorer(plain)
    assert scorer(None) == {"size": 1.0}
    assert (scorer.score_names, dict(scorer.score_directions)) == (None, {})
    assert (scorer.limits, scorer.n_jobs) == (None, 1)
    assert scorer.fingerprint == fingerprint_of(plain)
    scorer.remember([])
    scorer.prepare_worker()
    assert pickle.loads(pickle.dumps(scorer))(None) == {"size": 1.0}


def test_what_a_scorer_has_is_used() -> None:
    rich = Rich()
    scorer = as_scorer(rich)
    assert (scorer.score_names, scorer.n_jobs, scorer.fingerprint) == (("size",), 2, "rich 1")
    assert dict(scorer.score_directions) == {"size": "minimize"}
    scorer.remember([Candidate({}, {}, {})])
    scorer.prepare_worker()
    assert (len(rich.remembered), rich.prepared) == (1, 1)


def test_a_whole_scorer_stays_itself() -> None:
    whole = Whole()
    assert as_scorer(whole) is whole
    assert as_scorer(as_scorer(plain)).fingerprint == fingerprint_of(plain)
    assert whole.fingerprint == Whole().fingerprint == fingerprint_of(whole)


@pytest.mark.parametrize("wrong", [None, 3, "synflow"])
def test_what_cannot_be_called_is_no_scorer(wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be callable"):
        as_scorer(wrong)
