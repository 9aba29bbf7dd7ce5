"""Numbers about a study: equal to what a naive count gives, unmoved by what must not count."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from optuna_zerocost import Warmup, ZeroCostSampler, analysis
from optuna_zerocost.records import stored_pools
from tests.spaces import BASES, SPACES, Recorder

FEW = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=12)


def study_of(*rows: dict[str, object], **options: object) -> optuna.Study:
    """Return a study with a trial for each row: its value, state and zerocost: attributes."""
    study = optuna.create_study(**{"direction": "maximize", **options})  # type: ignore[arg-type]
    for row in rows:
        attributes = {
            f"zerocost:{name}": value
            for name, value in row.items()
            if name not in ("value", "values", "state")
        }
        study.add_trial(
            create_trial(
                state=row.get("state", TrialState.COMPLETE),  # type: ignore[arg-type]
                value=row.get("value"),  # type: ignore[arg-type]
                values=row.get("values"),  # type: ignore[arg-type]
                user_attrs=attributes,
            )
        )
    return study


# Rank correlations


def naive_spearman(x: list[float], y: list[float]) -> float:
    def ranks(numbers: list[float]) -> list[float]:
        return [
            sum(other < number for other in numbers)
            + (sum(other == number for other in numbers) + 1) / 2
            for number in numbers
        ]

    return statistics.correlation(ranks(x), ranks(y))


def naive_kendall(x: list[float], y: list[float]) -> float:
    agree = tied_x = tied_y = pairs = 0
    for i, j in itertools.combinations(range(len(x)), 2):
        agree += (x[i] > x[j]) - (x[i] < x[j]) if y[i] > y[j] else 0
        agree -= (x[i] > x[j]) - (x[i] < x[j]) if y[i] < y[j] else 0
        tied_x += x[i] == x[j]
        tied_y += y[i] == y[j]
        pairs += 1
    return agree / math.sqrt((pairs - tied_x) * (pairs - tied_y))


@pytest.mark.parametrize(
    ("estimate", "naive"),
    [(analysis.spearman, naive_spearman), (analysis.kendall, naive_kendall)],
)
@given(pairs=FEW)
def test_a_correlation_is_what_its_definition_counts(estimate, naive, pairs):  # type: ignore
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    found = estimate(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert all(map(math.isnan, (found.value, found.low, found.high)))
        return
    assert found.value == pytest.approx(naive(x, y), abs=1e-12)
    assert -1 <= found.low <= found.value <= found.high <= 1
    # It sees ranks only, and turns with one side.
    cubed = estimate([a**3 for a in x], y)
    assert (cubed.value, cubed.low, cubed.high) == (found.value, found.low, found.high)
    turned = estimate(x, [-b for b in y])
    assert turned.low == pytest.approx(-found.high, abs=1e-12)
    assert turned.high == pytest.approx(-found.low, abs=1e-12)
    surer = estimate(x, y, confidence=0.5)
    assert found.low <= surer.low and surer.high <= found.high


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_intervals_hold_the_truth_as_often_as_they_say(correlation: float) -> None:
    """For a bivariate normal, ρ and τ of the whole population are known."""
    truth = {
        analysis.spearman: 6 / math.pi * math.asin(correlation / 2),
        analysis.kendall: 2 / math.pi * math.asin(correlation),
    }
    generator = np.random.default_rng(0)
    hits = dict.fromkeys(truth, 0)
    samples = 300
    for _ in range(samples):
        x, noise = generator.normal(size=(2, 30))
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        for estimate, value in truth.items():
            found = estimate(list(x), list(y))
            hits[estimate] += found.low <= value <= found.high
    for count in hits.values():
        # 95 %, give or take three standard errors of the count and the approximation itself
        assert 0.92 <= count / samples <= 0.98


def test_agreement_of_a_few_networks_is_no_certainty() -> None:
    numbers = [1.0, 2.0, 3.0, 4.0, 5.0]
    for estimate in (analysis.spearman, analysis.kendall):
        found = estimate(numbers, numbers)
        assert found.value == found.high == pytest.approx(1)
        assert found.low < 0.5
        # With so few that the formula has no variance, everything is possible.
        assert estimate(numbers[:3], numbers[:3]).low == -1


# Scores and values of a study


def test_only_scores_are_scores() -> None:
    study = study_of(
        {
            "value": 1.0,
            "synflow": 2,
            "source": "move",
            "candidates": 3,
            "rejected": 0,
            "seconds": 0.5,
            "remark": "text",
            "flag": True,
            "broken": math.nan,
        }
    )
    study.add_trial(create_trial(value=2.0, user_attrs={"synflow": 7.0}))
    scored, other = analysis.scores_of(study)
    assert scored.scores == {"synflow": 2.0} and scored.source == "move"
    assert other.scores == {} and other.source is None
    assert analysis.score_names([scored, other]) == ["synflow"]


def test_trials_without_a_score_or_a_value_do_not_move_a_correlation() -> None:
    rows: list[dict[str, object]] = [
        {"value": float(i), "a": float(i * 7 % 10), "b": -float(i)} for i in range(10)
    ]
    noise: list[dict[str, object]] = [
        {"state": TrialState.FAIL, "a": 99.0},
        {"state": TrialState.PRUNED, "value": -50.0, "a": 99.0},
        {"state": TrialState.RUNNING, "a": 99.0},
        {"value": math.inf, "a": -99.0},
        {"value": 100.0},
    ]
    plain, disturbed = study_of(*rows), study_of(*rows[:5], *noise, *rows[5:])
    assert analysis.correlations(plain) == analysis.correlations(disturbed)
    values = [trial.value for trial in analysis.scores_of(disturbed)]
    assert [value for value in values if value is not None] == [
        *map(float, range(5)),
        100.0,
        *map(float, range(5, 10)),
    ]
    by_name = {c.score: c for c in analysis.correlations(plain)}
    assert by_name["b"].spearman.value == by_name["b"].kendall.value == pytest.approx(-1)
    assert by_name["a"].count == 10


def test_a_loss_correlates_as_the_accuracy_it_mirrors() -> None:
    scores = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    accuracies = [0.3, 0.2, 0.7, 0.1, 0.8, 0.6]
    up = study_of(*({"value": v, "a": s} for v, s in zip(accuracies, scores, strict=True)))
    down = study_of(
        *({"value": 1 - v, "a": s} for v, s in zip(accuracies, scores, strict=True)),
        direction="minimize",
    )
    assert analysis.correlations(up) == analysis.correlations(down)
    # A target has no direction of its own.
    (as_target,) = analysis.correlations(down, target=lambda trial: trial.value or 0.0)
    (turned,) = analysis.correlations(
        down, target=lambda trial: trial.value or 0.0, direction="minimize"
    )
    assert as_target.spearman.value == -turned.spearman.value
    assert turned == analysis.correlations(up)[0]


def test_sources_can_be_told_apart() -> None:
    study = study_of(
        *({"value": float(i), "a": float(i), "source": "warmup"} for i in range(5)),
        *({"value": float(i), "a": -float(i), "source": "move"} for i in range(4)),
    )
    (warmup,) = analysis.correlations(study, sources=["warmup"])
    (move,) = analysis.correlations(study, sources=["move"])
    assert (warmup.count, warmup.spearman.value) == (5, pytest.approx(1))
    assert (move.count, move.spearman.value) == (4, pytest.approx(-1))


def test_several_objectives_need_a_target() -> None:
    study = study_of(
        *({"values": [float(i), -float(i)], "a": float(i)} for i in range(4)),
        direction=None,
        directions=["maximize", "maximize"],
    )
    assert not analysis.has_one_value(study, None)
    for function in (analysis.scores_of, analysis.correlations, analysis.search_curve):
        with pytest.raises(ValueError, match=r"2 objectives.*target=lambda"):
            function(study)
    (second,) = analysis.correlations(study, target=lambda trial: trial.values[1])
    assert second.spearman.value == pytest.approx(-1)
    with pytest.raises(ValueError, match="'up'.*'maximize'"):
        analysis.is_minimized(study, lambda trial: 0.0, "up")


# Search curves


@given(values=st.lists(st.integers(-9, 9).map(float), max_size=8), minimize=st.booleans())
def test_a_search_curve_is_the_best_of_each_beginning(values: list[float], minimize: bool) -> None:
    best = min if minimize else max
    study = study_of(
        {"state": TrialState.FAIL},
        *({"value": value} for value in values),
        direction="minimize" if minimize else "maximize",
    )
    assert analysis.search_curve(study) == [best(values[: k + 1]) for k in range(len(values))]


def test_curves_of_several_studies_are_compared_where_all_have_trained() -> None:
    rows = [[1.0, 5.0, 2.0], [3.0, 3.0, 4.0, 9.0], [2.0, 0.0]]
    studies = [study_of(*({"value": v} for v in values)) for values in rows]
    curves = analysis.search_curves([*studies, study_of({"state": TrialState.FAIL})])
    assert curves.studies == 3
    assert curves.median == (2.0, 3.0)  # of 1, 3, 2 and of 5, 3, 2
    assert curves.lower == (1.5, 2.5) and curves.upper == (2.5, 4.0)
    assert analysis.search_curves([]) == analysis.SearchCurves(0, (), (), ())


# What the samplers did


def test_activity_counts_a_pool_once_and_each_move() -> None:
    scorer = Recorder(SPACES["conditional"], fails=lambda call: call % 5 == 0)
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=BASES["random"](),
        warmup=Warmup(candidates=12, trials=3, show_progress_bar=False),
        moves=4,
        seed=0,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial({"depth": 1, "width0": 16, "norm": False})
    study.optimize(SPACES["conditional"], n_trials=8)
    activity = analysis.activity(study)
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources[0] == "enqueued"
    assert activity.trials == {source: sources.count(source) for source in set(sources)}
    # The enqueued trial was scored too, but not as a candidate.
    assert activity.rejected == scorer.failed
    (pool,) = stored_pools(study)
    moves = [trial for trial in study.trials if trial.user_attrs["zerocost:source"] == "move"]
    assert moves
    assert activity.candidates == len(pool.candidates) + sum(
        trial.user_attrs["zerocost:candidates"] for trial in moves
    )
    assert activity.seconds == pytest.approx(
        math.fsum(trial.user_attrs["zerocost:seconds"] for trial in study.trials)
    )


# What the trials of each source brought


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["warmup", "move", None]), st.integers(-3, 3)), max_size=12
    ),
    direction=st.sampled_from(["maximize", "minimize"]),
)
def test_contributions_are_what_a_count_finds(
    rows: list[tuple[str | None, int]], direction: str
) -> None:
    study = study_of(
        *({"value": float(value), "source": source} for source, value in rows),
        {"state": TrialState.FAIL, "source": "base"},
        direction=direction,
    )
    better = max if direction == "maximize" else min
    found = {one.source: one for one in analysis.contributions(study)}
    assert list(found) == list(dict.fromkeys(source for source, _ in rows))
    records: list[str | None] = []
    for index, (source, value) in enumerate(rows):
        before = [other for _, other in rows[:index]]
        if not before or better(value, *before) not in before:
            records.append(source)
    for source, one in found.items():
        values = [value for other, value in rows if other == source]
        assert (one.networks, one.best) == (len(values), better(values))
        assert one.median == statistics.median(values)
        assert one.improvements == records.count(source)
    best = analysis.best_trial(study)
    if best is None:
        assert not rows
    else:
        values = [value for _, value in rows]
        assert best.value == better(values) and best.number == values.index(better(values))


def test_the_strongest_correlation_comes_first_and_undefined_ones_last() -> None:
    study = study_of(
        *(
            {"value": float(n), "same": 1.0, "against": -float(n), "with": float(n), "half": n % 3}
            for n in range(6)
        ),
        {"state": TrialState.FAIL, "failed": 1.0},
    )
    found = analysis.best_first(analysis.correlations(study))
    assert [one.score for one in found] == ["with", "half", "against", "same"]
