"""What every benchmark promises to the experiments."""

from __future__ import annotations

import pickle

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

from optuna_zerocost.proxies import names
from zerocost_bench.benchmark import BENCHMARKS, Benchmark, benchmark_named
from zerocost_bench.failure import BenchmarkError


@pytest.fixture(params=BENCHMARKS)
def benchmark(request: pytest.FixtureRequest) -> Benchmark:
    return benchmark_named(request.param)


def test_it_is_one_object_everywhere(benchmark: Benchmark) -> None:
    assert pickle.loads(pickle.dumps(benchmark)) is benchmark
    assert benchmark_named(benchmark.name) is benchmark and repr(benchmark) == benchmark.title


def test_a_trial_leads_to_an_architecture_and_back(benchmark: Benchmark) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    architectures = benchmark.architectures()
    for _ in range(20):
        trial = study.ask()
        architecture = benchmark.suggest(trial)
        assert architectures[benchmark.index(architecture)] == architecture
        assert benchmark.parameters_of(architecture) == trial.params
        assert benchmark.suggest(FixedTrial(trial.params)) == architecture
        hash(architecture)
    assert len({benchmark.text_of(architecture) for architecture in architectures}) == len(
        architectures
    )


def test_what_is_counted_is_what_is_built(benchmark: Benchmark) -> None:
    generator = np.random.default_rng(0)
    architectures = benchmark.architectures()
    for index in generator.choice(len(architectures), 5):
        parameters = benchmark.parameters_of(architectures[index])
        for options in ((), benchmark.trained_with):
            network = benchmark.build_model(FixedTrial(parameters), options)
            built = sum(parameter.numel() for parameter in network.parameters())
            assert benchmark.counts(architectures[index], options)["params"] == built
    assert set(benchmark.trained_with) <= set(benchmark.options)
    assert set(benchmark.stand_ins.values()) <= set(benchmark.counts(architectures[0]))


def test_tables_have_a_row_for_each_architecture(benchmark: Benchmark) -> None:
    scores = benchmark.load_scores()
    assert set(scores) <= set(names())
    count = len(benchmark.architectures())
    assert all(len(column) == count for column in scores.values())
    for dataset in benchmark.datasets:
        try:
            accuracies = benchmark.load_accuracies(dataset)
        except BenchmarkError as error:
            pytest.skip(f"the accuracies are not installed: {error}")
        assert accuracies.dataset == dataset and len(accuracies.validation) == count
        assert set(benchmark.load_costs(dataset)) == set(benchmark.stand_ins)
        assert benchmark.classes_of(dataset) > 1


def test_a_graph_is_square_and_has_features(benchmark: Benchmark) -> None:
    if benchmark.encode is None:
        pytest.skip(f"the architectures of {benchmark} are no graphs")
    for architecture in list(benchmark.architectures())[:50]:
        adjacency, features = benchmark.encode(benchmark.parameters_of(architecture))
        assert adjacency.shape == (len(features), len(features))


def test_an_unknown_data_set_is_named(benchmark: Benchmark) -> None:
    with pytest.raises(BenchmarkError, match="'mnist' is none of"):
        benchmark.load_accuracies("mnist")
