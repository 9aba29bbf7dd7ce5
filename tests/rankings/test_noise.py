"""Which scores look like noise."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial
from scipy.stats import multivariate_normal

from optuna_zerocost.rankings._configuration_space import ConfigurationSpace, Features
from optuna_zerocost.rankings._noise import are_unstructured
from optuna_zerocost.rankings._observations import Observations
from optuna_zerocost.records import Candidate, History

Array = npt.NDArray[np.float64]


def features_of(rows: list[dict[str, Any]], space: dict[str, BaseDistribution]) -> Features:
    shown = ConfigurationSpace([(row, space) for row in rows])
    return shown.features(shown.at(rows))


def of_numbers(points: Array) -> Features:
    space: dict[str, BaseDistribution] = {
        f"x{i}": FloatDistribution(0.0, 1.0) for i in range(points.shape[1])
    }
    return features_of([dict(zip(space, row, strict=True)) for row in points.tolist()], space)


def of_choices(points: Array) -> Features:
    names = [f"x{i}" for i in range(points.shape[1])]
    space: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(["a", "b", "c", "d"]) for name in names
    }
    rows = [{n: "abcd"[round(p)] for n, p in zip(names, row, strict=True)} for row in points]
    return features_of(rows, space)


def naively(each: Array, score: Array) -> bool:
    """Compare densities; the differences of the parameters have shape (parameters, n, n)."""
    count = len(score)
    centring = np.eye(count) - 1 / count
    basis = np.linalg.eigh(centring)[1][:, 1:]  # of all that sums to 0
    z = basis.T @ ((score - score.mean()) / score.std(ddof=1))
    kernels = [(np.exp(-decay * each.mean(axis=0)), 1) for decay in (1.5, 4.0)]
    if len(each) > 1:
        kernels += [(np.exp(-2.0 * one), len(each)) for one in each]
    gains, averages = [], []
    for kernel, ways in kernels:
        centred = basis.T @ kernel @ basis
        centred *= (count - 1) / np.trace(centred)
        for share in (0.2, 0.6):
            alone = multivariate_normal(cov=np.eye(count - 1))
            together = multivariate_normal(cov=(1 - share) * centred + share * np.eye(count - 1))
            gains.append(together.logpdf(z) - alone.logpdf(z) - math.log(ways))
            averages.append(alone.entropy() - together.entropy())
    return bool(max(gains) < 0.07 * max(averages))


@pytest.mark.parametrize("is_choice", [False, True])
def test_it_is_the_evidence_of_a_gaussian_process_against_independent_numbers(
    is_choice: bool,
) -> None:
    verdicts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        points = rng.random((50, (3 if is_choice else 1) + seed % 4))
        share = rng.random()
        score = share * points[:, 0] + (1 - share) * rng.random(50)
        if is_choice:
            points = np.floor(4 * points)
            each = np.moveaxis(points[:, None] != points[None], -1, 0).astype(np.float64)
            features = of_choices(points)
        else:
            # Half of a range differs as much as two choices do.
            each = 2 * np.moveaxis(np.abs(points[:, None] - points[None]), -1, 0)
            features = of_numbers(points)
        (verdict,) = are_unstructured(features, score[:, None])
        assert verdict == naively(each, score)
        verdicts.append(bool(verdict))
    assert 5 < sum(verdicts) < 35


@pytest.mark.parametrize("is_choice", [False, True])
def test_random_numbers_look_like_noise_and_functions_of_parameters_do_not(
    is_choice: bool,
) -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(0, 4, (80, 12)).astype(float)
    of_all = points @ rng.normal(size=12)
    of_one = points[:, 5] ** 2 + rng.normal(size=80)
    scores = np.stack([of_all, rng.random(80), of_one, rng.normal(size=80)], axis=1)
    features = of_choices(points) if is_choice else of_numbers(points / 3)
    assert are_unstructured(features, scores).tolist() == [False, True, False, True]


def test_neither_the_order_nor_sign_unit_and_neighbours_of_a_score_matter() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((60, 3))
    scores = np.stack([points.sum(axis=1), rng.random(60), points[:, 0]], axis=1)
    expected = [False, True, False]
    features = of_numbers(points)
    assert are_unstructured(features, scores).tolist() == expected
    order = rng.permutation(60)
    assert are_unstructured(of_numbers(points[order]), scores[order]).tolist() == expected
    changed = np.array([-3e5, 1e-3, 7.0]) * scores + np.array([2.0, -1e3, 0.0])
    assert are_unstructured(features, changed).tolist() == expected
    for index in range(3):
        assert are_unstructured(features, scores[:, [index]]).tolist() == [expected[index]]


def test_nothing_is_said_where_nothing_could_be_seen() -> None:
    rng = np.random.default_rng(2)
    numbers = rng.random((150, 1))
    names: dict[str, BaseDistribution] = {
        "architecture": CategoricalDistribution([f"net {i}" for i in range(150)])
    }
    all_different = features_of([{"architecture": f"net {i}"} for i in range(150)], names)
    assert not are_unstructured(all_different, numbers).any()
    assert not are_unstructured(of_numbers(rng.random((5, 2))), numbers[:5]).any()
    assert not are_unstructured(of_numbers(rng.random((60, 2))), np.zeros((60, 1))).any()
    assert not are_unstructured(of_numbers(np.full((60, 2), 0.3)), numbers[:60]).any()
    one_is_fixed = of_numbers(np.stack([np.full(60, 0.3), rng.random(60)], axis=1))
    assert are_unstructured(one_is_fixed, numbers[:60]).all()
    assert are_unstructured(of_numbers(rng.random((60, 2))), np.zeros((60, 0))).shape == (0,)
    nothing = Features(np.zeros((0, 2)), np.arange(2))
    assert not are_unstructured(nothing, np.zeros((0, 3))).any()


def test_parameters_that_are_absent_can_show_structure_too() -> None:
    rng = np.random.default_rng(3)
    space: dict[str, BaseDistribution] = {
        "kind": CategoricalDistribution(["with", "without"]),
        "rate": FloatDistribution(0.0, 1.0),
    }
    rows: list[dict[str, Any]] = [
        {"kind": "with", "rate": float(rng.random())}
        if rng.random() < 0.5
        else {"kind": "without"}
        for _ in range(60)
    ]
    score = np.array([float(params.get("rate", -1.0)) for params in rows])
    scores = np.stack([score, rng.random(60)], axis=1)
    assert are_unstructured(features_of(rows, space), scores).tolist() == [False, True]


@pytest.mark.parametrize("tells", [False, True])
def test_a_doubted_score_is_read_when_it_tells_something_and_not_by_chance(tells: bool) -> None:
    """However often it is looked at: after each trial, and several scores."""
    rng = random.Random(0)
    space: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(4)}
    names = ["n0", "n1", "n2"]

    def drawn() -> Candidate:
        scores = {name: rng.random() for name in names}
        return Candidate({name: rng.random() for name in space}, space, scores)

    read = 0
    for _ in range(12):
        trials: list[FrozenTrial] = []
        candidates = [drawn() for _ in range(100)]
        seen: Observations | None = None
        was_read = False
        for candidate in candidates[:40]:
            value = candidate.scores["n1"] if tells else candidate.params["x0"]
            attributes = {f"zerocost:{name}": s for name, s in candidate.scores.items()}
            trials.append(
                create_trial(
                    value=value + 0.2 * rng.random(),
                    params=dict(candidate.params),
                    distributions=space,
                    user_attrs=attributes,
                )
            )
            if len(trials) < 8:
                continue
            history = History(trials=trials, directions=(StudyDirection.MAXIMIZE,))
            seen = Observations(history, candidates, names=names, sign_of_score=lambda name: 1.0)
            was_read |= bool(seen.is_read.any())
        assert seen is not None and seen.is_doubted.all()
        read += was_read
        assert seen.is_read.tolist() == [False, tells, False]
    assert read == (12 if tells else 0)
