"""The surrogate: Gaussian processes over differences of parameters and over scores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optuna_zerocost.rankings import _surrogate
from optuna_zerocost.rankings._kernel import (
    SCEPTICISM,
    SHARES,
    Comparison,
    Kernel,
    Reading,
)
from optuna_zerocost.rankings._kernel_fit import Data, Fit
from optuna_zerocost.rankings._parameter_distance import Differences
from optuna_zerocost.rankings._surrogate import Surrogate

Array = npt.NDArray[np.float64]


def problem(
    seed: int, trials: int = 12, scores: int = 2
) -> tuple[Array, Differences, Array, Array]:
    """Return points in the plane as parameters, their differences, scores and values."""
    rng = np.random.default_rng(seed)
    points = rng.random((trials, 2))
    return points, between(points, points), rng.normal(size=(trials, scores)), rng.random(trials)


def between(some: Array, others: Array) -> Differences:
    each = np.abs(some[:, None] - others[None])
    return Differences(np.moveaxis(each, -1, 0), [True] * some.shape[1], 1 / some.shape[1])


def between_choices(some: Array, others: Array) -> Differences:
    """Return the differences of points whose coordinates are choices, which are numbers."""
    in_order = dict(enumerate(between(some, others).each))
    each = np.moveaxis(some[:, None] != others[None], -1, 0).astype(np.float64)
    return Differences(each, [False] * some.shape[1], 1 / some.shape[1], in_order)


def without_order(some: Array, others: Array) -> Differences:
    return dataclasses.replace(between_choices(some, others), in_order={})


def naive_distance(model: Kernel, point: Array, other: Array, is_choice: bool = False) -> float:
    weights = model.relevance or [1.0] * len(point)
    each = [
        w
        * (
            a != b
            if is_choice and not model.reading.ordered
            else abs(a - b) ** model.reading.power
        )
        for w, a, b in zip(weights, point, other, strict=True)
    ]
    return float(np.mean(each))


def naive_kernel(model: Kernel, distance: float, score: Array, other: Array, same: bool) -> float:
    if model.subset is not None:
        score, other = score[list(model.subset)], other[list(model.subset)]
    both, scores_only, parameters_only = model.shares
    of_parameters = np.exp(-model.decay * distance)
    count = max(len(score), 1)
    of_scores = np.exp(-sum((score - other) ** 2) / count / 2 / model.length**2)
    total = both * of_parameters * of_scores + scores_only * of_scores
    total += parameters_only * of_parameters + model.slope * sum(score * other) / count
    return float(total if same else model.task_correlation * total)


def log_density(covariance: Array, values: Array) -> float:
    _, log_determinant = np.linalg.slogdet(covariance)
    return float(-0.5 * values @ np.linalg.inv(covariance) @ values - 0.5 * log_determinant)


def naive_prediction(
    models: list[Kernel],
    points: Array,
    scores: Array,
    values: Array,
    new: Array,
    new_scores: Array,
    studies: Array,
    is_choice: bool = False,
) -> tuple[Array, Array]:
    """Average the textbook's formulas over the models, with explicit inverses."""
    mean, deviation = values.mean(), values.std()
    targets = (values - mean) / deviation
    results, evidences = [], []
    for model in models:

        def kernel(
            a: Array,
            s: Array,
            k: Array,
            b: Array,
            t: Array,
            h: Array,
            m: Kernel = model,
        ) -> Array:
            far = [[naive_distance(m, one, other, is_choice) for other in b] for one in a]
            return np.array(
                [
                    [naive_kernel(m, far[i][j], s[i], t[j], k[i] == h[j]) for j in range(len(b))]
                    for i in range(len(a))
                ]
            )

        own = np.zeros(len(new))
        covariance = kernel(points, scores, studies, points, scores, studies)
        covariance += model.noise * np.eye(len(points))
        inverse = np.linalg.inv(covariance)
        cross = kernel(new, new_scores, own, points, scores, studies)
        prior = np.diag(kernel(new, new_scores, own, new, new_scores, own))
        results.append((cross @ inverse @ targets, prior - np.diag(cross @ inverse @ cross.T)))
        log_prior = -SCEPTICISM * sum(
            np.log(relevance) ** 2 for relevance in model.relevance or ()
        )
        if model.subset is not None:
            log_prior -= np.log(math.comb(scores.shape[1], len(model.subset)))
        is_other = studies != 0
        # How likely this study's trials are, given those of the others.
        given = log_density(covariance[np.ix_(is_other, is_other)], targets[is_other])
        evidences.append(log_density(covariance, targets) - given + log_prior)
    chosen = np.argsort(-np.array(evidences), kind="stable")[: _surrogate._MOST_MODELS]
    weights = np.exp(np.array(evidences)[chosen] - max(evidences))
    weights /= weights.sum()
    means = np.stack([results[i][0] for i in chosen])
    variances = np.stack([results[i][1] for i in chosen])
    average = weights @ means
    spread = weights @ (variances + (means - average) ** 2)
    return mean + deviation * average, deviation * np.sqrt(spread)


@pytest.mark.parametrize("scores", [0, 1, 3])
@pytest.mark.parametrize("has_other_studies", [False, True])
@pytest.mark.parametrize("with_choices", [False, True])
@pytest.mark.parametrize("is_choice", [False, True])
def test_predictions_are_those_of_the_textbook(
    scores: int, has_other_studies: bool, with_choices: bool, is_choice: bool
) -> None:
    points, differences, known, values = problem(1, scores=scores)
    rng = np.random.default_rng(2)
    new, new_scores = rng.random((5, 2)), rng.normal(size=(5, scores))
    compare = between
    if is_choice:
        points, new, compare = np.round(3 * points) / 3, np.round(3 * new) / 3, between_choices
        differences = compare(points, points)
    studies = np.arange(len(values)) % 2 if has_other_studies else np.zeros(len(values), dtype=int)
    surrogate = Surrogate(
        differences,
        known,
        values,
        studies=studies.astype(np.intp),
        with_choices=with_choices,
    )
    found = surrogate.predict(compare(new, points), new_scores)
    models = (
        [fit.model for fit in surrogate._fits]
        if with_choices
        else _surrogate._models(
            _surrogate._readings(differences),
            has_scores=scores > 0,
            has_other_studies=has_other_studies,
        )
    )
    wanted = naive_prediction(
        models, points, known, values, new, new_scores, studies, is_choice=is_choice
    )
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-8)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6)


def test_the_error_of_those_left_out_is_that_of_leaving_each_out() -> None:
    points, differences, scores, values = problem(3)
    surrogate = Surrogate(differences, scores, values)
    targets = (values - values.mean()) / values.std()
    for fit in surrogate._fits:
        for left_out in range(len(values)):
            kept = np.delete(np.arange(len(values)), left_out)
            kernel = np.array(
                [
                    [
                        naive_kernel(
                            fit.model,
                            naive_distance(fit.model, points[i], points[j]),
                            scores[i],
                            scores[j],
                            True,
                        )
                        for j in range(len(values))
                    ]
                    for i in range(len(values))
                ]
            )
            covariance = kernel[np.ix_(kept, kept)] + fit.model.noise * np.eye(len(kept))
            predicted = kernel[left_out, kept] @ np.linalg.solve(covariance, targets[kept])
            error = fit.left_out_errors()[left_out]
            assert error == pytest.approx(targets[left_out] - predicted, rel=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(3, 40), st.integers(1, 3))
def test_turning_a_score_round_changes_nothing(seed: int, trials: int, scores: int) -> None:
    points, differences, known, values = problem(seed, trials, scores)
    rng = np.random.default_rng(seed + 1)
    new, new_scores = rng.random((4, 2)), rng.normal(size=(4, scores))
    signs = rng.choice([-1.0, 1.0], size=scores)
    one = Surrogate(differences, known, values)
    other = Surrogate(differences, known * signs, values)
    for a, b in zip(
        one.predict(between(new, points), new_scores),
        other.predict(between(new, points), new_scores * signs),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.floats(0.01, 100.0), st.floats(-100.0, 100.0))
def test_predictions_follow_the_unit_of_the_values(seed: int, unit: float, zero: float) -> None:
    points, differences, scores, values = problem(seed)
    plain = Surrogate(differences, scores, values).predict(differences, scores)
    scaled = Surrogate(differences, scores, unit * values + zero).predict(differences, scores)
    np.testing.assert_allclose(scaled[0], unit * plain[0] + zero, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scaled[1], unit * plain[1], rtol=1e-6)


def test_a_score_that_tells_the_values_is_believed_and_noise_is_not() -> None:
    errors: dict[str, list[float]] = {"none": [], "noise": [], "telling": []}
    for seed in range(10):
        _, differences, noise, values = problem(seed, trials=30, scores=1)
        nothing = np.zeros((30, 0))
        telling = (values - values.mean())[:, None] / values.std()
        for name, scores in (("none", nothing), ("noise", noise), ("telling", telling)):
            errors[name].append(Surrogate(differences, scores, values).leave_one_out_error())
    assert max(errors["telling"]) < 0.2
    # The values are random: nothing can be learned from the parameters.
    assert np.median(errors["none"]) > 0.8
    assert np.median(errors["noise"]) > 0.8


def test_many_trials_are_predicted_by_fewer_models_that_agree_with_all_of_them() -> None:
    trials = _surrogate._MANY + 20
    points, differences, scores, _ = problem(5, trials)
    values = points[:, 0] + np.tanh(scores[:, 0])
    rng = np.random.default_rng(6)
    new, new_scores = rng.random((50, 2)), rng.normal(size=(50, 2))
    truth = new[:, 0] + np.tanh(new_scores[:, 0])
    predicted, deviation = Surrogate(differences, scores, values).predict(
        between(new, points), new_scores
    )
    assert np.corrcoef(predicted, truth)[0, 1] > 0.95
    assert np.mean(np.abs(predicted - truth) < 3 * deviation + 0.2) > 0.9


def test_equal_values_are_predicted_without_trouble() -> None:
    _, differences, scores, _ = problem(7)
    mean, deviation = Surrogate(differences, scores, np.full(12, 4.0)).predict(differences, scores)
    np.testing.assert_allclose(mean, 4.0)
    assert np.isfinite(deviation).all()


def test_another_study_helps_as_far_as_it_is_alike() -> None:
    """Forty trials of a study with the same truth tell more than those of one with another."""
    gains = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        points = rng.random((50, 2))
        truth = np.sin(3 * points[:, 0]) + points[:, 1]
        held_out, new_truth = rng.random((40, 2)), np.zeros(40)
        new_truth = np.sin(3 * held_out[:, 0]) + held_out[:, 1]
        studies = np.repeat(np.array([0, 1], dtype=np.intp), [10, 40])
        errors = []
        for other in (truth, rng.permutation(truth)):
            values = np.where(studies == 0, truth - truth.mean(), other - other.mean())
            nothing = np.zeros((50, 0))
            surrogate = Surrogate(between(points, points), nothing, values, studies=studies)
            predicted, _ = surrogate.predict(between(held_out, points), np.zeros((40, 0)))
            errors.append(np.mean((predicted - (new_truth - truth.mean())) ** 2))
        alone = Surrogate(between(points[:10], points[:10]), nothing[:10], truth[:10])
        predicted, _ = alone.predict(between(held_out, points[:10]), np.zeros((40, 0)))
        gains.append((*errors, np.mean((predicted - new_truth) ** 2), new_truth.var()))
    alike, unlike, without, variance = np.median(gains, axis=0)
    assert alike < 0.5 * without
    # What the ten trials told is not lost: their mean alone would err by the variance.
    assert unlike < 0.5 * variance
    assert unlike < 1.5 * without


def smooth(points: Array) -> Array:
    return np.asarray(np.sin(3 * points[:, 0]) + points[:, 1])


def rough(points: Array) -> Array:
    return np.asarray(np.abs(points - 0.3).sum(axis=1) + (points[:, 0] > 0.6))


@pytest.mark.parametrize(("function", "power"), [(smooth, 2.0), (rough, 1.0)])
def test_the_trials_tell_a_smooth_function_from_a_rough_one(
    function: Callable[[Array], Array], power: float
) -> None:
    rng = np.random.default_rng(0)
    points = rng.random((40, 2))
    nothing = np.zeros((40, 0))
    surrogate = Surrogate(between(points, points), nothing, function(points))
    assert surrogate._fits[0].model.reading.power == power


@pytest.mark.parametrize("is_monotone", [True, False])
def test_the_trials_tell_choices_in_order_from_others(is_monotone: bool) -> None:
    """Both are predicted about as well as if it were known which they are."""
    levels = np.arange(8) / 7.0 if is_monotone else np.array([0, 4, 7, 1, 5, 2, 6, 3]) / 7.0

    def function(at: Array) -> Array:
        found: Array = np.sin(2 * levels[np.round(7 * at).astype(int)]).sum(axis=1)
        return found

    errors = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        points, held_out = rng.integers(0, 8, (40, 2)) / 7.0, rng.integers(0, 8, (60, 2)) / 7.0
        for compare in (between_choices, without_order, between):
            surrogate = Surrogate(compare(points, points), np.zeros((40, 0)), function(points))
            predicted, _ = surrogate.predict(compare(held_out, points), np.zeros((60, 0)))
            errors.append(float(np.mean((predicted - function(held_out)) ** 2)))
    either, choices, numbers = np.median(np.reshape(errors, (-1, 3)), axis=0)
    assert (numbers < choices) == is_monotone
    assert either < 1.2 * min(choices, numbers)
    assert either < 0.5 * max(choices, numbers)


def test_the_parameter_that_matters_is_found() -> None:
    """With it a function of one of eight parameters is predicted better than without."""
    errors = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        points, held_out = rng.integers(0, 4, (60, 8)) / 3.0, rng.integers(0, 4, (50, 8)) / 3.0
        nothing, values = np.zeros((60, 0)), np.sin(5 * points[:, 3])
        for with_choices in (True, False):
            surrogate = Surrogate(
                between(points, points), nothing, values, with_choices=with_choices
            )
            predicted, _ = surrogate.predict(between(held_out, points), np.zeros((50, 0)))
            errors.append(float(np.mean((predicted - np.sin(5 * held_out[:, 3])) ** 2)))
            if with_choices:
                relevance = surrogate._fits[0].model.relevance
                assert relevance is not None
                assert int(np.argmax(relevance)) == 3
    assert np.median(errors[::2]) < 0.5 * np.median(errors[1::2])


@pytest.mark.parametrize("compare", [between, between_choices])
def test_slopes_are_how_the_evidence_changes_with_the_relevances(
    compare: Callable[[Array, Array], Differences],
) -> None:
    points, _, scores, values = problem(4)
    points = np.round(3 * points) / 3
    differences = compare(points, points)
    comparison = Comparison(differences, scores, scores, None)
    observed = Data(comparison, values, None)
    small = 1e-5

    def evidence(model: Kernel) -> float:
        return Fit(model, observed).evidence

    for model in _surrogate._models(
        _surrogate._readings(differences), has_scores=True, has_other_studies=False
    ):
        uneven = model.with_relevance(0, 3.0, 2)
        for at in (model, uneven):
            found = Fit(at, observed).relevance_slopes(comparison)
            wanted = [
                (
                    evidence(at.with_relevance(index, np.exp(small), 2))
                    - evidence(at.with_relevance(index, np.exp(-small), 2))
                )
                / (2 * small)
                for index in (0, 1)
            ]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_of_many_parameters_those_are_tried_that_the_slopes_speak_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The parameters that matter are found among thirty as if all of them had been tried."""
    found = []
    for most in (_surrogate._MOST_TRIED, 60):
        monkeypatch.setattr(_surrogate, "_MOST_TRIED", most)
        for seed in range(4):
            rng = np.random.default_rng(seed)
            points = rng.integers(0, 3, (60, 30)) / 2.0
            values = np.sin(5 * points[:, 3]) + points[:, 20]
            surrogate = Surrogate(between(points, points), np.zeros((60, 0)), values)
            relevance = surrogate._fits[0].model.relevance
            assert relevance is not None
            found.append(set(np.argsort(relevance)[-2:].tolist()))
    assert found == [{3, 20}] * 8


def test_few_trials_do_not_settle_which_parameters_matter() -> None:
    for seed in range(8):
        _, differences, _, values = problem(seed, trials=6)
        surrogate = Surrogate(differences, np.zeros((6, 0)), values)
        told = [fit.model.relevance for fit in surrogate._fits]
        assert any(relevance is None for relevance in told)


def test_a_score_that_tells_is_not_drowned_by_many_that_do_not() -> None:
    errors = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scores, new_scores = rng.normal(size=(40, 10)), rng.normal(size=(40, 10))
        points = rng.random((40, 2))
        values, truth = np.tanh(scores[:, 3]), np.tanh(new_scores[:, 3])
        for with_choices in (True, False):
            surrogate = Surrogate(
                between(points, points), scores, values, with_choices=with_choices
            )
            predicted, _ = surrogate.predict(between(points, points), new_scores)
            errors.append(float(np.mean((predicted - truth) ** 2)))
            if with_choices:
                assert surrogate._fits[0].model.subset == (3,)
    assert np.median(errors[::2]) < 0.2 * np.median(errors[1::2])


def test_few_trials_do_not_settle_which_scores_tell() -> None:
    for seed in range(8):
        _, differences, scores, values = problem(seed, trials=6, scores=5)
        subsets = [fit.model.subset for fit in Surrogate(differences, scores, values)._fits]
        assert any(subset is None for subset in subsets)


def test_each_score_that_is_doubted_makes_reading_it_less_likely() -> None:
    model = Kernel(3.0, Reading(), 1.0, SHARES[0], 0.0, 0.1, 0.0)
    nats = (_surrogate._DOUBT, 0.0, _surrogate._DOUBT)
    doubting = dataclasses.replace(model, doubts=nats)
    for subset in [{0}, {1}, {0, 1}, {0, 2}, {0, 1, 2}]:
        expected = model.with_subset(subset, 3).log_prior - sum(nats[i] for i in subset)
        assert doubting.with_subset(subset, 3).log_prior == pytest.approx(expected)
    blind = dataclasses.replace(doubting, shares=SHARES[-1])
    assert blind.log_prior == dataclasses.replace(model, shares=SHARES[-1]).log_prior


def test_doubts_matter_as_long_as_the_trials_say_little() -> None:
    _, differences, scores, values = problem(3, trials=6)
    plain = Surrogate(differences, scores, values)
    doubting = Surrogate(differences, scores, values, doubts=np.array([True, True]))
    trusted = Surrogate(differences, scores, values, doubts=np.array([False, False]))

    def read(surrogate: Surrogate) -> float:
        pairs = zip(surrogate._weights, surrogate._fits, strict=True)
        return float(sum(weight for weight, fit in pairs if fit.model.reads_scores))

    assert read(trusted) == read(plain) > read(doubting)
    _, differences, scores, _ = problem(3, trials=30)
    telling = Surrogate(differences, scores, scores[:, 0], doubts=np.array([True, True]))
    assert read(telling) > 0.99
