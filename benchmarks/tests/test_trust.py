"""``bench trust``: what learning makes of scores that help, mislead, or mean nothing."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FixedTrial

from optuna_zerocost.records import stored_pools
from optuna_zerocost.samplers import ZeroCostSampler
from zerocost_bench import nasbench201
from zerocost_bench.command import main
from zerocost_bench.curves import summarise
from zerocost_bench.experiments import trust as trusting
from zerocost_bench.experiments.trust import NO_SCORE, RandomScores, ReversedScores, Trust
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.nasbench201 import BENCHMARK
from zerocost_bench.searches import Search, run_searches

ARCHITECTURES = nasbench201.architectures()
OBJECTIVE = np.random.default_rng(0).normal(90, 1, len(ARCHITECTURES))


def fixed(index: int) -> FixedTrial:
    return FixedTrial(nasbench201.parameters_of(ARCHITECTURES[index]))


def test_reversed_scores_order_the_other_way_round() -> None:
    table = BENCHMARK.score_table(("synflow",))
    turned = ReversedScores(table)
    right = [table(fixed(index))["synflow"] for index in range(0, 15625, 487)]
    wrong = [turned(fixed(index))["reversed_synflow"] for index in range(0, 15625, 487)]
    assert len(set(right)) > 10
    assert (np.argsort(right, kind="stable") == np.argsort(-np.array(wrong), kind="stable")).all()


def test_random_scores_belong_to_architectures_and_seeds() -> None:
    first, again, other = (
        RandomScores(BENCHMARK, 1),
        RandomScores(BENCHMARK, 1),
        RandomScores(BENCHMARK, 2),
    )
    values = [first(fixed(index))["random"] for index in range(20)]
    assert values == [again(fixed(index))["random"] for index in range(20)]
    assert values != [other(fixed(index))["random"] for index in range(20)]
    assert len(set(values)) == 20


def test_samplers_with_other_scores_have_the_same_random_networks() -> None:
    """So that none is ahead by luck with what its warmup draws."""
    pools = []
    for arm in trusting.arms(
        Trust(BENCHMARK, base="random", candidates=20),
        ["synflow + params", "random numbers"],
    ):
        study = optuna.create_study(direction="maximize", sampler=arm.make_sampler(3))
        trial = study.ask()
        nasbench201.suggest_architecture(trial)
        (pool,) = stored_pools(study)
        pools.append([candidate.key for candidate in pool.candidates])
    assert len(pools) == 3
    assert pools[0] == pools[1] == pools[2]


def test_every_arm_makes_a_sampler_and_has_settings_of_its_own() -> None:
    arms = trusting.arms(Trust(BENCHMARK, base="random", candidates=20))
    assert NO_SCORE in [arm.label for arm in arms]
    assert len({str(arm.settings) for arm in arms}) == len(arms)
    others = trusting.arms(Trust(BENCHMARK, base="tpe", candidates=20))
    for arm, other in zip(arms, others, strict=True):
        assert pickle.loads(pickle.dumps(arm)).label == arm.label
        sampler = arm.make_sampler(3)
        is_ours = isinstance(sampler, ZeroCostSampler)
        assert is_ours or arm.label in ("tpe", "evolution")
        # What is compared with does not depend on what the samplers that learn ask.
        assert (arm.settings != other.settings) == arm.label.startswith("learned")


def test_arms_are_chosen_by_parts_of_their_names() -> None:
    chosen = trusting.arms(Trust(BENCHMARK, candidates=20), ["reversed", "tpe"])
    assert [arm.label for arm in chosen] == ["learned, reversed synflow", NO_SCORE, "tpe"]
    with pytest.raises(BenchmarkError, match="'psychic'.*learned, synflow"):
        trusting.arms(Trust(BENCHMARK, candidates=20), ["psychic"])
    with pytest.raises(BenchmarkError, match="'psychic'.*evolution"):
        Trust(BENCHMARK, base="psychic")


def test_a_search_ends_where_it_is_near_enough(tmp_path: Path) -> None:
    arms = trusting.arms(Trust(BENCHMARK, base="random", candidates=20), ["tpe"])

    def searched(until: float | None) -> list[Search]:
        return run_searches(
            BENCHMARK,
            arms,
            {"cifar10": OBJECTIVE},
            metric="validation",
            seeds=(0, 1),
            trials=25,
            folder=tmp_path,
            until=until,
        )

    gap = 2.5
    whole, short = searched(None), searched(gap)
    near = OBJECTIVE.max() - gap
    for long, early in zip(whole, short, strict=True):
        assert len(long.trained) == 25
        assert (early.trained == long.trained[: len(early.trained)]).all()
        assert (OBJECTIVE[early.trained[:-1]] < near).all()
        assert len(early.trained) == 25 or OBJECTIVE[early.trained[-1]] >= near
    assert any(len(search.trained) < 25 for search in short)
    # A curve goes on where its search has ended, and never falls.
    for curve in summarise(short, {"cifar10": OBJECTIVE}, {"cifar10": None}):
        assert len(curve.best.median) == max(len(search.trained) for search in short)
        assert (np.diff(curve.best.median) >= 0).all()


def test_the_command_writes_tables(tmp_path: Path, capsys: Any) -> None:
    command = ["trust", "--dataset", "cifar100", "--arms", "synflow + params,evolution"]
    small = ["--seeds", "2", "--trials", "12", "--warmup-candidates", "30", "--jobs", "1"]
    assert main([*command, *small, "--base", "random", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines() if str(tmp_path) not in line)
    with (tmp_path / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = [row["arm"] for row in rows]
    assert labels == [
        "learned, synflow + params",
        NO_SCORE,
        "evolution + warmup + move",
        "evolution",
    ]
    assert all(label in printed for label in labels)
    assert all(row["seeds"] == "2" for row in rows)


def test_a_wrong_base_is_one_line(tmp_path: Path, capsys: Any) -> None:
    assert main(["trust", "--base", "psychic", "--output", str(tmp_path)]) != 0
    assert "known are random" in capsys.readouterr().err
