"""Scores that were measured before: what is in the package, how it is made, how it is used."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import FixedTrial
from scipy.stats import spearmanr

from benchmarks.tests.shared import shared
from optuna_zerocost import ModelScorer, RankSum, Warmup, ZeroCostSampler
from zerocost_bench import measurement as measuring
from zerocost_bench import nasbench201
from zerocost_bench.failure import BenchmarkError
from zerocost_bench.measurement import Measurement, measure, measure_networks
from zerocost_bench.nasbench201 import BENCHMARK
from zerocost_bench.score_table import MeasuredScores

WHOLE = ("synflow", "logsynflow", "params", "flops", "l2_norm")
ALL = nasbench201.architectures()


@pytest.fixture(scope="module")
def scores() -> MeasuredScores:
    return BENCHMARK.load_scores()


def recomputed(scores: MeasuredScores, name: str, **changes: Any) -> Measurement:
    """Return the measurement that made a score, of all that were measured with it."""
    known = {field.name for field in dataclasses.fields(Measurement)} - {"benchmark", "options"}
    settings = {k: v for k, v in scores.about[name]["settings"].items() if k in known} | changes
    return Measurement(BENCHMARK, **{**settings, "proxies": tuple(settings["proxies"])})


def assert_same(column: Any, again: Any) -> None:
    # Another release of torch, or another processor, may round otherwise.
    assert np.allclose(column, again, rtol=1e-4, atol=1e-12, equal_nan=True)


def test_every_network_has_the_scores_that_need_no_images(scores: Any) -> None:
    for name in WHOLE:
        assert np.isfinite(scores[name]).all()
        assert scores[name].shape == (len(ALL),)


def test_the_scores_that_need_images_were_measured_on_the_same_thousand(scores: Any) -> None:
    sampled = [name for name in scores if name not in WHOLE]
    assert {"grad_norm", "snip", "fisher", "jacob_cov", "plain", "naswot"} <= set(sampled)
    expected = recomputed(scores, "snip").indices()
    assert len(expected) >= 1000
    for name in sampled:
        assert np.flatnonzero(scores.measured[name]).tolist() == expected
        assert np.isnan(scores[name][~scores.measured[name]]).all()


def test_scores_are_recomputed(scores: Any) -> None:
    sample = np.random.default_rng(20).integers(len(ALL), size=4)
    for name, values in measure_networks(recomputed(scores, "synflow"), sample).items():
        if name != "seconds":
            assert_same(scores[name][sample], values)


def test_scores_from_images_are_recomputed(scores: Any) -> None:
    about = scores.about["snip"]
    assert about["settings"]["images"]["name"] == "cifar10_1000.npz"
    measurement = recomputed(scores, "snip", images=str(shared("cifar10_1000.npz")))
    assert measurement.about()["settings"]["images"] == about["settings"]["images"]
    sample = measurement.indices()[-2:]
    for name, values in measure_networks(measurement, sample).items():
        if name != "seconds":
            assert_same(scores[name][sample], values)


def test_what_is_counted_is_what_the_proxies_count(scores: Any) -> None:
    for index in np.random.default_rng(21).integers(len(ALL), size=3):
        network = nasbench201.build_network(ALL[index], affine=False)
        scorer = ModelScorer(lambda _, n=network: n, (torch.ones(1, 3, 32, 32), None), WHOLE[2:4])
        assert scorer(FixedTrial({})) == {name: scores[name][index] for name in WHOLE[2:4]}


def test_another_measurement_orders_the_networks_alike(scores: Any) -> None:
    with np.load(shared("nasbench201_synflow.npz")) as data:
        other = data["synflow"]
    with np.load(shared("nasbench201_accuracies.npz")) as data:
        order = data["ops"].astype(int) @ 5 ** np.arange(6)[::-1]
    assert spearmanr(scores["synflow"][order], other).statistic > 0.98


def test_a_score_depends_on_architecture_and_settings_alone() -> None:
    measurement = Measurement(BENCHMARK, ("synflow", "l2_norm"))
    indices = [4321, 9999, 777]
    there = measure_networks(measurement, indices)
    torch.manual_seed(5)
    measuring._cached_scorer.cache_clear()
    back = measure_networks(measurement, indices[::-1])
    for name in measurement.proxies:
        assert there[name].tobytes() == back[name][::-1].copy().tobytes()
    reseeded = measure_networks(Measurement(BENCHMARK, ("synflow",), seed=1), indices)
    assert (reseeded["synflow"] != there["synflow"]).all()


def test_fewer_networks_are_a_part_of_more() -> None:
    few, more = (
        Measurement(BENCHMARK, ("params",), networks).indices() for networks in (100, 1000)
    )
    assert len(few) == 100 and set(few) < set(more) and sorted(more) == more
    other = Measurement(BENCHMARK, ("params",), 100, sample_seed=1).indices()
    assert set(other) != set(few)
    assert Measurement(BENCHMARK, ("params",)).indices() == list(range(len(ALL)))


class _Killed(BaseException):
    pass


def test_an_interrupted_measurement_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    measurement = Measurement(BENCHMARK, ("params", "flops"), 120)
    measure(measurement, tmp_path / "at once.npz")
    measured: list[list[int]] = []
    real = measuring.measure_networks

    def killed_at_third(measurement: Measurement, indices: Any) -> Any:
        if len(measured) == 2:
            raise _Killed
        measured.append(list(indices))
        return real(measurement, indices)

    with monkeypatch.context() as patched:
        patched.setattr(measuring, "measure_networks", killed_at_third)
        with pytest.raises(_Killed):
            measure(measurement, tmp_path / "resumed.npz")
    assert not (tmp_path / "resumed.npz").exists()

    def counted(measurement: Measurement, indices: Any) -> Any:
        measured.append(list(indices))
        return real(measurement, indices)

    monkeypatch.setattr(measuring, "measure_networks", counted)
    measure(measurement, tmp_path / "resumed.npz")
    assert sorted(sum(measured, [])) == measurement.indices()  # nothing twice
    at_once, resumed = (
        BENCHMARK.load_scores(tmp_path / f"{name}.npz") for name in ("at once", "resumed")
    )
    assert set(at_once) == set(resumed) == {"params", "flops"}
    for name in at_once:
        assert at_once[name].tobytes() == resumed[name].tobytes()
        assert at_once.about[name] == resumed.about[name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at once.npz", "resumed.npz"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"proxies": ("snip",)}, "--images"),
        ({"proxies": ()}, "name proxies"),
        ({"proxies": ("params", "params")}, "each once"),
        ({"proxies": ("synflw",)}, "did you mean 'synflow'"),
        ({"proxies": ("params",), "networks": 15626}, "there are 15625"),
    ],
)
def test_what_cannot_be_measured(arguments: Any, named: str) -> None:
    with pytest.raises(BenchmarkError, match=named):
        Measurement(BENCHMARK, **arguments)


def test_images_that_are_too_few(tmp_path: Path) -> None:
    file = tmp_path / "images.npz"
    np.savez(file, x=np.zeros((10, 32, 32, 3), np.uint8), y=np.zeros(10))
    with pytest.raises(BenchmarkError, match="smaller --batch-size"):
        measure(Measurement(BENCHMARK, ("snip",), 1, str(file)), tmp_path / "scores.npz")
    with pytest.raises(BenchmarkError, match="cannot read images"):
        measure(
            Measurement(BENCHMARK, ("snip",), 1, str(tmp_path / "none")),
            tmp_path / "scores.npz",
        )


def test_scores_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    measure(Measurement(BENCHMARK, ("params",), 1), tmp_path / "scores.npz")
    with pytest.raises(BenchmarkError, match="there already"):
        measure(Measurement(BENCHMARK, ("params",), 1), tmp_path / "scores.npz")


def test_files_that_hold_no_scores(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    whole = (tmp_path / "other.npz").read_bytes()
    array = (tmp_path / "array.npy").read_bytes()
    for content in (b"", b"nothing", whole, whole[:-40], array):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match="bench scores"):
            BENCHMARK.load_scores(tmp_path / "file")
    with pytest.raises(ValueError, match="bench scores"):
        BENCHMARK.load_scores(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"\[64\]|64"):
        BENCHMARK.load_scores(batch_size=63)


# A scorer over the scores


def test_a_table_scores_as_the_networks_do(scores: Any) -> None:
    names = ("l2_norm", "synflow")
    build = functools.partial(nasbench201.build_model, affine=False)
    model_scorer = ModelScorer(build, (torch.ones(1, 3, 32, 32), None), names)
    table = BENCHMARK.score_table(names)
    assert table.score_names == model_scorer.score_names
    assert table.score_directions == model_scorer.score_directions
    for index in np.random.default_rng(22).integers(len(ALL), size=3):
        trial = FixedTrial(nasbench201.parameters_of(ALL[index]))
        looked_up = table(trial)
        assert list(looked_up) == list(names)
        assert_same(list(looked_up.values()), list(model_scorer(trial).values()))


def test_a_search_on_stored_scores(scores: Any) -> None:
    table = BENCHMARK.score_table(["synflow", "l2_norm"])
    sampler = ZeroCostSampler(
        table,
        ranking=RankSum("synflow", "-l2_norm"),
        warmup=Warmup(candidates=100, trials=4),
        moves=4,
        seed=0,
    )
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: len(nasbench201.suggest_architecture(trial)), n_trials=6)
    for trial in study.trials:
        operations = nasbench201.suggest_architecture(FixedTrial(trial.params))
        index = nasbench201.architecture_index(operations)
        for name in table.score_names:
            assert trial.user_attrs[f"zerocost:{name}"] == scores[name][index]


def test_tables_are_told_apart(scores: Any, tmp_path: Path) -> None:
    measure(Measurement(BENCHMARK, ("params", "flops")), tmp_path / "scores.npz")
    other = BENCHMARK.load_scores(tmp_path / "scores.npz")
    tables = [
        BENCHMARK.score_table("params"),
        BENCHMARK.score_table(["flops"]),
        BENCHMARK.score_table(["params", "flops"]),
        BENCHMARK.score_table(["flops", "params"]),
    ]
    assert len({table.fingerprint for table in tables}) == len(tables)
    same = BENCHMARK.score_table(["params", "flops"], scores=other)
    assert same.fingerprint == tables[2].fingerprint


def test_scores_that_a_search_cannot_use(scores: Any) -> None:
    with pytest.raises(ValueError, match="1000 of the 15625.*'synflow'"):
        BENCHMARK.score_table(["synflow", "snip"])
    for wrong in ([], ["synflow", "synflow"], ["unknown"]):
        with pytest.raises(ValueError, match="at least one of"):
            BENCHMARK.score_table(wrong)


def test_an_undefined_score_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "scores.npz"
    measure(Measurement(BENCHMARK, ("params", "flops")), file)
    with np.load(file) as data:
        columns = dict(data)
    columns["params"][0] = columns["flops"][0] = columns["params"][1] = math.nan
    np.savez(file, **columns)
    table = BENCHMARK.score_table(["params", "flops"], scores=BENCHMARK.load_scores(file))
    assert list(table(FixedTrial(nasbench201.parameters_of(ALL[1])))) == ["flops"]
    with pytest.raises(ValueError, match="undefined"):
        table(FixedTrial(nasbench201.parameters_of(ALL[0])))


class _Unpickled:
    """Tells when it is unpickled, which is when code of a stranger's would have run."""

    ran = False

    def __reduce__(self) -> Any:
        return setattr, (_Unpickled, "ran", True)


def test_reading_scores_runs_no_code(tmp_path: Path) -> None:
    file = tmp_path / "scores.npz"
    np.savez(file, about=np.array([_Unpickled()], dtype=object))
    with pytest.raises(ValueError, match=r"scores\.npz"):
        BENCHMARK.load_scores(file)
    assert not _Unpickled.ran
    with np.load(file, allow_pickle=True) as data:
        data["about"]
    assert _Unpickled.ran  # or the file was harmless, and the test with it
