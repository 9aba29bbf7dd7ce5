"""Which scores look like noise."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from scipy.stats import multivariate_normal

from optuna_zerocost.rankings._noise import are_unstructured
from optuna_zerocost.rankings._parameter_distance import Differences, ParameterDistance

Array = npt.NDArray[np.float64]


def between(points: Array, *, is_choice: bool = False) -> Differences:
    pairs = points[:, None], points[None]
    each = np.not_equal(*pairs).astype(float) if is_choice else np.abs(np.subtract(*pairs))
    count = points.shape[1]
    return Differences(np.moveaxis(each, -1, 0), [not is_choice] * count, 1 / count)


def naively(differences: Differences, score: Array) -> bool:
    count = len(score)
    centring = np.eye(count) - 1 / count
    basis = np.linalg.eigh(centring)[1][:, 1:]  # of all that sums to 0
    z = basis.T @ ((score - score.mean()) / score.std(ddof=1))
    kernels = [(np.exp(-decay * differences.each.mean(axis=0)), 1) for decay in (1.5, 4.0)]
    if len(differences.each) > 1:
        kernels += [(np.exp(-2.0 * each), len(differences.each)) for each in differences.each]
    gains, averages = [], []
    for kernel, ways in kernels:
        centred = basis.T @ kernel @ basis
        centred *= (count - 1) / np.trace(centred)
        for share in (0.2, 0.6):
            alone = multivariate_normal(cov=np.eye(count - 1))
            together = multivariate_normal(cov=(1 - share) * centred + share * np.eye(count - 1))
            gains.append(together.logpdf(z) - alone.logpdf(z) - math.log(ways))
            averages.append(alone.entropy() - together.entropy())
    return max(gains) < 0.07 * max(averages)


def test_it_is_the_evidence_of_a_gaussian_process_against_independent_numbers() -> None:
    verdicts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        points = rng.random((50, 1 + seed % 4))
        share = rng.random()
        score = share * points[:, 0] + (1 - share) * rng.random(50)
        differences = between(points)
        (verdict,) = are_unstructured(differences, score[:, None])
        assert verdict == naively(differences, score)
        verdicts.append(bool(verdict))
    assert 10 < sum(verdicts) < 50


@pytest.mark.parametrize("is_choice", [False, True])
def test_random_numbers_look_like_noise_and_functions_of_parameters_do_not(
    is_choice: bool,
) -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(0, 4, (80, 12)).astype(float)
    of_all = points @ rng.normal(size=12)
    of_one = points[:, 5] ** 2 + rng.normal(size=80)
    scores = np.stack([of_all, rng.random(80), of_one, rng.normal(size=80)], axis=1)
    differences = between(points / 3, is_choice=is_choice)
    assert are_unstructured(differences, scores).tolist() == [False, True, False, True]


def test_neither_the_order_nor_sign_unit_and_neighbours_of_a_score_matter() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((60, 3))
    scores = np.stack([points.sum(axis=1), rng.random(60), points[:, 0]], axis=1)
    expected = [False, True, False]
    assert are_unstructured(between(points), scores).tolist() == expected
    order = rng.permutation(60)
    assert are_unstructured(between(points[order]), scores[order]).tolist() == expected
    changed = np.array([-3e5, 1e-3, 7.0]) * scores + np.array([2.0, -1e3, 0.0])
    assert are_unstructured(between(points), changed).tolist() == expected
    for index in range(3):
        assert are_unstructured(between(points), scores[:, [index]]).tolist() == [expected[index]]


def test_nothing_is_said_where_nothing_could_be_seen() -> None:
    rng = np.random.default_rng(2)
    numbers = rng.random((150, 1))
    names = {"architecture": CategoricalDistribution([f"net {i}" for i in range(150)])}
    space: dict[str, BaseDistribution] = {**names}
    rows = [({"architecture": f"net {i}"}, space) for i in range(150)]
    indices = np.arange(150, dtype=np.intp)
    all_different = ParameterDistance(rows, ["architecture"]).between(indices, indices)
    assert not are_unstructured(all_different, numbers).any()
    assert not are_unstructured(between(rng.random((5, 2))), numbers[:5]).any()
    assert not are_unstructured(between(rng.random((60, 2))), np.zeros((60, 1))).any()
    all_the_same = between(np.full((60, 2), 0.3))
    assert not are_unstructured(all_the_same, numbers[:60]).any()
    one_is_fixed = between(np.stack([np.full(60, 0.3), rng.random(60)], axis=1))
    assert are_unstructured(one_is_fixed, numbers[:60]).all()
    assert are_unstructured(between(rng.random((60, 2))), np.zeros((60, 0))).shape == (0,)
    assert not are_unstructured(between(np.zeros((0, 2))), np.zeros((0, 3))).any()


def test_parameters_that_are_absent_can_show_structure_too() -> None:
    rng = np.random.default_rng(3)
    rate = FloatDistribution(0.0, 1.0)
    kind = CategoricalDistribution(["with", "without"])
    rows = [
        ({"kind": "with", "rate": float(rng.random())}, {"kind": kind, "rate": rate})
        if rng.random() < 0.5
        else ({"kind": "without"}, {"kind": kind})
        for _ in range(60)
    ]
    score = np.array([float(params.get("rate", -1.0)) for params, _ in rows])
    indices = np.arange(60, dtype=np.intp)
    differences = ParameterDistance(rows, ["kind", "rate"]).between(indices, indices)
    scores = np.stack([score, rng.random(60)], axis=1)
    assert are_unstructured(differences, scores).tolist() == [False, True]
