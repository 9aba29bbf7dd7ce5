"""The Gaussian process: the textbook's formulas, over any space, for any values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optuna_zerocost.rankings._configuration_space import ConfigurationSpace, Features
from optuna_zerocost.rankings._gaussian_process import GaussianProcess, _Process
from optuna_zerocost.rankings._hyperparameters import Hyperparameters, Posterior
from tests.spaces import RandomSpace

Array = npt.NDArray[np.float64]
SEEDS = st.integers(0, 10**6)


def features_of(seed: int, count: int) -> Features:
    """Return coordinates of configurations of a random space."""
    space, rng = RandomSpace(seed), random.Random(seed)
    rows = [space.draw(rng) for _ in range(count)]
    shown = ConfigurationSpace(rows)
    return shown.features(shown.at([params for params, _ in rows]))


def of_points(points: Array) -> Features:
    return Features(points, np.arange(points.shape[1]))


def covariance_of(features: Features, at: Array) -> Array:
    """Return the covariance with these hyperparameters, pair by pair."""
    count = len(features.columns)
    covariance = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            steps = (features.columns[i] - features.columns[j]) * np.exp(-at[features.groups])
            r = math.sqrt(float(steps @ steps))
            matern = (1 + math.sqrt(5) * r + 5 * r * r / 3) * math.exp(-math.sqrt(5) * r)
            covariance[i, j] = math.exp(at[-2]) * matern
    return covariance


def with_hyperparameters(features: Features, targets: Array, at: Array) -> GaussianProcess:
    process = GaussianProcess(features, targets)
    process._processes = [_Process(Hyperparameters.of(at), features, targets)]
    return process


@settings(max_examples=40)
@given(SEEDS, st.integers(2, 25))
def test_the_covariance_is_positive_semidefinite_wherever_hyperparameters_may_be(
    seed: int, count: int
) -> None:
    features, rng = features_of(seed, count), np.random.default_rng(seed)
    posterior = Posterior(features, rng.normal(size=count))
    low, high = np.array(posterior.bounds).T
    corners = [low, high, *(np.where(rng.random(len(low)) < 0.5, low, high) for _ in range(3))]
    for at in [*corners, low + (high - low) * rng.random(len(low))]:
        process = _Process(Hyperparameters.of(at), features, np.zeros(count))
        covariance = process.covariance(process._columns, process._columns)
        assert np.linalg.eigvalsh(covariance).min() >= -1e-9
        value, gradient = posterior.loss(at)
        assert math.isfinite(value) and np.isfinite(gradient).all()


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 12))
def test_the_loss_is_the_negative_logarithm_of_the_posterior_and_its_gradient_is_its_own(
    seed: int, count: int
) -> None:
    features, rng = features_of(seed, count), np.random.default_rng(seed)
    targets = rng.normal(size=count)
    posterior = Posterior(features, targets)
    loss = posterior.loss
    low, high = np.array(posterior.bounds).T

    def naive_density(at: Array) -> float:
        covariance = covariance_of(features, at) + (math.exp(at[-1]) + 1e-6) * np.eye(count)
        logarithm = np.linalg.slogdet(covariance)[1]
        likelihood = -0.5 * targets @ np.linalg.solve(covariance, targets) - 0.5 * logarithm
        groups = features.count
        mean = math.sqrt(2) + 0.5 * math.log(max(groups, 1))
        priors = ((at[:groups] - mean) ** 2 / 3).sum() + at[-2] ** 2 + (at[-1] + 4) ** 2
        return float(likelihood - 0.5 * priors)

    # Away from the smallest noise, for which differences are lost in rounding.
    inner = np.array([*low[:-1] + 1, low[-1] + 4])
    at, other = (inner + (high - inner) * rng.random(len(low)) for _ in range(2))
    difference = loss(at)[0] - loss(other)[0]
    assert difference == pytest.approx(
        naive_density(other) - naive_density(at), rel=1e-6, abs=1e-6
    )
    gradient = loss(at)[1]
    for index in range(len(at)):
        step = np.zeros(len(at))
        step[index] = 1e-5
        slope = (loss(at + step)[0] - loss(at - step)[0]) / 2e-5
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-4)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 12))
def test_predictions_are_those_of_the_textbook(seed: int, count: int) -> None:
    every, rng = features_of(seed, count + 5), np.random.default_rng(seed)
    known = Features(every.columns[:count], every.groups)
    new = Features(every.columns[count:], every.groups)
    targets = rng.normal(size=count)
    at = np.array([*rng.normal(size=every.count), 0.3, -2.0])
    process = with_hyperparameters(known, targets, at)
    covariance = covariance_of(every, at)
    noisy = covariance[:count, :count] + (math.exp(-2.0) + 1e-6) * np.eye(count)
    cross = covariance[count:, :count]
    mean, deviation = process.predict(new)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(noisy, targets), atol=1e-8)
    variance = math.exp(0.3) - np.diag(cross @ np.linalg.solve(noisy, cross.T))
    np.testing.assert_allclose(deviation, np.sqrt(np.maximum(variance, 1e-9)), atol=1e-5)
    if count > 1:
        for left_out in range(count):
            kept = np.delete(np.arange(count), left_out)
            weights = np.linalg.solve(noisy[np.ix_(kept, kept)], targets[kept])
            error = targets[left_out] - noisy[left_out, kept] @ weights
            assert process.left_out_errors()[left_out] == pytest.approx(error, abs=1e-8)


def alternating(count: int) -> Array:
    return np.where(np.arange(count) % 2, 1.0, -1.0)


@pytest.mark.parametrize("count", [1, 2, 3, 30, 120])
@pytest.mark.parametrize(
    "targets",
    [
        pytest.param(np.zeros, id="zero"),
        pytest.param(np.ones, id="constant"),
        pytest.param(lambda n: 1e-300 * alternating(n), id="tiny"),
        pytest.param(lambda n: 1e3 * alternating(n), id="large"),
        pytest.param(lambda n: np.eye(1, n)[0] * 1e6, id="one much better"),
        pytest.param(alternating, id="alternating"),
    ],
)
@pytest.mark.parametrize("is_the_same", [False, True])
def test_whatever_the_values_there_is_a_prediction(
    count: int, targets: Callable[[int], Array], is_the_same: bool
) -> None:
    features = features_of(5, count)
    if is_the_same:  # one configuration, again and again, with different values
        features = Features(features.columns[:1].repeat(count, axis=0), features.groups)
    process = GaussianProcess(features, targets(count))
    for found in (*process.predict(features), process.left_out_errors()):
        assert np.isfinite(found).all()
    assert math.isfinite(process.log_posterior)


def test_without_parameters_the_prediction_is_one_of_all() -> None:
    nothing = Features(np.zeros((6, 0)), np.zeros(0, dtype=np.intp))
    mean, deviation = GaussianProcess(nothing, np.arange(6.0)).predict(nothing)
    assert np.isfinite(mean).all() and np.isfinite(deviation).all()
    assert np.ptp(mean) == pytest.approx(0.0, abs=1e-9)


def test_what_matters_among_many_parameters_is_found() -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        points, new = rng.random((50, 12)), rng.random((60, 12))
        values, truth = (np.sin(4 * at[:, 3]) + at[:, 7] for at in (points, new))
        centre, unit = values.mean(), values.std()
        process = GaussianProcess(of_points(points), (values - centre) / unit)
        lengths = [each.hyperparameters.lengths for each in process._processes]
        shortest = np.argsort(np.mean(lengths, axis=0))[:2]
        assert set(shortest.tolist()) == {3, 7}
        mean, _ = process.predict(of_points(new))
        assert np.corrcoef(mean, truth)[0, 1] > 0.95


def test_deviations_tell_how_far_predictions_are_off() -> None:
    missed = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        points, new = rng.random((30, 2)), rng.random((50, 2))
        values, truth = (np.sin(5 * at[:, 0]) * at[:, 1] for at in (points, new))
        centre, unit = values.mean(), values.std()
        process = GaussianProcess(of_points(points), (values - centre) / unit)
        mean, deviation = process.predict(of_points(new))
        missed.append(np.abs(mean - (truth - centre) / unit) / deviation)
    assert np.mean(np.array(missed) < 2) > 0.85
    assert np.mean(np.array(missed) > 0.1) > 0.3


def test_noise_is_taken_for_noise() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((60, 3))
    process = GaussianProcess(of_points(points), rng.normal(size=60))
    mean, _ = process.predict(of_points(points))
    assert np.std(mean) < 0.5


def test_more_observations_change_no_hyperparameters() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((20, 2))
    values = points.sum(axis=1) - 1
    process = GaussianProcess(of_points(points[:15]), values[:15])
    more = process.given(of_points(points), values)
    before, after = ([each.hyperparameters for each in one._processes] for one in (process, more))
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert (
        more.predict(of_points(points))[1] <= process.predict(of_points(points))[1] + 1e-9
    ).all()
    assert process.targets.tolist() == values[:15].tolist()


def test_it_is_the_same_each_time_and_does_not_depend_on_the_order_of_the_columns() -> None:
    rng = np.random.default_rng(2)
    points = rng.random((25, 4))
    values = rng.normal(size=25)
    mean, deviation = GaussianProcess(of_points(points), values).predict(of_points(points))
    again, _ = GaussianProcess(of_points(points), values).predict(of_points(points))
    assert (mean == again).all()
    turned = points[:, ::-1]
    other, of_other = GaussianProcess(of_points(turned), values).predict(of_points(turned))
    # But for what is left to the samples of the hyperparameters.
    assert np.abs(other - mean).max() < deviation.mean()
    assert np.abs(of_other - deviation).max() < deviation.mean()


def test_samples_are_those_of_the_posterior() -> None:
    """Against weights of many points of the prior, which need no walk."""
    rng = np.random.default_rng(3)
    points = rng.random((12, 1))
    values = np.sin(6 * points[:, 0]) + 0.1 * rng.normal(size=12)
    posterior = Posterior(of_points(points), values)
    low, high = np.array(posterior.bounds).T
    centre = np.array([math.sqrt(2), 0.0, -4.0])
    drawn = centre + np.sqrt([3.0, 1.0, 1.0]) * rng.normal(size=(20_000, 3))
    drawn = drawn[((drawn >= low) & (drawn <= high)).all(axis=1)]
    weights = np.exp([posterior._log_likelihood(at) for at in drawn])
    expected = (weights[:, None] * drawn).sum(axis=0) / weights.sum()
    walk = np.array(posterior.samples(2000, posterior.likeliest()[0]))
    assert ((walk >= low) & (walk <= high)).all()
    spread = walk.std(axis=0)
    assert (np.abs(walk.mean(axis=0) - expected) < 0.25 * spread).all()
    assert spread.min() > 0.1


def test_few_observations_leave_hyperparameters_open_and_many_do_not() -> None:
    rng = np.random.default_rng(4)
    counts = []
    for count in (10, 60, 90, 150, 401):
        points = rng.random((count, 2))
        process = GaussianProcess(of_points(points), rng.normal(size=count))
        counts.append(len(process._processes))
    assert counts == [8, 6, 4, 2, 1]
