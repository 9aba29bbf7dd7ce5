"""Aging evolution: who may be a parent, what a mutation is, and that the history decides."""

from __future__ import annotations

import math
import pathlib
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from optuna_zerocost import AgingEvolutionSampler, Warmup, ZeroCostSampler
from tests.spaces import OPERATIONS, SPACES, size_scorer

POPULATION = 6

# Wide enough that a parent's mutations are never all evaluated.
WIDE = {f"p{i}": CategoricalDistribution(list(range(4))) for i in range(6)}


def parent_of(study: optuna.Study, trial: FrozenTrial) -> FrozenTrial | None:
    number = trial.system_attrs.get("zerocost:parent")
    return None if number is None else study.trials[number]


def differing(trial: FrozenTrial, parent: FrozenTrial) -> list[str]:
    """Names that both have, with different values."""
    return [name for name in trial.params if trial.params[name] != parent.params.get(name, trial)]


def wide_trial(number: int, **arguments: Any) -> FrozenTrial:
    """A finished trial whose parameters are the digits of its number."""
    params = {name: number // 4**i % 4 for i, name in enumerate(WIDE)}
    return create_trial(params=params, distributions=dict(WIDE), **arguments)


def study_of(trials: Sequence[FrozenTrial], **arguments: Any) -> optuna.Study:
    study = optuna.create_study(**arguments)
    study.add_trials(trials)
    return study


def parents_in(
    study: optuna.Study, *, tournament: int, seeds: int, population: int = POPULATION
) -> Counter[int]:
    """How often each trial is the parent of the next one, over seeds."""
    counts: Counter[int] = Counter()
    following = study._storage.get_trial(study._storage.create_new_trial(study._study_id))
    for seed in range(seeds):
        sampler = AgingEvolutionSampler(population, tournament, seed=seed)
        parent = sampler.parent_of(study, following)
        assert parent is not None
        counts[parent.number] += 1
    return counts


def check_frequencies(counts: Counter[int], expected: dict[int, float]) -> None:
    total = sum(counts.values())
    assert set(counts) <= set(expected)
    for number, probability in expected.items():
        error = math.sqrt(probability * (1 - probability) / total)
        assert abs(counts[number] / total - probability) <= 5 * error


@pytest.mark.parametrize("space", SPACES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_a_child_is_its_parent_but_for_one_edit_and_what_follows_from_it(
    space: str, seed: int
) -> None:
    sampler = AgingEvolutionSampler(POPULATION, 3, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(SPACES[space], n_trials=POPULATION + 8)
    for trial in study.trials:
        parent = parent_of(study, trial)
        if parent is None:
            assert trial.number < POPULATION
            continue
        assert trial.number - POPULATION <= parent.number < trial.number
        new = set(trial.params) - set(parent.params)
        edited = [name for name in differing(trial, parent) if name not in new]
        moved_out = [
            name for name in edited if trial.distributions[name] != parent.distributions[name]
        ]
        # An edited parameter may be one that the child no longer has, or not kept its range.
        assert len(edited) - len(moved_out) <= 1
        if space in ("static", "numeric"):
            assert len(edited) == 1
            assert trial.params.keys() == parent.params.keys()
        elif edited == [] or space == "dynamic":
            assert len(edited) <= 2
        if new or set(parent.params) - set(trial.params):
            assert set(edited) & {"depth", "norm"}


@given(
    values=st.permutations(range(20)),
    maximize=st.booleans(),
    population=st.integers(1, 15),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_a_tournament_of_all_is_won_by_the_best_of_the_last(
    values: list[int], maximize: bool, population: int, seed: int
) -> None:
    study = study_of(
        [wide_trial(number, value=value) for number, value in enumerate(values)],
        direction="maximize" if maximize else "minimize",
    )
    last = list(enumerate(values))[-population:]
    best = (max if maximize else min)(last, key=lambda pair: pair[1])[0]
    counts = parents_in(study, population=population, tournament=population, seeds=2)
    assert set(counts) == {best}


@pytest.mark.parametrize("tournament", [1, 3, 5])
def test_the_winner_has_the_rank_that_drawing_without_replacement_gives(tournament: int) -> None:
    study = study_of([wide_trial(number, value=number) for number in range(9)])
    counts = parents_in(study, tournament=tournament, seeds=1500)
    # The best is 3, the oldest that is alive. It takes part in a share of k/n of the tournaments;
    # of the others the next one wins, and so on.
    ways = math.comb(POPULATION, tournament)
    check_frequencies(
        counts,
        {
            9 - POPULATION + rank: math.comb(POPULATION - rank - 1, tournament - 1) / ways
            for rank in range(POPULATION - tournament + 1)
        },
    )


def test_every_edit_is_as_likely_as_parameter_and_value_say() -> None:
    distributions: dict[str, BaseDistribution] = {
        "two": CategoricalDistribution(["a", "b"]),
        "five": CategoricalDistribution([0, 1, 2, 3, 4]),
        "one": CategoricalDistribution(["only"]),
    }
    study = study_of(
        [
            create_trial(
                value=0.0,
                params={"two": "a", "five": 2, "one": "only"},
                distributions=distributions,
            )
        ]
    )
    following = study._storage.get_trial(study._storage.create_new_trial(study._study_id))
    counts: Counter[int] = Counter()
    for seed in range(1500):
        sampler = AgingEvolutionSampler(1, 1, seed=seed)
        space = sampler.infer_relative_search_space(study, following)
        params = sampler.sample_relative(study, following, space)
        assert set(params) == {"two", "five"}
        assert (params["two"] == "b") != (params["five"] != 2)
        counts[-1 if params["two"] == "b" else params["five"]] += 1
    check_frequencies(counts, {-1: 1 / 2, 0: 1 / 8, 1: 1 / 8, 3: 1 / 8, 4: 1 / 8})


def test_random_until_the_population_is_full_of_finished_trials() -> None:
    sampler = AgingEvolutionSampler(3, 2, seed=0)
    study = optuna.create_study(sampler=sampler)
    running = study.ask()
    SPACES["static"](running)
    for state in (TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        trial = study.ask()
        value = SPACES["static"](trial)
        study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
    assert SPACES["static"](study.ask()) >= 0  # two have finished
    study.tell(running, 1.0)
    SPACES["static"](study.ask())  # three have
    parents = [parent_of(study, trial) for trial in study.trials]
    assert parents[:-1] == [None] * 6
    assert parents[-1] is not None and parents[-1].state != TrialState.FAIL


def test_failed_trials_are_no_parents_and_do_not_make_others_die() -> None:
    trials = [wide_trial(number, value=number) for number in range(POPULATION)]
    failed = [
        wide_trial(POPULATION + number, state=TrialState.FAIL) for number in range(2 * POPULATION)
    ]
    counts = parents_in(study_of([*trials, *failed]), tournament=1, seeds=300)
    assert set(counts) == set(range(POPULATION))


def test_pruned_trials_lose_to_complete_ones_and_among_them_the_shorter_loses() -> None:
    def pruned(number: int, steps: int, value: float) -> FrozenTrial:
        intermediate = dict.fromkeys(range(1, steps + 1), value)
        return wide_trial(
            number, state=TrialState.PRUNED, value=value, intermediate_values=intermediate
        )

    short, long, better = pruned(0, 1, 0.0), pruned(1, 3, 2.0), pruned(2, 3, 1.0)
    complete = wide_trial(3, value=1e9)
    for trials, best in (
        ([short, long, better, complete], 3),
        ([short, long, better], 2),
        ([short, long], 1),
    ):
        size = len(trials)
        counts = parents_in(study_of(trials), population=size, tournament=size, seeds=3)
        assert set(counts) == {best}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_pruned_trial_without_a_value_loses(direction: str) -> None:
    steps = {"intermediate_values": {1: math.nan}, "state": TrialState.PRUNED}
    values = [None, -5.0 if direction == "maximize" else 5.0, None]
    trials = [wide_trial(number, value=value, **steps) for number, value in enumerate(values)]
    study = study_of(trials, direction=direction)
    assert set(parents_in(study, population=3, tournament=3, seeds=20)) == {1}


@given(
    values=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=6, max_size=6),
)
@settings(max_examples=25)
def test_with_several_objectives_optunas_best_trials_win(values: list[tuple[int, int]]) -> None:
    trials = [wide_trial(number, values=pair) for number, pair in enumerate(values)]
    study = study_of(trials, directions=["minimize", "maximize"])
    best = {trial.number for trial in study.best_trials}
    counts = parents_in(study, tournament=POPULATION, seeds=60)
    assert set(counts) == best


def test_the_least_violation_of_constraints_wins() -> None:
    violations = [[3.0, -9.0], [1.0, 1.0], [0.5, 1.0], [2.5, 0.0]]
    trials = [
        wide_trial(number, value=float(number), system_attrs={"constraints": violation})
        for number, violation in enumerate(violations)
    ]
    study = study_of(trials, direction="maximize")
    assert set(parents_in(study, population=4, tournament=4, seeds=3)) == {2}
    feasible = wide_trial(4, value=-1.0, system_attrs={"constraints": [0.0, -1.0]})
    study = study_of([*trials[1:], feasible], direction="maximize")
    assert set(parents_in(study, population=4, tournament=4, seeds=3)) == {3}


@pytest.mark.parametrize("space", ["static", "conditional"])
def test_nothing_is_evaluated_twice_while_the_parent_has_other_mutations(space: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        # Flat: every edit of the one parent that there ever is comes up.
        SPACES[space](trial)
        return float(trial.number)

    sampler = AgingEvolutionSampler(1, 1, seed=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=60 if space == "conditional" else 27)
    seen: list[dict[str, Any]] = []
    for trial in study.trials:
        parent = parent_of(study, trial)
        if trial.params in seen:
            # One of the random values that followed an edit; or else all neighbours were known.
            assert parent is not None
            if set(trial.params) <= set(parent.params):
                assert space == "static"
                neighbours = [
                    {**parent.params, name: operation}
                    for name in parent.params
                    for operation in OPERATIONS
                ]
                assert all(neighbour in seen for neighbour in neighbours)
        seen.append(trial.params)


def test_a_parent_without_new_mutations_gives_way_to_another_one() -> None:
    """The best has all its neighbours evaluated, but they are too old to be in the population."""
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution([0, 1]) for name in ("a", "b", "c")
    }

    def finished(a: int, b: int, c: int, value: float) -> FrozenTrial:
        return create_trial(
            value=value, params={"a": a, "b": b, "c": c}, distributions=distributions
        )

    old = [finished(1, 0, 0, 9.0), finished(0, 1, 0, 9.0), finished(0, 0, 1, 9.0)]
    alive = [finished(0, 0, 0, 0.0), finished(1, 1, 1, 5.0)]
    study = study_of([*old, *alive])
    assert set(parents_in(study, population=2, tournament=2, seeds=10)) == {4}


def test_an_exhausted_space_goes_on() -> None:
    sampler = AgingEvolutionSampler(3, 2, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_int("depth", 1, 4), n_trials=20)
    assert {trial.params["depth"] for trial in study.trials} == {1, 2, 3, 4}
    assert all(parent_of(study, trial) is not None for trial in study.trials[3:])


def test_enqueued_values_are_kept_and_another_parameter_is_edited() -> None:
    sampler = AgingEvolutionSampler(POPULATION, 2, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(SPACES["static"], n_trials=POPULATION)
    for operation in OPERATIONS:
        study.enqueue_trial({"op1": operation})
    study.optimize(SPACES["static"], n_trials=3)
    for trial, operation in zip(study.trials[POPULATION:], OPERATIONS, strict=True):
        assert trial.params["op1"] == operation
        parent = parent_of(study, trial)
        assert parent is not None
        assert len(set(differing(trial, parent)) - {"op1"}) == 1


def test_draws_for_one_trial_have_one_parent_and_differ() -> None:
    """24 moves of 18 neighbours: all neighbours of the one parent, then repeats."""
    asked: list[dict[str, Any]] = []

    def scorer(trial: Any) -> dict[str, float]:
        params = {name: trial.suggest_categorical(name, d.choices) for name, d in WIDE.items()}
        asked.append(params)
        return {"sum": float(sum(params.values()))}

    trials = [wide_trial(number, value=number) for number in range(POPULATION)]
    sampler = ZeroCostSampler(
        scorer, base_sampler=AgingEvolutionSampler(POPULATION, 2), warmup=None, moves=24
    )
    study = study_of(trials, sampler=sampler)
    study.optimize(lambda trial: scorer(trial)["sum"], n_trials=1)
    parent = parent_of(study, study.trials[-1])
    assert parent is not None
    drawn = asked[:24]
    for params in drawn:
        assert sum(params[name] != parent.params[name] for name in params) == 1
    known = [trial.params for trial in trials]
    assert len({str(params) for params in drawn if params not in known}) == 18 - sum(
        sum(params[name] != parent.params[name] for name in params) == 1 for params in known
    )


def test_under_zerocost_the_other_parameters_have_an_edit_of_their_own() -> None:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        return SPACES["static"](trial) + rate

    sampler = ZeroCostSampler(
        size_scorer(SPACES["static"]),
        base_sampler=AgingEvolutionSampler(POPULATION, 2, seed=0),
        ranking="size",
        warmup=Warmup(candidates=POPULATION, trials=3),
        moves=3,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=POPULATION + 6)
    children = [trial for trial in study.trials if parent_of(study, trial) is not None]
    assert len(children) >= 6
    for trial in children:
        parent = parent_of(study, trial)
        assert parent is not None
        edited = differing(trial, parent)
        assert "rate" in edited and len(edited) == 2


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("stop", [3, 8, 11])
@pytest.mark.parametrize("space", ["conditional", "numeric"])
def test_a_resumed_study_is_the_uninterrupted_one(space: str, stop: int, wrapped: bool) -> None:
    def sampler() -> optuna.samplers.BaseSampler:
        evolution = AgingEvolutionSampler(POPULATION, 2, seed=7)
        if not wrapped:
            return evolution
        return ZeroCostSampler(
            size_scorer(SPACES[space]),
            base_sampler=evolution,
            warmup=Warmup(candidates=20, trials=4),
            moves=4,
            seed=1,
        )

    arguments: dict[str, Any] = {"study_name": "s", "direction": "maximize"}
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, sampler=sampler(), **arguments)
    study.optimize(SPACES[space], n_trials=stop)
    resumed = optuna.load_study(study_name="s", storage=storage, sampler=sampler())
    resumed.optimize(SPACES[space], n_trials=14 - stop)
    whole = optuna.create_study(sampler=sampler(), **arguments)
    whole.optimize(SPACES[space], n_trials=14)
    assert [t.params for t in resumed.trials] == [t.params for t in whole.trials]
    assert sum(parent_of(whole, trial) is not None for trial in whole.trials) == 14 - POPULATION


def test_a_pickled_sampler_goes_on_as_the_original() -> None:
    sampler = AgingEvolutionSampler(POPULATION, 2)
    study = optuna.create_study(sampler=sampler)
    study.optimize(SPACES["conditional"], n_trials=POPULATION + 1)
    SPACES["conditional"](study.ask())  # pickled in the middle of a trial
    copy = optuna.create_study(sampler=pickle.loads(pickle.dumps(sampler)))
    copy.add_trials(study.trials)
    for _ in range(4):
        for each in (study, copy):
            each.optimize(SPACES["conditional"], n_trials=1)
    assert [t.params for t in study.trials] == [t.params for t in copy.trials]


def test_reseeding_changes_the_draws() -> None:
    def first_trials(sampler: AgingEvolutionSampler) -> list[Any]:
        study = optuna.create_study(sampler=sampler)
        study.optimize(SPACES["numeric"], n_trials=2)
        return [trial.params for trial in study.trials]

    sampler = AgingEvolutionSampler(seed=0)
    before = first_trials(sampler)
    assert first_trials(sampler) == before
    sampler.reseed_rng()
    assert first_trials(sampler) != before


WORKER = """
import sys
import optuna
from optuna_zerocost import AgingEvolutionSampler
from tests.spaces import SPACES

study = optuna.load_study(
    study_name="s", storage=sys.argv[1], sampler=AgingEvolutionSampler(6, 2, seed=0)
)
study.optimize(SPACES["conditional"], n_trials=15)
"""


def test_two_processes_share_one_population(tmp_path: pathlib.Path) -> None:
    """The same seed in both; still no trial is lost, and each child has a parent of its time."""
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
    root = pathlib.Path(__file__).parents[2]
    workers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", WORKER, storage], cwd=root)
        for _ in range(2)
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 30
    children = [trial for trial in study.trials if parent_of(study, trial) is not None]
    assert len(children) >= 30 - POPULATION - 1
    for trial in children:
        parent = parent_of(study, trial)
        assert parent is not None and parent.datetime_complete < trial.datetime_complete
        common = set(trial.params) & set(parent.params)
        assert sum(trial.params[name] != parent.params[name] for name in common) <= 1


@pytest.mark.parametrize("sizes", [(0, 0), (5, 6), (5, 0), (2.5, 1), (True, True)])
def test_sizes_that_cannot_be_are_refused(sizes: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="1 ≤ tournament_size ≤ population_size"):
        AgingEvolutionSampler(*sizes)
