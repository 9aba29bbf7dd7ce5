"""A network that says which of two graphs is better, and how it is trained.

After Dudziak et al., "BRP-NAS: Prediction-based NAS using GCNs" (NeurIPS 2020): graph convolutions
(Kipf & Welling, ICLR 2017) with a global node embed each graph, and a linear layer on two
embeddings gives the odds that the first is better.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Graph", "RelationNetwork", "Training", "seeded", "train", "win_probabilities"]

Graph = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Adjacency (n, n), not 0 where an edge leads from row to column, and node features (n, f)."""


@dataclass(frozen=True)
class Training:
    """Settings of a training."""

    steps: int
    batch_size: int = 64  # at most; every comparable pair of these graphs counts
    learning_rate: float = 3e-3  # of the first step; it falls to zero along half a cosine
    weight_decay: float = 5e-4  # decoupled from the gradient
    dropout: float = 0.2  # share of the hidden units that each layer leaves out


class RelationNetwork(nn.Module):
    """Embeds graphs, and compares embeddings.

    Each layer is x ← relu(layer_norm(Â x W + b)). A graph's embedding is the last state of a
    global node that is joined with all others. The log-odds that graph i is better than graph j
    are u·hᵢ + v·hⱼ + c, for embeddings h. The global random state is not used.
    """

    def __init__(
        self, features: int, *, layers: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()

        def uniform(*shape: int, bound: float) -> nn.Parameter:
            # dtype and device are named since a user may have changed the defaults.
            tensor = torch.empty(shape, dtype=torch.float32, device="cpu")
            return nn.Parameter(tensor.uniform_(-bound, bound, generator=generator))

        with _own_modes():
            # One feature more tells the global node from the others.
            widths = [features + 1, *[hidden] * (layers - 1)]
            bound = 1 / math.sqrt(hidden)
            self.weights = nn.ParameterList(uniform(w, hidden, bound=bound) for w in widths)
            self.biases = nn.ParameterList(uniform(hidden, bound=bound) for _ in widths)
            self.norms = nn.ModuleList(
                nn.LayerNorm(hidden, dtype=torch.float32, device="cpu") for _ in widths
            )
            bound = 1 / math.sqrt(2 * hidden)
            self.first = uniform(hidden, bound=bound)
            self.second = uniform(hidden, bound=bound)
            self.offset = uniform(1, bound=bound)

    def embed(
        self,
        propagation: Tensor,
        nodes: Tensor,
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the embeddings, shape (m, hidden), of m graphs as :func:`_stack` gives them."""
        for weight, bias, norm in zip(self.weights, self.biases, self.norms, strict=True):
            nodes = functional.relu(norm(propagation @ (nodes @ weight) + bias))
            if dropout:
                drawn = torch.rand(
                    nodes.shape, generator=generator, dtype=torch.float32, device="cpu"
                )
                nodes = nodes * (drawn >= dropout) / (1 - dropout)
        return nodes[:, 0]

    def log_odds(self, embedded: Tensor) -> Tensor:
        """Return for all pairs of m embeddings the log-odds that row is better than column."""
        return (embedded @ self.first)[:, None] + embedded @ self.second + self.offset


def seeded(seed: int) -> torch.Generator:
    """Return a generator of one's own."""
    return torch.Generator(device="cpu").manual_seed(seed)


def train(
    network: RelationNetwork,
    graphs: Sequence[Graph],
    relation: npt.NDArray[np.int8],
    training: Training,
    generator: torch.Generator,
) -> RelationNetwork:
    """Return a copy of ``network`` that was trained on all comparable pairs, in both orders.

    Minimizes the mean of −log P(the better one is found better). The ``relation`` of m graphs has
    shape (m, m): 1 where the row is better than the column, −1 where it is worse, 0 where they
    cannot be compared. It must not be zero everywhere.
    """
    with _own_modes():
        network = copy.deepcopy(network)
        propagation, nodes = _stack(graphs)
        sign = torch.from_numpy(relation.astype(np.float32))
        optimizer = _Adam(list(network.parameters()), training.weight_decay)
        batches = _batches(len(graphs), training.batch_size, generator)
        for step in range(training.steps):
            batch = next(batches)
            embedded = network.embed(
                propagation[batch], nodes[batch], dropout=training.dropout, generator=generator
            )
            wins = sign[batch][:, batch]
            comparable = wins != 0
            if not comparable.any():
                continue
            margins = (wins * network.log_odds(embedded))[comparable]
            share = step / training.steps
            optimizer.step(
                functional.softplus(-margins).mean(),
                training.learning_rate * (1 + math.cos(math.pi * share)) / 2,
            )
        return network


def win_probabilities(
    network: RelationNetwork, graphs: Sequence[Graph]
) -> npt.NDArray[np.float64]:
    """Return the probabilities that the row is better than the column, shape (m, m).

    The network's answer depends on the order in which it is shown a pair; the mean over both
    orders is returned, so that P(i better than j) + P(j better than i) = 1.
    """
    with _own_modes(), torch.no_grad():
        asked = torch.sigmoid(network.log_odds(network.embed(*_stack(graphs)))).double()
        probabilities: npt.NDArray[np.float64] = ((asked + (1 - asked.T)) / 2).numpy()
        return probabilities


@contextlib.contextmanager
def _own_modes() -> Iterator[None]:
    """Compute as if no user code around had switched gradients off or mixed precision on."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        yield


def _stack(graphs: Sequence[Graph]) -> tuple[Tensor, Tensor]:
    """Return graphs as Â, shape (m, n + 1, n + 1), and features, shape (m, n + 1, f + 1).

    Â = D^(−1/2) (A + I) D^(−1/2), where A joins each two nodes between which an edge leads, in
    whatever direction, and the global node, the first, with every other; D has the row sums of
    A + I. Smaller graphs are filled up with nodes that are joined with nothing.
    """
    size = max(len(adjacency) for adjacency, _ in graphs) + 1
    features = graphs[0][1].shape[1]
    propagation = np.zeros((len(graphs), size, size), dtype=np.float32)
    nodes = np.zeros((len(graphs), size, features + 1), dtype=np.float32)
    for index, (adjacency, own) in enumerate(graphs):
        joined = np.ones((len(adjacency) + 1,) * 2, dtype=np.float32)
        joined[1:, 1:] = (adjacency != 0) | (adjacency.T != 0) | np.eye(len(adjacency), dtype=bool)
        scale = joined.sum(axis=1) ** -0.5
        propagation[index, : len(joined), : len(joined)] = scale[:, None] * joined * scale
        nodes[index, 0, features] = 1
        nodes[index, 1 : len(joined), :features] = own
    return torch.from_numpy(propagation), torch.from_numpy(nodes)


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of indices for ever, each index once before any comes again."""
    while True:
        order = torch.randperm(count, generator=generator, device="cpu")
        # Pieces of nearly equal size: a last one of one graph would have no pair.
        yield from torch.tensor_split(order, math.ceil(count / size))


class _Adam:
    """AdamW (Loshchilov & Hutter, ICLR 2019); torch's own takes seconds to be imported."""

    def __init__(self, parameters: Sequence[nn.Parameter], weight_decay: float) -> None:
        self._parameters = parameters
        self._weight_decay = weight_decay
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = 0

    def step(self, loss: Tensor, learning_rate: float) -> None:
        gradients = torch.autograd.grad(loss, self._parameters)
        self._steps += 1
        with torch.no_grad():
            for parameter, gradient, mean, square in zip(
                self._parameters, gradients, self._means, self._squares, strict=True
            ):
                mean.lerp_(gradient, 0.1)
                square.lerp_(gradient.square(), 0.001)
                deviation = (square / (1 - 0.999**self._steps)).sqrt_().add_(1e-8)
                parameter.mul_(1 - learning_rate * self._weight_decay)
                parameter.addcdiv_(mean, deviation, value=-learning_rate / (1 - 0.9**self._steps))
