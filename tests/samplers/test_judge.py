"""The judge tells four fates apart, whatever the source of a draw is."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from optuna_zerocost import LimitedScorer, Limits
from optuna_zerocost.records import KnownArchitectures
from optuna_zerocost.samplers._candidate_trial import random_trial
from optuna_zerocost.samplers._judge import Judge
from optuna_zerocost.samplers._proposals import Draw, Fate, Proposals
from optuna_zerocost.scoring import CandidateRejected, RepeatedArchitecture, as_scorer

SPACE = {"depth": IntDistribution(1, 9)}


def depth_of(trial: Any) -> int:
    return int(trial.suggest_int("depth", 1, 9))


def score(trial: Any) -> dict[str, float]:
    depth = depth_of(trial)
    if depth == 7:
        raise RuntimeError("seven cannot be built")
    return {"size": float("nan") if depth == 8 else float(depth)}


def refuse(trial: Any) -> dict[str, float]:
    depth_of(trial)
    raise CandidateRejected("on purpose")


def draw_of(depth: int) -> Draw:
    return Draw(random_trial(0, fixed={"depth": depth}), "random")


def trial_of(depth: int, state: TrialState = TrialState.COMPLETE, **scores: float) -> Any:
    return create_trial(
        state=state,
        params={"depth": depth},
        distributions=SPACE,
        values=[0.0] if state == TrialState.COMPLETE else None,
        user_attrs={f"zerocost:{name}": value for name, value in scores.items()},
    )


def fates(judge: Judge, *depths: int) -> list[Fate]:
    return [judge(draw_of(depth)).fate for depth in depths]


def test_four_fates() -> None:
    scorer = LimitedScorer(depth_of, Limits(custom={"cost": (float, 5.0)}), score=score)
    known = KnownArchitectures([trial_of(2, cost=2.0)])
    judge = Judge(scorer, known)
    assert fates(judge, 1, 1, 2, 6) == [Fate.NEW, Fate.REPEATED, Fate.REPEATED, Fate.OUTSIDE]
    assert fates(Judge(as_scorer(score)), 7, 8) == [Fate.REJECTED, Fate.NEW]


def test_reasons_scores_and_violations_are_told() -> None:
    scorer = LimitedScorer(depth_of, Limits(custom={"cost": (float, 4.0)}), score=score)
    new, outside = Judge(scorer)(draw_of(3)), Judge(scorer)(draw_of(6))
    rejected = Judge(as_scorer(score))(draw_of(7))
    assert new.architecture.scores == {"size": 3.0, "cost": 3.0}
    assert outside.architecture.scores == {"cost": 6.0} and outside.violation == 0.5
    assert rejected.candidate is None and "seven" in rejected.reason
    assert rejected.asked is not None and rejected.asked.params == {"depth": 7}
    # It asked for seven, and no trial can have 10.
    assert Judge(as_scorer(refuse))(draw_of(10)).asked.params == {}  # type: ignore[union-attr]
    assert Judge(as_scorer(score))(draw_of(8)).architecture.scores == {}


def test_a_failure_is_believed_the_second_time() -> None:
    once = [trial_of(3, TrialState.FAIL)]
    assert fates(Judge(as_scorer(score), KnownArchitectures(once)), 3) == [Fate.NEW]
    assert fates(Judge(as_scorer(score), KnownArchitectures(once * 2)), 3) == [Fate.REPEATED]


def test_what_is_known_or_measured_is_not_scored_again() -> None:
    calls: list[int] = []

    def counted(trial: Any) -> dict[str, float]:
        depth = depth_of(trial)
        if trial.is_repeated():
            raise RepeatedArchitecture
        calls.append(depth)
        return {"size": float(depth)}

    judge = Judge(as_scorer(counted), KnownArchitectures([trial_of(2)]))
    assert fates(judge, 1, 2, 1) == [Fate.NEW, Fate.REPEATED, Fate.REPEATED]
    assert calls == [1]


@pytest.mark.parametrize(("bound", "fate"), [(4.0, Fate.OUTSIDE), (9.0, Fate.REPEATED)])
def test_stored_measurements_are_compared_with_the_limits_of_today(
    bound: float, fate: Fate
) -> None:
    scorer = LimitedScorer(depth_of, Limits(custom={"cost": (float, bound)}))
    judge = Judge(scorer, KnownArchitectures([trial_of(6, cost=6.0)]))
    assert fates(judge, 6) == [fate]


def test_a_list_of_proposals_counts_as_its_pool_does() -> None:
    scorer = LimitedScorer(depth_of, Limits(custom={"cost": (float, 5.0)}))
    judge, proposals = Judge(scorer), Proposals()
    for depth in (1, 1, 2, 6, 9):
        proposals.add(judge(draw_of(depth)))
    pool = proposals.as_pool()
    assert (pool.draws, pool.outside, pool.rejected) == (5, 2, 0)
    assert [candidate.params["depth"] for candidate in pool.candidates] == [1, 2]
    assert pool.feasible == 3 / 5
    assert Proposals().as_pool().feasible is None


def test_choices_that_are_equal_in_another_type_are_one() -> None:
    distribution = CategoricalDistribution((1, 2))
    study = optuna.create_study()
    trial = create_trial(params={"n": 1}, distributions={"n": distribution}, value=0.0)
    study.add_trial(trial)
    known = KnownArchitectures(study.trials)
    assert (("n", "1"),) in known and (("n", "2"),) not in known
