"""What the wrapper leaves to the base sampler is exactly what the base sampler does alone."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, PartialFixedSampler

from optuna_zerocost import Warmup, ZeroCostSampler
from optuna_zerocost.samplers._generation import CandidateGeneration
from tests.spaces import BASES, SPACES, size_scorer

# Some of Optuna's samplers are experimental; that is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

TRIALS = 9  # more than the start-up trials of every base sampler here


def run(sampler: BaseSampler, space: str, *, learning_rate_first: bool | None) -> list[Any]:
    def objective(trial: optuna.Trial) -> float:
        if learning_rate_first is None:
            return SPACES[space](trial)
        if learning_rate_first:
            rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
            return SPACES[space](trial) - rate
        value = SPACES[space](trial)
        return value - trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)

    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=TRIALS)
    return [(trial.params, trial.values) for trial in study.trials]


@pytest.mark.parametrize("learning_rate_first", [True, False])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("base", BASES)
def test_one_move_without_warmup_is_the_bare_base_sampler(
    base: str, space: str, learning_rate_first: bool
) -> None:
    wrapped = ZeroCostSampler(
        size_scorer(SPACES[space]), base_sampler=BASES[base](), warmup=None, moves=1
    )
    assert run(wrapped, space, learning_rate_first=learning_rate_first) == run(
        BASES[base](), space, learning_rate_first=learning_rate_first
    )


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("base", BASES)
def test_drawing_one_candidate_changes_nothing(
    base: str, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with the machinery at work: drawn without a trial, buffered, handed over."""

    settle = CandidateGeneration._settle

    def settle_one(*args: Any, **options: Any) -> bool:
        return settle(*args, **{**options, "count": 1})

    monkeypatch.setattr(CandidateGeneration, "_settle", settle_one)
    # Evolution is told which parameters are the architecture, and edits the others separately.
    learning_rate_first = None if base == "evolution" else False
    wrapped = ZeroCostSampler(
        size_scorer(SPACES[space]),
        base_sampler=BASES[base](),
        warmup=None,
        ranking="size",
        moves=2,
    )
    assert run(wrapped, space, learning_rate_first=learning_rate_first) == run(
        BASES[base](), space, learning_rate_first=learning_rate_first
    )


@pytest.mark.parametrize("base", BASES)
def test_only_the_winner_leaves_traces_in_the_storage(base: str) -> None:
    """Whatever the base sampler stores with a trial, it stores as many keys as it does alone."""

    def system_keys(sampler: BaseSampler) -> list[set[str]]:
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: SPACES["numeric"](trial), n_trials=TRIALS)
        assert len(study.trials) == TRIALS
        return [
            {key for key in trial.system_attrs if not key.startswith("zerocost:")}
            for trial in study.trials
        ]

    wrapped = ZeroCostSampler(
        size_scorer(SPACES["numeric"]),
        base_sampler=BASES[base](),
        warmup=None,
        ranking="size",
        moves=3,
    )
    assert system_keys(wrapped) == system_keys(BASES[base]())


def test_partial_fixed_sampler_inside_is_honoured_in_warmup_and_moves() -> None:
    fixed = PartialFixedSampler({"depth": 2}, BASES["tpe"]())
    sampler = ZeroCostSampler(
        size_scorer(SPACES["conditional"]),
        base_sampler=fixed,
        warmup=Warmup(candidates=20, trials=3),
        ranking="size",
        moves=10,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(SPACES["conditional"], n_trials=6)
    assert {trial.params["depth"] for trial in study.trials} == {2}
    sources = [trial.user_attrs["zerocost:source"] for trial in study.trials]
    assert sources[:3] == ["warmup"] * 3 and "move" in sources


def test_grid_sampler_passes_through() -> None:
    grid = {"x": [-0.5, 0.5], "y": [0.1], "n": [1, 3]}
    sampler = ZeroCostSampler(
        size_scorer(SPACES["numeric"]),
        base_sampler=optuna.samplers.GridSampler(grid, seed=0),
        ranking="size",
        warmup=None,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(SPACES["numeric"], n_trials=10)
    points = {(trial.params["x"], trial.params["n"]) for trial in study.trials}
    assert len(study.trials) == 4
    assert points == {(x, n) for x in grid["x"] for n in grid["n"]}
