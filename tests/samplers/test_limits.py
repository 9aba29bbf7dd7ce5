"""Limits in a search: only what is within is trained, drawn as the base sampler draws."""

from __future__ import annotations

import itertools
import json
import pathlib
import warnings
from typing import Any

import optuna
import pytest
from optuna.samplers import GPSampler, GridSampler, PartialFixedSampler, RandomSampler
from optuna.trial import TrialState

from optuna_zerocost import Learned, LimitedScorer, Limits, Sources, Warmup, ZeroCostSampler
from optuna_zerocost.samplers import _pool_source
from optuna_zerocost.samplers._generation import _PART_OF_BASE
from optuna_zerocost.samplers._pool_source import PoolSource
from tests.spaces import BASES, SPACES

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def rare_space(trial: Any) -> int:
    """Conditional; 1.9 % of the draws have a cost of at least 98."""
    depth = trial.suggest_int("depth", 1, 4)
    widths = [trial.suggest_int(f"width{i}", 1, 32) for i in range(depth)]
    if depth > 2:
        widths.append(8 * trial.suggest_categorical("skip", [0, 1]))
    return int(sum(widths))


RARE = 98


def limited(
    space: Any = rare_space,
    *,
    low: float = RARE,
    high: float = 1e6,
    score: Any = None,
    **more: Any,
) -> LimitedScorer:
    limits = Limits(custom={"cost": (float, (low, high))}, **more)
    return LimitedScorer(space, limits, score=score)


def depth_score(trial: Any) -> dict[str, float]:
    return {"total": float(rare_space(trial)), "depth": float(trial.params["depth"])}


def test_the_rare_space_is_as_rare_as_it_says() -> None:
    """Counted exactly: the number of widths of each depth whose sum is large enough."""

    def counts(depth: int) -> dict[int, int]:
        totals = {0: 1}
        for _ in range(depth):
            longer: dict[int, int] = {}
            for total, width in itertools.product(totals, range(1, 33)):
                longer[total + width] = longer.get(total + width, 0) + totals[total]
            totals = longer
        return totals

    share = 0.0
    for depth in range(1, 5):
        for skip in (0, 8) if depth > 2 else (0,):
            enough = sum(n for total, n in counts(depth).items() if total + skip >= RARE)
            share += enough / 32**depth / (2 if depth > 2 else 1) / 4
    assert 0.015 < share < 0.02


@pytest.mark.parametrize("base", ["random", "tpe", "nsga2", "cmaes"])
@pytest.mark.parametrize("scored", [False, True])
def test_every_trained_trial_is_within_the_limits(base: str, scored: bool) -> None:
    sampler = ZeroCostSampler(
        limited(score=depth_score if scored else None),
        base_sampler=BASES[base](),
        ranking="total" if scored else None,
        warmup=Warmup(candidates=8, trials=3, show_progress_bar=False) if scored else None,
        moves=2,
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: rare_space(trial) * trial.suggest_float("rate", 0, 1), n_trials=5)
    for trial in study.trials:
        cost = rare_space(optuna.trial.FixedTrial(trial.params))
        assert cost >= RARE
        assert trial.user_attrs["zerocost:cost"] == cost
        assert 0 < trial.user_attrs["zerocost:feasible"] <= 1
        assert "zerocost:violation" not in trial.user_attrs
    assert study.trials[0].user_attrs["zerocost:feasible"] < 1
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources[:3] == (["warmup"] * 3 if scored else ["move"] * 3)
    assert set(sources[3:]) <= {"move", "base", "random"}


def test_the_default_number_of_draws_finds_two_per_cent() -> None:
    """Fewer than one trial in a million may miss, whatever the base sampler draws."""
    limits = Limits(params=1)
    assert (1 - 0.02) ** (limits.draws * (1 - _PART_OF_BASE)) < 1e-6


@pytest.mark.parametrize("space", ["conditional", "numeric"])
@pytest.mark.parametrize("base", BASES)
def test_limits_that_nothing_breaks_change_nothing(base: str, space: str) -> None:
    def run(sampler: optuna.samplers.BaseSampler) -> list[Any]:
        study = optuna.create_study(sampler=sampler)
        # Evolution is told which parameters are the architecture, and edits the others separately.
        study.optimize(
            lambda trial: (
                SPACES[space](trial)
                - (0 if base == "evolution" else trial.suggest_float("rate", 0, 1))
            ),
            n_trials=6,
        )
        return [(trial.params, trial.values) for trial in study.trials]

    scorer = limited(SPACES[space], low=-1e6)
    wrapped = ZeroCostSampler(scorer, base_sampler=BASES[base](), warmup=None, moves=1)
    assert run(wrapped) == run(BASES[base]())


def test_draws_are_those_of_the_base_sampler_that_are_within() -> None:
    """Random search under limits is random search with the others left out."""
    low = 60
    bare = optuna.create_study(sampler=RandomSampler(seed=4))
    bare.optimize(rare_space, n_trials=150)
    within = [t.params for t in bare.trials if t.value is not None and t.value >= low]
    sampler = ZeroCostSampler(
        limited(low=low), base_sampler=RandomSampler(seed=4), warmup=None, moves=1
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(rare_space, n_trials=len(within))
    assert [trial.params for trial in study.trials] == within
    drawn = [1 + trial.user_attrs["zerocost:rejected"] for trial in study.trials]
    assert sum(drawn) <= len(bare.trials)
    for trial, count in zip(study.trials, drawn, strict=True):
        assert trial.user_attrs["zerocost:feasible"] == 1 / count


@pytest.mark.parametrize("base", ["random", "tpe", "nsga2"])
def test_if_nothing_is_within_the_least_violating_is_used_and_told(base: str) -> None:
    costs: list[float] = []

    def costed(trial: Any) -> float:
        costs.append(float(rare_space(trial)))
        return costs[-1]

    scorer = limited(costed, low=400, draws=25)
    sampler = ZeroCostSampler(scorer, base_sampler=BASES[base](), warmup=None, moves=3)
    study = optuna.create_study(sampler=sampler)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study.optimize(rare_space, n_trials=3)
    told = [str(w.message) for w in caught if "No draw of" in str(w.message)]
    assert len(told) == 1 and "25 for trial 0" in told[0] and "at least 400" in told[0]
    assert len(costs) == 3 * 25  # drawn, not scored again afterwards
    first = study.trials[0]
    assert first.value == max(costs[:25])
    for trial in study.trials:
        assert trial.value is not None
        violation = trial.user_attrs["zerocost:violation"]
        assert violation == (400 - trial.value) / 400
        assert trial.user_attrs["zerocost:feasible"] == 0
        if hasattr(trial, "constraints"):
            assert trial.constraints == {"zerocost:violation": violation}
    with pytest.raises(ValueError, match="[Ff]easible"):
        study.best_trial  # noqa: B018


def test_the_best_trial_is_one_within_the_limits() -> None:
    sampler = ZeroCostSampler(limited(low=40), base_sampler=BASES["tpe"](), warmup=None, moves=2)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    study.enqueue_trial({"depth": 1, "width0": 1})
    study.optimize(rare_space, n_trials=5)
    assert study.trials[0].value == 1 and study.best_value >= 40


def test_an_enqueued_architecture_is_kept_and_drawn_once() -> None:
    calls = 0

    def counted(trial: Any) -> int:
        nonlocal calls
        calls += 1
        return rare_space(trial)

    sampler = ZeroCostSampler(
        limited(counted), base_sampler=RandomSampler(seed=0), warmup=None, moves=2
    )
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"depth": 1, "width0": 5})
    study.optimize(rare_space, n_trials=1)
    assert study.trials[0].params == {"depth": 1, "width0": 5} and calls == 1
    assert study.trials[0].user_attrs["zerocost:violation"] == (RARE - 5) / RARE
    study.enqueue_trial({"depth": 4})  # the rest is drawn until it fits
    study.optimize(rare_space, n_trials=1)
    assert study.trials[1].params["depth"] == 4
    assert "zerocost:violation" not in study.trials[1].user_attrs


def test_what_is_fixed_inside_is_kept_and_the_rest_fits() -> None:
    base = PartialFixedSampler({"depth": 3}, BASES["tpe"]())
    scorer = limited(low=60, score=depth_score)
    sampler = ZeroCostSampler(
        scorer,
        base_sampler=base,
        ranking="total",
        warmup=Warmup(candidates=4, trials=2, show_progress_bar=False),
        moves=2,
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(rare_space, n_trials=4)
    assert all(t.params["depth"] == 3 and (t.value or 0) >= 60 for t in study.trials)


def test_a_grid_is_passed_through_and_what_is_outside_told() -> None:
    grid = {"depth": [1, 2], "width": [1, 9]}

    def space(trial: Any) -> float:
        return float(trial.suggest_int("depth", 1, 2) * trial.suggest_int("width", 1, 9))

    sampler = ZeroCostSampler(
        limited(space, low=5), base_sampler=GridSampler(grid, seed=0), warmup=None
    )
    study = optuna.create_study(sampler=sampler)
    with pytest.warns(UserWarning, match="No draw of 1 "):
        study.optimize(space)
    assert len(study.trials) == 4
    for trial in study.trials:
        assert trial.value is not None
        assert ("zerocost:violation" in trial.user_attrs) == (trial.value < 5)


def test_a_gaussian_process_goes_on_beside_a_trial_outside() -> None:
    """It wants as many constraints in every trial, and only this one has any.

    What is outside is shown to it, or it would draw the same again until it is stopped.
    """

    def space(trial: Any) -> float:
        return float(trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1))

    base = GPSampler(seed=0, n_startup_trials=2)
    sampler = ZeroCostSampler(
        limited(space, low=0.9, draws=40), base_sampler=base, warmup=None, moves=1
    )
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"x": 0.0, "y": 0.1})
    study.optimize(space, n_trials=4)
    assert study.trials[0].user_attrs["zerocost:violation"] > 0
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4
    assert all((t.value or 0) >= 0.9 for t in study.trials[1:])


def pool_of(study: optuna.Study, scorer: LimitedScorer, *, worker: int = 0) -> Any:
    warmup = Warmup(candidates=30, trials=5, show_progress_bar=False)
    return PoolSource(study, scorer, warmup, fixed={}, seed=7).get(worker)


def test_a_pool_is_filled_with_what_is_within(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=storage)
    scorer = limited(low=70, score=depth_score)
    pool = pool_of(study, scorer)
    assert pool.within >= 30 and pool.draws - pool.outside == pool.within
    assert all(candidate.scores["cost"] >= 70 for candidate in pool.candidates)
    assert 0 < pool.feasible == pool.within / pool.draws
    # Another worker finds it, without a draw.
    monkeypatch.setattr(_pool_source, "random_trial", None)
    assert pool_of(study, limited(low=70, score=depth_score), worker=5) == pool


def test_a_pool_with_limits_does_not_depend_on_how_it_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from optuna_zerocost.samplers import _pool_source

    def pool(longest: int) -> Any:
        monkeypatch.setattr(_pool_source, "_LONGEST_PIECE", longest)
        monkeypatch.setattr(_pool_source, "_FEWEST_PIECES", 1)
        return pool_of(optuna.create_study(), limited(low=70, score=depth_score), worker=longest)

    assert pool(1) == pool(7) == pool(500)


def test_a_pool_where_nothing_is_within_gives_up_after_a_trials_worth_of_draws() -> None:
    pool = pool_of(optuna.create_study(), limited(low=400, draws=45, score=depth_score))
    assert (pool.candidates, pool.draws, pool.outside) == ([], 45, 45)


def test_an_empty_pool_leaves_it_to_the_base_sampler() -> None:
    sampler = ZeroCostSampler(
        limited(low=400, draws=10, score=depth_score),
        base_sampler=BASES["random"](),
        ranking="total",
        warmup=Warmup(candidates=5, trials=2, show_progress_bar=False),
        moves=2,
    )
    study = optuna.create_study(sampler=sampler)
    with pytest.warns(UserWarning, match="No draw of 10 for trial 0") as caught:
        study.optimize(rare_space, n_trials=2)
    assert len(caught) == 1
    assert [t.user_attrs["zerocost:source"] for t in study.trials] == ["base", "base"]


def test_two_workers_train_different_architectures_within(tmp_path: pathlib.Path) -> None:
    """Two samplers on one storage; each begins a trial before the other ends its own."""
    storage = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="s", storage=storage)
    workers = [
        optuna.load_study(
            study_name="s",
            storage=storage,
            sampler=ZeroCostSampler(
                limited(score=depth_score),
                base_sampler=BASES["random"](),
                ranking="total",
                warmup=Warmup(candidates=8, trials=4, show_progress_bar=False),
                moves=2,
                seed=worker,
            ),
        )
        for worker in range(2)
    ]
    for _ in range(4):
        running = [study.ask() for study in workers]
        values = [rare_space(trial) for trial in running]
        for study, trial, value in zip(workers, running, values, strict=True):
            study.tell(trial, value)
    trials = workers[0].trials
    assert all((trial.value or 0) >= RARE for trial in trials)
    assert len({json.dumps(trial.params, sort_keys=True) for trial in trials}) == 8
    sources = [trial.user_attrs["zerocost:source"] for trial in trials]
    assert sources[:4] == ["warmup"] * 4
    assert set(sources[4:]) <= {"move", "random"}


def test_threads_stay_within_the_limits() -> None:
    sampler = ZeroCostSampler(limited(), base_sampler=BASES["random"](), warmup=None, moves=2)
    study = optuna.create_study(sampler=sampler)
    study.optimize(rare_space, n_trials=6, n_jobs=3)
    assert all((trial.value or 0) >= RARE for trial in study.trials)


def test_what_ranks_without_scores() -> None:
    with pytest.raises(ValueError, match="no scores by which.*ranking='-params'"):
        ZeroCostSampler(limited(), warmup=Warmup(candidates=5, trials=2))
    sampler = ZeroCostSampler(
        limited(), base_sampler=BASES["random"](), ranking="-cost", warmup=None, moves=6
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(rare_space, n_trials=3)
    plain = ZeroCostSampler(limited(), base_sampler=BASES["random"](), warmup=None, moves=6)
    others = optuna.create_study(sampler=plain)
    others.optimize(rare_space, n_trials=3)
    assert [t.user_attrs["zerocost:candidates"] for t in study.trials] == [6, 6, 6]
    assert [t.user_attrs["zerocost:candidates"] for t in others.trials] == [1, 1, 1]
    assert sum(t.value or 0 for t in study.trials) < sum(t.value or 0 for t in others.trials)


def test_what_is_measured_does_not_rank_unless_asked() -> None:
    """One score beside the measured cost is the only score there is."""

    def score(trial: Any) -> dict[str, float]:
        return {"thin": -float(rare_space(trial))}

    sampler = ZeroCostSampler(
        limited(low=30, score=score), base_sampler=BASES["random"](), warmup=None, moves=8
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(rare_space, n_trials=2)
    assert all(
        t.user_attrs["zerocost:thin"] == -t.user_attrs["zerocost:cost"] for t in study.trials
    )


@pytest.mark.parametrize("base", ["tpe", "cmaes"])
def test_random_draws_help_a_base_sampler_that_looks_elsewhere(base: str) -> None:
    """All past trials and the optimum are far outside, so a model of them draws nothing within."""

    def space(trial: Any) -> float:
        return float(sum(trial.suggest_float(f"x{i}", 0, 1) for i in range(2)))

    sampler = ZeroCostSampler(
        limited(space, low=1.5, draws=200), base_sampler=BASES[base](), warmup=None, moves=2
    )
    study = optuna.create_study(sampler=sampler)
    for index in range(30):
        value = 1e-3 * index
        distribution = optuna.distributions.FloatDistribution(0, 1)
        study.add_trial(
            optuna.trial.create_trial(
                params={"x0": value, "x1": value},
                distributions={"x0": distribution, "x1": distribution},
                value=2 * value,
            )
        )
    study.optimize(space, n_trials=1)
    trial = study.trials[-1]
    assert trial.value is not None and trial.value >= 1.5
    assert trial.params["x0"] + trial.params["x1"] == trial.value


def searched(moves: Any, ranking: Any, base: str, *, low: float, trials: int) -> list[Any]:
    sampler = ZeroCostSampler(
        limited(low=low, score=depth_score),
        base_sampler=BASES[base](),
        ranking=ranking,
        warmup=Warmup(candidates=8, trials=3, show_progress_bar=False),
        moves=moves,
        seed=0,
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda trial: -rare_space(trial), n_trials=trials)
    assert all(-(trial.value or 0) >= low for trial in study.trials)
    return study.trials[3:]


@pytest.mark.parametrize("base", ["random", "evolution"])
def test_neighbours_and_mutations_stay_within(base: str) -> None:
    """The objective wants small costs, so the parents are at the limit, half their edits below."""
    trials = searched("neighbours", "depth", base, low=70, trials=9)
    shares = [trial.user_attrs["zerocost:feasible"] for trial in trials]
    assert all(0 < share < 1 for share in shares)
    assert {trial.user_attrs["zerocost:source"] for trial in trials} == {"move"}


def test_what_a_learned_ranking_adds_stays_within() -> None:
    sources = Sources(random=3, searched=4)
    trials = searched(2, Learned("total", sources=sources), "random", low=90, trials=14)
    considered = [trial.user_attrs["zerocost:candidates"] for trial in trials]
    # Drawn again until there are as many as asked for, 2 moves and 3 random ones; of those that
    # were searched for, as many as are within.
    assert max(considered) > 2 + 3
    assert all(trial.user_attrs["zerocost:feasible"] < 1 for trial in trials)


def test_a_parent_whose_neighbours_are_all_outside_leaves_it_to_the_base_sampler() -> None:
    def space(trial: Any) -> float:
        return float(trial.suggest_int("x", 0, 1) * 4 + trial.suggest_int("y", 0, 1))

    # Of (0, 0) and (1, 1) neither is a neighbour of the other.
    limits = Limits(custom={"distance": (lambda value: abs(value - 2.5), (2, 3))})
    sampler = ZeroCostSampler(
        LimitedScorer(space, limits),
        base_sampler=RandomSampler(seed=0),
        warmup=None,
        moves="neighbours",
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(space, n_trials=2)
    assert sorted(trial.value or 0 for trial in study.trials) == [0, 5]


def test_a_resumed_search_measures_nothing_that_is_stored(tmp_path: pathlib.Path) -> None:
    """Every architecture of a small space is measured in the first run, and none in the second."""
    storage = f"sqlite:///{tmp_path}/study.db"
    measured: list[float] = []

    def space(trial: Any) -> float:
        return float(trial.suggest_int("x", 0, 2) + 3 * trial.suggest_int("y", 0, 1))

    def measure(value: float) -> float:
        measured.append(value)
        return value

    def run(values: list[Any], trials: int) -> optuna.Study:
        limits = Limits(custom={"cost": (measure, 3)}, draws=50)
        sampler = ZeroCostSampler(
            LimitedScorer(space, limits), base_sampler=RandomSampler(seed=len(values)), warmup=None
        )
        study = optuna.create_study(
            study_name="s", storage=storage, sampler=sampler, load_if_exists=True
        )
        for x, y in values:
            study.enqueue_trial({"x": x, "y": y})
        study.optimize(space, n_trials=trials)
        return study

    run([(x, y) for y in range(2) for x in range(3)], 6)
    assert sorted(measured) == [0, 1, 2, 3, 4, 5]
    measured.clear()
    study = run([], 3)
    assert measured == []
    assert all((trial.value or 0) <= 3 for trial in study.trials[6:])
    assert all("zerocost:violation" not in trial.user_attrs for trial in study.trials[6:])


def test_trials_from_before_the_limits_are_judged_by_them() -> None:
    """What a study evaluated without limits is no reason to evaluate it again."""

    def space(trial: Any) -> float:
        return float(trial.suggest_int("x", 0, 9))

    study = optuna.create_study(sampler=RandomSampler(seed=0))
    for x in range(9):
        study.enqueue_trial({"x": x})
    study.optimize(space, n_trials=9)
    for low, expected in ((5, {9}), (9, {9}), (3, set(range(3, 10)))):
        sampler = ZeroCostSampler(
            limited(space, low=low), base_sampler=RandomSampler(seed=0), warmup=None, moves=40
        )
        study.sampler = sampler
        study.optimize(space, n_trials=1)
        assert study.trials[-1].value in expected


def test_random_draws_that_take_over_are_told() -> None:
    def space(trial: Any) -> float:
        return float(trial.suggest_float("x", 0, 1))

    class Narrow(RandomSampler):
        """Never suggests more than a half."""

        def sample_independent(self, *args: Any) -> Any:
            return super().sample_independent(*args) / 2

    scorer = limited(space, low=0.6, draws=100)
    sampler = ZeroCostSampler(scorer, base_sampler=Narrow(seed=0), warmup=None, moves=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(space, n_trials=2)
    for trial in study.trials:
        assert (trial.value or 0) >= 0.6
        assert trial.user_attrs["zerocost:origin"] == "random"
        assert trial.user_attrs["zerocost:source"] == "move"
        assert trial.user_attrs["zerocost:rejected"] >= 25
