"""Inputs that are not images: masks, lengths, positions, graphs, nested ones; their roles."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from optuna_zerocost import ModelScorer, proxies

SAMPLES = 6
LABELS = torch.arange(SAMPLES) % 3


def score(network: nn.Module, inputs: Any, name: str = "synflow", labels: Any = LABELS) -> float:
    batch = inputs if isinstance(inputs, proxies.Batch) else (inputs, labels)
    return proxies.score_network(network, batch, [name])[name]


class Words(nn.Module):
    """The mean of the words that a mask leaves; ``padding`` says what True means in it."""

    def __init__(self, *, padding: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.types = nn.Embedding(11, 8), nn.Embedding(1, 8)
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.padding = padding

    def forward(self, words: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        x = self.words(words) if types is None else self.words(words) + self.types(types)
        keep = (~mask if self.padding else mask)[..., None].to(x.dtype)
        return self.head((torch.relu(self.layer(x)) * keep).sum(1) / keep.sum(1))


class Recurrent(nn.Module):
    """Takes the lengths of its sequences."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        return self.head(self.cell(packed)[1][0])


class Attention(nn.Module):
    """Attention with a mask (T, T) that is an input or, the same by other means, a buffer."""

    def __init__(self, mask: Tensor | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.values, self.head = nn.Linear(5, 8), nn.Linear(8, 3)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = self.mask if mask is None else mask
        assert mask is not None
        scores = self.values(x) @ self.values(x).transpose(1, 2)
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(mask, float("-inf"))
        else:
            scores = scores + mask
        return self.head((torch.softmax(scores, -1) @ torch.relu(self.values(x))).mean(1))


class Graph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        def passed_on(x: Tensor) -> Tensor:
            return torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]) + x

        return self.second(passed_on(torch.relu(self.first(passed_on(x)))))


def graph(nodes: int = 20) -> tuple[tuple[Tensor, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(nodes)
    x = torch.randn(nodes, 5, generator=generator)
    edges = torch.randint(0, nodes, (2, 3 * nodes), generator=generator)
    return (x, edges), torch.arange(nodes) % 3


def causal(length: int) -> Tensor:
    return torch.triu(torch.ones(length, length, dtype=torch.bool), 1)


def words(length: int = 7) -> Tensor:
    return torch.randint(0, 11, (SAMPLES, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("padding", [True, False])
def test_a_mask_keeps_its_meaning(padding: bool) -> None:
    """Whatever True means in it, a mask that masks nothing gives one score, and not 0."""
    nothing = torch.full((SAMPLES, 7), not padding)
    found = score(Words(padding=padding), (words(), nothing))
    flowing = Words(padding=True)
    assert found == score(flowing, (words(), torch.zeros(SAMPLES, 7, dtype=torch.bool))) > 0


def test_a_mask_of_no_padding_is_as_good_as_none() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.words, self.head = nn.Embedding(11, 8), nn.Linear(8, 3)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, words: Tensor, padding: Tensor | None = None) -> Tensor:
            hidden = self.layer(self.words(words), src_key_padding_mask=padding)
            return self.head(hidden.mean(1))

    nothing = torch.zeros(SAMPLES, 7, dtype=torch.bool)
    assert score(Encoder(), (words(), nothing)) == score(Encoder(), (words(),))


def test_token_types_keep_their_values() -> None:
    """An embedding with one row has no row for a one."""
    mask, types = torch.ones(SAMPLES, 7, dtype=torch.bool), torch.zeros(SAMPLES, 7, dtype=int)
    assert score(Words(padding=False), (words(), mask, types)) > 0


def test_lengths_keep_their_values() -> None:
    """The flow is that through a sequence of the first sample's length."""
    x, lengths = torch.randn(SAMPLES, 7, 4), torch.tensor([5, 7, 1, 3, 2, 6])
    expected = score(Recurrent(), (x[:1, :5], lengths[:1]))
    assert score(Recurrent(), (x, lengths)) == expected
    assert expected > score(Recurrent(), (x, torch.ones_like(lengths)))


@pytest.mark.parametrize("name", ["snip", "gradsign", "zico", "synflow", "swap"])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_mask_for_all_samples_is_what_a_buffer_is(name: str, kind: str) -> None:
    x = torch.randn(SAMPLES, 5, 5, generator=torch.Generator().manual_seed(0))
    mask = causal(5)
    if kind == "float":
        mask = torch.zeros(5, 5).masked_fill(mask, float("-inf"))
    if (name, kind) == ("synflow", "float"):
        # A buffer becomes absolute, and so hides all; as an input it hides what it hid.
        assert score(Attention(), (x, mask)) == score(Attention(), (x, causal(5)))
        return
    assert score(Attention(), (x, mask), name) == score(Attention(mask), x, name)


@pytest.mark.parametrize("name", ["gradsign", "zico", "synflow"])
def test_a_size_that_happens_to_be_that_of_the_batch(name: str) -> None:
    """In doubt a proxy refuses; told what the mask is, it gives what it gives of a buffer."""
    x = torch.randn(SAMPLES, SAMPLES, 5, generator=torch.Generator().manual_seed(0))
    mask = causal(SAMPLES)
    with pytest.raises(proxies.BatchError, match=r"input 1 .*\(6, 6\).*Batch\(inputs.*'shared'"):
        score(Attention(), (x, mask), name)
    told = proxies.Batch((x, mask), LABELS, roles=("samples", "shared"))
    assert score(Attention(), told, name) == score(Attention(mask), x, name)
    assert score(Attention(), (x, mask), "snip") == score(Attention(mask), x, "snip")


def test_places_and_steps_as_many_as_samples() -> None:
    """Integers that count from 0 may be places; others are a row for each sample."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.places, self.head = nn.Embedding(10, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor, places: Tensor) -> Tensor:
            table = self.places(places)
            return self.head(torch.relu(x * (table if self.shared else table[:, None])).mean(1))

    x, net = torch.randn(SAMPLES, SAMPLES, 4), Net()
    net.shared = True
    with pytest.raises(proxies.BatchError, match="input 1"):
        score(net, (x, torch.arange(SAMPLES)), "gradsign")
    assert score(net, proxies.Batch((x, torch.arange(6)), LABELS, (None, "shared")), "gradsign")
    net.shared = False
    assert score(net, (x, torch.tensor([5, 7, 1, 3, 2, 6])), "gradsign")


@pytest.mark.parametrize("name", ["gradsign", "zico", "jacob_cov", "synflow"])
def test_shared_numbers_with_as_many_rows_as_samples(name: str) -> None:
    """Prototypes are no samples, however many there are."""

    class Prototypes(nn.Module):
        def __init__(self, held: Tensor | None = None) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Linear(5, 4)
            self.register_buffer("held", held)

        def forward(self, x: Tensor, prototypes: Tensor | None = None) -> Tensor:
            prototypes = self.held if prototypes is None else prototypes
            assert prototypes is not None
            return torch.relu(self.layer(x)) @ prototypes.T

    generator = torch.Generator().manual_seed(0)
    x, prototypes = torch.randn(SAMPLES, 5, generator=generator), torch.rand(SAMPLES, 4)
    told = proxies.Batch({"x": x, "prototypes": prototypes}, LABELS, {"prototypes": "shared"})
    assert score(Prototypes(), told, name) == score(Prototypes(prototypes), x, name)


def test_edges_keep_their_ends() -> None:
    (x, edges), labels = graph()
    network = Graph().double()
    for parameter in network.parameters():
        parameter.data.abs_()
    weights = [network.first.weight, network.second.weight]
    flow = network(torch.ones_like(x, dtype=torch.float64), edges).sum()
    products = zip(weights, torch.autograd.grad(flow, weights), strict=True)
    expected = sum(float((w * g).detach().abs().sum()) for w, g in products)
    assert score(Graph(), (x, edges), "synflow", labels) == pytest.approx(expected)
    told = proxies.Batch((x, edges), labels, roles=("nodes", "shared"))
    for name in ("synflow", "flops", "snip", "jacob_cov"):
        assert score(Graph(), (x, edges), name, labels) == score(Graph(), told, name)


@pytest.mark.parametrize("name", ["gradsign", "swap", "zico"])
def test_nodes_are_not_cut(name: str) -> None:
    inputs, labels = graph()
    with pytest.raises(proxies.BatchError, match="graph of 20 nodes"):
        score(Graph(), inputs, name, labels)


def test_zico_compares_graphs() -> None:
    found = proxies.score_network(Graph(), proxies.Minibatches(graph(), graph(12)), ["zico"])
    assert found["zico"] != 0.0


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@pytest.mark.parametrize("form", [list, dict, tuple, Pair])
def test_nested_inputs(form: Any) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, nested: Any, right: Tensor | None = None) -> Tensor:
            if right is None:
                assert type(nested) is form
                nested, right = nested.values() if form is dict else nested
            return self.head(torch.relu(self.layer(nested)) + torch.relu(self.layer(right)))

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(SAMPLES, 4, generator=generator) for _ in range(2))
    nested = {dict: {"a": left, "b": right}, Pair: Pair(left, right)}.get(form, None)
    nested = form((left, right)) if nested is None else nested
    for name in ("synflow", "gradsign", "zico", "jacob_cov", "swap", "flops"):
        assert score(Net(), (nested,), name) == score(Net(), (left, right), name)


def test_packed_sequences_are_refused() -> None:
    packed = nn.utils.rnn.pack_padded_sequence(
        torch.randn(SAMPLES, 7, 4), torch.full((SAMPLES,), 7), batch_first=True
    )
    for inputs in (packed, (packed,)):
        with pytest.raises(proxies.BatchError, match="rows are steps.*lengths"):
            score(nn.GRU(4, 3), inputs)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ("samplse", "'samplse' is no role; choose from 'samples'"),
        (("samples",), "1 roles for 2 inputs"),
        ({"x": "samples"}, "a tuple beside a tuple"),
        (("samples", "values"), r"input 1 has shape \(5, 5\).*each of 6 samples"),
    ],
)
def test_roles_that_cannot_be(roles: Any, message: str) -> None:
    inputs = (torch.randn(SAMPLES, 5, 5), causal(5))
    with pytest.raises(proxies.BatchError, match=message):
        score(Attention(), proxies.Batch(inputs, LABELS, roles))


def test_a_scorer_takes_roles() -> None:
    x = torch.randn(SAMPLES, SAMPLES, 5)
    told = proxies.Batch((x, causal(SAMPLES)), LABELS, ("samples", "shared"))
    scorer = ModelScorer(lambda _: Attention(), told, ["synflow"])
    assert scorer.score_names == ("synflow",)


def test_graphs_of_torch_geometric() -> None:
    """Its batches of graphs are taken as they are, and left so."""
    data = pytest.importorskip("torch_geometric.data", reason="torch_geometric is not installed")

    class Net(Graph):
        def forward(self, batch: Any) -> Tensor:  # type: ignore[override]
            return super().forward(batch.x, batch.edge_index)

    graphs = []
    for nodes in (7, 9, 5):
        (x, edges), labels = graph(nodes)
        graphs.append(data.Data(x=x, edge_index=edges, y=labels))
    batch = data.Batch.from_data_list(graphs)
    before = batch.clone()
    for name in ("synflow", "flops", "snip", "jacob_cov"):
        expected = score(Graph(), (batch.x, batch.edge_index), name, batch.y)
        assert score(Net(), batch, name, batch.y) == expected
    assert all(torch.equal(value, batch[key]) for key, value in before)
