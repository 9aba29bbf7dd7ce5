"""Searches: kept when done, alike in any number of processes, and what is said of them."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, RandomSampler

from zerocost_bench import nasbench201
from zerocost_bench.algorithms import MODES, ZeroCost, arms
from zerocost_bench.curves import GAPS, best_so_far, summarise, trained_until
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.measurement import Measurement, measure
from zerocost_bench.nasbench201 import BENCHMARK
from zerocost_bench.searches import Arm, Search, run_searches

COUNT = len(nasbench201.architectures())
OBJECTIVE = np.random.default_rng(0).normal(90, 1, COUNT)
TRIALS = 12


@pytest.fixture(scope="module")
def zero_cost(tmp_path_factory: Any) -> ZeroCost:
    file = tmp_path_factory.mktemp("scores") / "scores.npz"
    measure(Measurement(BENCHMARK, ("params", "flops")), file)
    return ZeroCost(BENCHMARK, ("params",), str(file), candidates=40, warmup_trials=4, moves=4)


def searched(folder: Path, chosen: Any, seeds: Any = (0, 1, 2), jobs: int = 1) -> list[Search]:
    return run_searches(
        BENCHMARK,
        chosen,
        {"cifar10": OBJECTIVE},
        metric="validation",
        seeds=seeds,
        trials=TRIALS,
        folder=folder,
        jobs=jobs,
    )


def networks(searches: list[Search]) -> dict[tuple[str, int], list[int]]:
    return {(search.label, search.seed): search.trained.tolist() for search in searches}


def killed_at(seed: int, file: Path, at: int) -> BaseSampler:
    if seed == at and not file.exists():
        file.touch()
        raise KeyboardInterrupt
    return RandomSampler(seed=seed)


def test_a_killed_comparison_goes_on(tmp_path: Path) -> None:
    flag = tmp_path / "killed"
    arm = Arm("random", {}, functools.partial(killed_at, file=flag, at=1))
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "resumed", [arm])
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "resumed").iterdir()}
    assert len(done) == 1
    resumed = searched(tmp_path / "resumed", [arm])
    assert all(path.stat().st_mtime_ns == time for path, time in done.items())
    at_once = searched(tmp_path / "at once", [arm])
    assert networks(resumed) == networks(at_once)
    names = [sorted(p.name for p in (tmp_path / n).iterdir()) for n in ("resumed", "at once")]
    assert names[0] == names[1] and len(names[0]) == 3


def test_processes_do_not_change_a_search(tmp_path: Path, zero_cost: ZeroCost) -> None:
    chosen = arms(["random"], MODES, zero_cost)
    in_one = searched(tmp_path / "one", chosen, seeds=(0, 1))
    in_two = searched(tmp_path / "two", chosen, seeds=(0, 1), jobs=2)
    assert networks(in_one) == networks(in_two)
    assert len(networks(in_one)) == 2 * len(MODES)
    # Everything is there, so nothing is searched: no sampler is made.
    broken = [Arm(arm.label, arm.settings, _no_sampler) for arm in chosen]
    assert networks(searched(tmp_path / "one", broken, seeds=(1, 0))) == networks(in_one)


def _no_sampler(seed: int) -> BaseSampler:
    raise AssertionError(f"seed {seed} was searched again")


def test_a_warmup_trains_the_best_of_its_pool_first(tmp_path: Path, zero_cost: ZeroCost) -> None:
    searches = searched(tmp_path, arms(["random"], ["warmup", "both"], zero_cost))
    params = zero_cost.table()._columns["params"]
    for search in searches:
        first = params[search.trained[: zero_cost.warmup_trials]]
        assert (np.diff(first) <= 0).all()
        assert len(set(search.trained[: zero_cost.warmup_trials])) == zero_cost.warmup_trials
    warm = [s for s in searches if s.label == "random + warmup"]
    both = [s for s in searches if s.label == "random + warmup + move"]
    for one, other in zip(warm, both, strict=True):  # one pool for one seed
        assert (one.trained[:4] == other.trained[:4]).all()
        assert (one.trained != other.trained).any()


@pytest.mark.parametrize("algorithm", ["evolution", "reinforce", "tpe", "predictor"])
def test_every_algorithm_searches(tmp_path: Path, zero_cost: ZeroCost, algorithm: str) -> None:
    """With moves a search does not repeat itself."""
    settings = dataclasses.replace(zero_cost, moves=None)
    for search in searched(tmp_path, arms([algorithm], ["base", "both"], settings), seeds=(7,)):
        assert len(search.trained) == TRIALS
        if search.label != algorithm:
            assert len(set(search.trained)) == TRIALS


def test_other_settings_are_other_searches(zero_cost: ZeroCost) -> None:
    def identities(**changes: Any) -> dict[str, str]:
        chosen = arms(["random"], MODES, dataclasses.replace(zero_cost, **changes))
        return {arm.label: json.dumps(dict(arm.settings)) for arm in chosen}

    same = identities()
    assert len(set(same.values())) == len(MODES)
    affected: dict[str, tuple[Any, set[str]]] = {
        "moves": (5, {"move", "both"}),
        "random_share": (0.5, {"move", "both"}),
        "candidates": (41, {"warmup", "both"}),
        "warmup_trials": (5, {"warmup", "both"}),
        "proxies": (("flops",), {"warmup", "move", "both"}),
    }
    for name, (value, modes) in affected.items():
        changed = identities(**{name: value})
        labels = dict(zip(MODES, same, strict=True))
        assert {mode for mode in MODES if changed[labels[mode]] != same[labels[mode]]} == modes


def test_a_file_that_is_broken_is_named(tmp_path: Path) -> None:
    arm = Arm("random", {}, _random)
    searched(tmp_path, [arm], seeds=(3,))
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    with pytest.raises(BenchmarkError, match=rf"{file.name}.*remove it"):
        searched(tmp_path, [arm], seeds=(3,))


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"candidates": 3}, "cannot be the best of 3"),
        ({"moves": 1}, "nothing to choose"),
        ({"random_share": 1.5}, "not between 0 and 1"),
        ({"combine": "mean"}, "known are vote, ranksum"),
        ({"proxies": ("unknown",)}, "at least one of"),
        ({"scores": "absent.npz"}, "bench scores"),
    ],
)
def test_what_cannot_be_used(zero_cost: ZeroCost, arguments: Any, named: str) -> None:
    with pytest.raises(BenchmarkError, match=named):
        dataclasses.replace(zero_cost, **arguments)


def test_names_that_are_not_there(zero_cost: ZeroCost) -> None:
    with pytest.raises(BenchmarkError, match="no algorithm is called annealing; known are random"):
        arms(["annealing"], MODES, zero_cost)
    with pytest.raises(BenchmarkError, match="no mode is called cold; known are base"):
        arms(["random"], ["cold"], zero_cost)
    with pytest.raises(BenchmarkError, match="no algorithm is called nothing"):
        arms([], MODES, zero_cost)


# Curves

SMALL = np.array([90.0, 92.0, 92.0, 91.6, 91.95, 80.0])
TRAINED = st.lists(st.integers(0, 5), min_size=1, max_size=20).map(np.array)


@given(TRAINED)
def test_best_so_far(trained: Any) -> None:
    best = best_so_far(trained, SMALL)
    for count in range(1, len(trained) + 1):
        past = list(trained[:count])
        first_of_best = next(n for n in past if SMALL[n] == max(SMALL[past]))
        assert best[count - 1] == first_of_best


@given(TRAINED, st.sampled_from(GAPS))
def test_trained_until(trained: Any, gap: float) -> None:
    found = [count for count, n in enumerate(trained, 1) if SMALL.max() - SMALL[n] <= gap]
    assert trained_until(trained, SMALL, gap) == (found[0] if found else math.inf)


def test_a_curve_is_the_median_of_its_searches() -> None:
    base = [[5, 0, 5, 3], [0, 0, 4, 1], [5, 5, 5, 0]]
    fast = [[3, 1, 0, 0], [4, 0, 0, 0], [2, 0, 0, 0]]
    searches = [
        Search(label, "cifar10", seed, np.array(trained), 0.004)
        for label, group in (("random", base), ("random + move", fast))
        for seed, trained in enumerate(group)
    ]
    test = SMALL - 1
    slow, quick = summarise(searches, {"cifar10": SMALL}, {"cifar10": test})
    assert (slow.label, slow.seeds, quick.label) == ("random", 3, "random + move")
    assert slow.best.median.tolist() == [80.0, 90.0, 90.0, 91.6]
    assert slow.test is not None and slow.test.median.tolist() == [79.0, 89.0, 89.0, 90.6]
    assert slow.needed[0.5][1] == 4 and slow.needed[0.1][1] == math.inf
    assert quick.needed[0.5] == (1, 1, 1) and quick.needed[0.1] == (1, 1, 2)
    assert quick.speedup(slow, 0.5) == 4
    assert quick.speedup(slow, 0.1) == math.inf
    assert math.isnan(slow.speedup(slow, 0.1))
    assert slow.milliseconds == pytest.approx(1)
