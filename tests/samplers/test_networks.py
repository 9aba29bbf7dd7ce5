"""Rankings by scores alone do not try one network twice, as long as there are others."""

from __future__ import annotations

import threading
from typing import Any

import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial
from torch import nn

from optuna_zerocost import Learned, ModelScorer, RankSum, Warmup, ZeroCostSampler
from optuna_zerocost.records import (
    Candidate,
    KnownArchitectures,
    claim_best,
    stored_pools,
    stored_scores,
)
from optuna_zerocost.samplers._candidate_trial import random_trial
from optuna_zerocost.samplers._judge import Judge
from optuna_zerocost.samplers._proposals import Draw, Fate
from optuna_zerocost.scoring import as_scorer

SPACE = {"width": IntDistribution(1, 9), "unused": IntDistribution(0, 99)}
NETWORK = "zerocost:network"


def told(trial: Any) -> dict[str, float]:
    """A scorer of one's own that says what the network is."""
    width = trial.suggest_int("width", 1, 9)
    trial.suggest_int("unused", 0, 99)
    trial.network = f"width {(width + 1) // 2}"  # 1 and 2 are the same, 3 and 4, …
    return {"size": float((width + 1) // 2)}


def build(trial: Any) -> nn.Module:
    """Two of three parameters change nothing."""
    layers: list[nn.Module] = []
    width = 8
    for index in range(trial.suggest_int("depth", 1, 2)):
        trial.suggest_categorical(f"kind_{index}", ["relu", "ReLU"])
        rate = trial.suggest_float(f"rate_{index}", 0.2, 0.5)
        after = 4 * trial.suggest_int(f"width_{index}", 1, 4)
        layers += [nn.Linear(width, after), nn.ReLU(), nn.Dropout(rate)]
        width = after
    return nn.Sequential(*layers, nn.Linear(width, 4))


BATCH = (torch.randn(16, 8, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 4)


def study_of(scorer: Any, ranking: Any, **settings: Any) -> optuna.Study:
    sampler = ZeroCostSampler(
        scorer,
        ranking=ranking,
        base_sampler=RandomSampler(seed=0),
        seed=0,
        **{"warmup": Warmup(100, 8, show_progress_bar=False), "moves": 32, **settings},
    )
    return optuna.create_study(sampler=sampler)


def networks_of(study: optuna.Study) -> list[str]:
    return [trial.user_attrs[NETWORK] for trial in study.trials]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 99)), max_size=12), st.booleans())
@settings(deadline=None)
def test_a_judge_calls_the_same_network_repeated_if_told_to(draws: Any, by_network: bool) -> None:
    known = create_trial(
        params={"width": 1, "unused": 7},
        distributions=SPACE,  # type: ignore[arg-type]
        value=0.0,
        user_attrs={NETWORK: "width 1"},
    )
    judge = Judge(as_scorer(told), KnownArchitectures([known], by_network=by_network))
    met: set[Any] = {1 if by_network else (1, 7)}
    for width, unused in draws:
        draw = Draw(random_trial(0, fixed={"width": width, "unused": unused}), "random")
        identity = (width + 1) // 2 if by_network else (width, unused)
        proposal = judge(draw)
        assert (proposal.fate is Fate.NEW) == (identity not in met)
        assert proposal.architecture.network == f"width {(width + 1) // 2}"
        met.add(identity)


def test_a_network_that_failed_once_is_tried_again() -> None:
    def trial_of(state: TrialState) -> Any:
        return create_trial(
            state=state,
            values=[0.0] if state == TrialState.COMPLETE else None,
            user_attrs={NETWORK: "a"},
        )

    failed, complete = trial_of(TrialState.FAIL), trial_of(TrialState.COMPLETE)
    assert not KnownArchitectures([failed]).has_network("a")
    assert KnownArchitectures([failed, failed]).has_network("a")
    assert KnownArchitectures([failed, complete]).has_network("a")
    assert not KnownArchitectures([complete]).has_network("b")
    assert not KnownArchitectures([create_trial(value=0.0)]).has_network(None)


@pytest.mark.parametrize("ranking", ["size", RankSum("size", "other")])
def test_all_networks_are_tried_before_any_is_tried_again(ranking: Any) -> None:
    def scorer(trial: Any) -> dict[str, float]:
        return {**told(trial), "other": 1.0}

    for warmup in (None, Warmup(100, 3, show_progress_bar=False)):
        study = study_of(scorer, ranking, warmup=warmup, moves=99)
        study.optimize(lambda trial: told(trial)["size"], n_trials=7)
        assert networks_of(study)[:5] == [f"width {half}" for half in (5, 4, 3, 2, 1)]
        assert [t.user_attrs["zerocost:source"] for t in study.trials[5:]] == ["base"] * 2


@pytest.mark.parametrize("base", ["moves", "neighbours"])
def test_dropout_and_choices_without_effect_make_no_new_network(base: Any) -> None:
    study = study_of(
        ModelScorer(build, BATCH), "synflow", moves="neighbours" if base == "neighbours" else 32
    )
    study.optimize(lambda trial: float(len(list(build(trial)))), n_trials=16)  # type: ignore[arg-type]
    assert len(set(networks_of(study))) == 16  # of 4 + 16
    (pool,) = stored_pools(study)
    assert all(candidate.network for candidate in pool.candidates)
    assert all(set(stored_scores(trial.user_attrs)) == {"synflow"} for trial in study.trials)


def test_a_ranking_that_learns_or_is_a_function_goes_by_the_parameters() -> None:
    def as_drawn(candidates: Any, history: Any) -> list[int]:
        return list(range(len(candidates)))

    for ranking in (as_drawn, Learned()):
        study = study_of(told, ranking, warmup=None, moves=8)
        study.optimize(lambda trial: told(trial)["size"], n_trials=12)
        assert len(set(networks_of(study))) <= 5
        assert len({tuple(sorted(trial.params.items())) for trial in study.trials}) == 12


@pytest.mark.parametrize("warmup", [None, Warmup(100, 8, show_progress_bar=False)])
def test_trials_that_are_under_way_have_different_networks(warmup: Any) -> None:
    study = study_of(ModelScorer(build, BATCH), "synflow", warmup=warmup)
    trials = [study.ask() for _ in range(8)]
    for trial in trials:
        build(trial)
    assert len({trial.user_attrs[NETWORK] for trial in trials}) == 8


def test_workers_at_the_same_moment_claim_different_networks() -> None:
    candidates = [
        Candidate({"width": 1, "unused": k}, SPACE, {}, f"network {k // 8}", by_network=True)
        for k in range(64)
    ]
    study = optuna.create_study()
    trials = [study._storage.get_trial(study.ask()._trial_id) for _ in range(6)]
    claimed: list[Candidate | None] = []
    threads = [
        threading.Thread(target=lambda t=t: claimed.append(claim_best(study, t, candidates)))
        for t in trials
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.network for one in claimed if one is not None}) == 6


def test_a_trial_that_was_not_chosen_by_scores_gets_its_network_too() -> None:
    study = study_of(ModelScorer(build, BATCH), "synflow", warmup=None, moves=1)
    params = {"depth": 1, "kind_0": "relu", "rate_0": 0.3, "width_0": 2}
    study.enqueue_trial(params)
    study.enqueue_trial({**params, "rate_0": 0.4})
    study.optimize(lambda trial: float(len(list(build(trial)))), n_trials=3)  # type: ignore[arg-type]
    first, second, third = networks_of(study)
    assert first == second != third
