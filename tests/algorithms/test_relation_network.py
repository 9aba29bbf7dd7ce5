"""The network that compares graphs: symmetries, and that it learns an order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from optuna_zerocost.algorithms.relation_network import (
    RelationNetwork,
    Training,
    seeded,
    train,
    win_probabilities,
)

FEATURES = 4


def random_graph(generator: np.random.Generator) -> Any:
    nodes = int(generator.integers(1, 7))
    adjacency = np.triu(generator.random((nodes, nodes)) < 0.5, 1).astype(np.float32)
    kinds = generator.integers(FEATURES, size=nodes)
    return adjacency, np.eye(FEATURES, dtype=np.float32)[kinds]


def random_graphs(seed: int, count: int) -> list[Any]:
    generator = np.random.default_rng(seed)
    return [random_graph(generator) for _ in range(count)]


def make(seed: int = 0, features: int = FEATURES) -> RelationNetwork:
    return RelationNetwork(features, layers=3, hidden=16, generator=seeded(seed))


def relation_by(values: Any) -> Any:
    return np.sign(np.subtract.outer(values, values)).astype(np.int8)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_one_of_two_is_better(seed: int) -> None:
    won = win_probabilities(make(seed), random_graphs(seed, 6))
    assert won + won.T == pytest.approx(np.ones((6, 6)))
    assert (won >= 0).all() and np.diag(won) == pytest.approx(np.full(6, 0.5))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_neither_the_nodes_order_nor_an_edges_direction_matters(seed: int) -> None:
    graphs = random_graphs(seed, 5)
    shuffled = []
    for index, (adjacency, features) in enumerate(graphs):
        order = np.random.default_rng(index).permutation(len(features))
        shuffled.append((adjacency.T[np.ix_(order, order)], features[order]))
    network = make(seed)
    expected = win_probabilities(network, graphs)
    assert win_probabilities(network, shuffled) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_pairs_odds_do_not_depend_on_the_other_graphs(seed: int) -> None:
    """Also where larger graphs beside it add empty nodes to it."""
    graphs = random_graphs(seed, 6)
    network = make(seed)
    together = win_probabilities(network, graphs)
    for i, j in ((0, 1), (2, 5)):
        alone = win_probabilities(network, [graphs[i], graphs[j]])
        assert alone[0, 1] == pytest.approx(together[i, j], abs=1e-5)


def test_the_propagation_is_that_of_kipf_and_welling() -> None:
    """One layer against the formula, node by node."""
    graphs = random_graphs(3, 4)
    network = RelationNetwork(FEATURES, layers=1, hidden=5, generator=seeded(1))
    weight, bias = network.weights[0].detach().numpy(), network.biases[0].detach().numpy()
    embeddings = []
    for adjacency, features in graphs:
        nodes = len(features)
        inputs = [np.eye(FEATURES + 1)[FEATURES], *(np.append(row, 0) for row in features)]
        neighbours = [
            {j for j in range(nodes) if adjacency[i, j] or adjacency[j, i] or i == j}
            for i in range(nodes)
        ]
        degrees = [nodes + 1, *(len(found) + 1 for found in neighbours)]
        summed = sum(x / np.sqrt(degrees[0] * d) for x, d in zip(inputs, degrees, strict=True))
        hidden = summed @ weight + bias
        normalized = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
        embeddings.append(np.maximum(normalized, 0))
    first, second = network.first.detach().numpy(), network.second.detach().numpy()
    for i in range(4):
        for j in range(4):
            odds = [
                embeddings[a] @ first + embeddings[b] @ second + float(network.offset.detach())
                for a, b in ((i, j), (j, i))
            ]
            better, worse = (1 / (1 + np.exp(-o)) for o in odds)
            won = win_probabilities(network, graphs)[i, j]
            assert won == pytest.approx((better + 1 - worse) / 2, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_an_order_of_graphs_that_it_has_not_seen(seed: int) -> None:
    graphs = random_graphs(seed, 160)
    values = [
        features[:, 0].sum() - features[:, 1].sum() + 0.25 * adjacency.sum()
        for adjacency, features in graphs
    ]
    network = make(seed)
    before = kendalltau(win_probabilities(network, graphs[60:]).sum(axis=1), values[60:]).statistic
    trained = train(network, graphs[:60], relation_by(values[:60]), Training(80), seeded(seed))
    after = kendalltau(win_probabilities(trained, graphs[60:]).sum(axis=1), values[60:]).statistic
    # τ of a random order of 100 has a standard deviation of 0.07.
    assert after > 0.6 > abs(before)


def test_graphs_that_cannot_be_compared_teach_nothing() -> None:
    """Where only pairs inside two groups are comparable, the order inside is learned."""
    graphs = random_graphs(0, 60)
    values = np.array([features[:, 0].sum() for _, features in graphs])
    group = np.arange(60) % 2
    # Between the groups the values would say the opposite.
    relation = relation_by(values + 100 * group) * (group[:, None] == group)
    trained = train(make(), graphs, relation.astype(np.int8), Training(80), seeded(0))
    won = win_probabilities(trained, graphs).sum(axis=1)
    assert kendalltau(won, values).statistic > 0.6


def test_training_is_a_function_of_data_and_seed_and_touches_no_global_state() -> None:
    graphs = random_graphs(0, 100)  # more than a batch
    relation = relation_by(np.arange(100))
    results = []
    for surroundings in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        torch.manual_seed(len(results))
        before = torch.get_rng_state()
        with surroundings(), torch.autocast("cpu", enabled=bool(results)):
            network = train(make(), graphs, relation, Training(5), seeded(0))
            results.append(win_probabilities(network, graphs))
        assert torch.equal(torch.get_rng_state(), before)
    assert (results[0] == results[1]).all() and (results[0] == results[2]).all()
    other = train(make(), graphs, relation, Training(5), seeded(1))
    assert (win_probabilities(other, graphs) != results[0]).any()


def test_the_optimizer_is_adamw() -> None:
    from optuna_zerocost.algorithms.relation_network import _Adam

    start = torch.linspace(-1, 1, 6)
    own, torchs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizer, reference = _Adam([own], 0.1), torch.optim.AdamW([torchs], weight_decay=0.1)
    for rate in (0.1, 0.05, 0.02):
        optimizer.step((own.square() * torch.arange(6)).sum(), rate)
        reference.param_groups[0]["lr"] = rate
        reference.zero_grad()
        (torchs.square() * torch.arange(6)).sum().backward()
        reference.step()
    assert torch.allclose(own, torchs, rtol=1e-4, atol=1e-6)
