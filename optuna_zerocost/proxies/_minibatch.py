"""The minibatch a network is scored on, in any of the forms in which networks take inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from optuna_zerocost.proxies._errors import BatchError
from optuna_zerocost.proxies._roles import Role, arguments, declared_size, roles_of
from optuna_zerocost.proxies._tensors import (
    drawn_like,
    flow_type,
    is_number,
    leaves_of,
    with_each_tensor,
)

__all__ = ["Batch", "Minibatches", "call"]


class Minibatches:
    """Several minibatches, for proxies that compare them (zico); the others read the first.

    Args:
        *batches: Pairs ``(inputs, targets)``, at least two.

    Raises:
        BatchError: If there are fewer.
    """

    def __init__(self, *batches: Any) -> None:
        if len(batches) < 2:
            raise BatchError(
                f"Minibatches was given {len(batches)}, and they are there to be compared; pass "
                "at least two pairs, Minibatches((inputs, targets), (inputs, targets))"
            )
        self.batches = batches


@dataclass(frozen=True)
class Batch:
    """A minibatch, and what each of its inputs is; where nothing has to be said, a pair will do.

    ``Batch((x, mask), targets, roles=("samples", "shared"))``. An input without a role has a
    default one: numbers of floating point with N rows are ``"samples"``; integers and booleans
    with N rows, and numbers that hold −∞, are ``"values"``; whatever has not N rows is
    ``"shared"``, but that numbers are 1 where the input is one of ones. N is the length of the
    first input. Beside edges, integers of shape (2, E) that point to its rows, or a sparse
    adjacency, the rows are ``"nodes"``. Where N may be another size (an attention mask (T, T) and
    T = N, say), proxies for which it matters raise BatchError.

    Args:
        inputs: A tensor, a tuple (positional arguments) or a dict (keyword arguments), which may
            hold lists, tuples and dicts of tensors, or a ``Data`` of torch_geometric; what
            is not a tensor goes to the network as it is.
        targets: The labels, or None.
        roles: One for all inputs, or a tuple beside a tuple, or a dict beside a dict; None for the
            default. ``"samples"`` has a row for each sample and numbers that flow through the
            network. ``"values"`` has a row for each sample and keeps its values (masks of either
            meaning, lengths, positions, token types). ``"nodes"`` flows and is not cut, for its
            rows depend on each other. ``"shared"`` is one for all samples and keeps its values
            (edges, attention masks (T, T), weights of classes).
        size: The number of samples; found where the minibatch is checked.
        name: What an error calls it.
        leaf_roles: The role of each tensor; found where the minibatch is checked.
    """

    inputs: Any
    targets: Any = None
    roles: Any = None
    size: int = 0
    name: str = "the minibatch"
    leaf_roles: tuple[Role, ...] = ()

    @classmethod
    def of(cls, batch: object, *, device: torch.device) -> Batch:
        """Check what the user passed and move its tensors to ``device``."""
        roles: Any = None
        if isinstance(batch, Batch):
            roles = batch.roles
            batch = (batch.inputs, batch.targets)
        if not isinstance(batch, Sequence) or len(batch) not in (1, 2):
            raise BatchError(
                f"batch is a {_describe(batch)}; pass the pair (inputs, targets), or "
                "(inputs, None) without labels"
            )
        inputs, targets = (*batch, None)[:2]
        if isinstance(inputs, Mapping):
            inputs = dict(inputs)
        elif isinstance(inputs, list):
            inputs = tuple(inputs)
        if any(isinstance(item, PackedSequence) for _, item in (*arguments(inputs), ("", inputs))):
            raise BatchError(
                "the inputs hold a PackedSequence, whose rows are steps, not samples; pass the "
                "padded sequences and their lengths, and pack them in the network or in forward_fn"
            )
        tensors = [tensor for tensor in leaves_of(inputs) if tensor.dim() > 0]
        if not tensors:
            raise BatchError(
                f"the inputs of the batch are a {_describe(inputs)} without any tensor that has a "
                "batch dimension; pass a tensor, a tuple of tensors, or a mapping of names to "
                "tensors"
            )
        size = declared_size(inputs, roles) or tensors[0].size(0)
        if tensors[0].size(0) == 0:
            raise BatchError(
                f"the inputs of the batch have shape {tuple(tensors[0].shape)}, which is no "
                "sample at all; pass at least one"
            )

        def move(tensor: Tensor) -> Tensor:
            if tensor.is_meta and device.type != "meta":
                raise BatchError(
                    f"the batch holds a tensor on the meta device, which has no values, and the "
                    f"network is on {device}; pass a batch of real tensors"
                )
            moved = tensor.detach().to(device)
            # A tensor made under inference_mode cannot take part in a backward pass; a copy can.
            return moved.clone() if moved.is_inference() else moved

        inputs = _map(inputs, move)
        found = roles_of(inputs, roles, size)
        return cls(inputs, _map(targets, move), roles, size, leaf_roles=found)

    def tensors(self) -> list[Tensor]:
        """Return the tensors among the inputs, in order."""
        return leaves_of(self.inputs)

    def check_values(self) -> None:
        """Raise BatchError if an input holds NaN."""
        for tensor in self.tensors():
            if tensor.layout != torch.strided:
                continue
            if is_number(tensor) and (count := int(torch.isnan(tensor).sum())):
                raise BatchError(
                    f"the inputs hold NaN ({count} of {tensor.numel()} values); every gradient "
                    "would be NaN too, so clean the batch first"
                )

    def copied(self) -> Any:
        """Return the inputs as copies, so that a network may write into what it is given."""
        return _map(self.inputs, torch.clone)

    def differentiable(self) -> tuple[Any, list[Tensor]]:
        """Return copies of the inputs, and the leaves with respect to which to differentiate.

        The leaves are the numbers that flow: floating point, or complex, with one row a sample.
        """
        leaves: list[Tensor] = []
        roles = iter(self.leaf_roles)

        def attach(tensor: Tensor) -> Tensor:
            if not (next(roles).flows and is_number(tensor)):
                return tensor.clone()
            leaf = tensor.detach().requires_grad_()
            leaves.append(leaf)
            # Not the leaf itself: autograd forbids a network that begins with an operation in
            # place to write into a leaf.
            return leaf.clone()

        return _map(self.inputs, attach), leaves

    def require_known_rows(self) -> None:
        """Raise BatchError if it is not known which inputs have a row for each sample."""
        for role in self.leaf_roles:
            if role.doubt:
                raise BatchError(role.doubt)

    def part(self, start: int, stop: int, name: str = "a part of the minibatch") -> Batch:
        """Return the samples from ``start`` to ``stop`` with their labels, as a batch."""
        if start == 0 and stop >= self.size:
            return replace(self, name=name)
        self.require_known_rows()
        if self.is_whole:
            raise BatchError(
                f"the inputs are a graph of {self.size} nodes, which depend on each other, so the "
                "minibatch cannot be cut into samples; choose other proxies, or for zico pass "
                "Minibatches of several graphs. If they are no graph, say what each input is: "
                "batch=Batch(inputs, targets, roles=...)"
            )
        for tensor in leaves_of(self.targets):
            if tensor.dim() == 0 or tensor.size(0) != self.size:
                raise BatchError(
                    f"the labels have shape {tuple(tensor.shape)}, which is not one row for each "
                    f"of {self.size} samples, so the minibatch cannot be cut; arrange them as "
                    "(samples, ...), and let loss_fn flatten them"
                )
        roles = iter(self.leaf_roles)
        inputs = _map(self.inputs, lambda t: t[start:stop] if next(roles).rows else t)
        targets = _map(self.targets, lambda t: t[start:stop])
        return replace(self, inputs=inputs, targets=targets, size=stop - start, name=name)

    @property
    def is_whole(self) -> bool:
        """Whether the rows belong together, as the nodes of a graph do."""
        return any(role.whole for role in self.leaf_roles)

    def inputs_of(self, count: int) -> Batch:
        """Return the first ``count`` samples without labels."""
        return replace(self, targets=None).part(0, count)

    def few(self, count: int) -> Batch:
        """Return the first ``count`` samples without labels, or all if they cannot be cut."""
        is_cut = not self.is_whole and not any(role.doubt for role in self.leaf_roles)
        return self.inputs_of(count) if is_cut else replace(self, targets=None)

    def one_input(self) -> Batch:
        """Return one sample without labels, or the whole graph."""
        return replace(self, targets=None) if self.is_whole else self.inputs_of(1)

    def gaussian(self) -> Batch:
        """Return inputs of the same shape from N(0, 1), drawn from the global random state.

        Integers (tokens, masks), and numbers without a row a sample, stay as they are.
        """
        if any(role.flows for role in self.leaf_roles):
            self.require_known_rows()
        roles = iter(self.leaf_roles)

        def draw(tensor: Tensor) -> Tensor:
            return drawn_like(tensor) if next(roles).flows and is_number(tensor) else tensor

        return replace(self, inputs=_map(self.inputs, draw), targets=None)

    def plus(self, other: Batch, factor: float) -> Any:
        """Return the inputs plus ``factor`` times those of ``other``, where they differ."""
        others = iter(other.tensors())

        def add(tensor: Tensor) -> Tensor:
            added = next(others)
            return tensor.clone() if added is tensor else tensor + factor * added

        return _map(self.inputs, add)

    def ones(self, *, double: bool, integers_flow: bool = False) -> Any:
        """Return one sample, or the whole graph, that is 1 everywhere.

        What does not flow (tokens, masks, lengths, edges) keeps the values of the first sample.

        Args:
            double: Whether numbers of floating point become float64; integers keep their type.
            integers_flow: Whether integers are 1, too, where they come first and no input holds
                other numbers: in a network without an embedding nothing else can flow.
        """
        self.require_known_rows()
        tensors = self.tensors()
        flowing = None
        if integers_flow and self.roles is None and not any(map(is_number, tensors)):
            flowing = next((t for t in tensors if t.dim() > 0 and t.dtype != torch.bool), None)
        roles = iter(self.leaf_roles)

        def one(tensor: Tensor) -> Tensor:
            role = next(roles)
            row = tensor[:1] if role.rows else tensor
            if role.ones or tensor is flowing:
                return torch.ones_like(row, dtype=flow_type(tensor, double=double))
            return row.clone().to(flow_type(tensor, double=double))

        return _map(self.inputs, one)


def call(
    network: nn.Module, inputs: Any, forward_fn: Callable[[nn.Module, Any], Tensor] | None
) -> Any:
    """Return what ``network``, or instead of it ``forward_fn``, makes of a batch's inputs."""
    if forward_fn is not None:
        return forward_fn(network, inputs)
    if isinstance(inputs, Mapping):
        return network(**inputs)
    return network(*inputs) if isinstance(inputs, tuple) else network(inputs)


def _map(value: Any, function: Callable[[Tensor], object]) -> Any:
    """Apply ``function`` to the tensors in nested tuples, lists and dicts.

    Outermost, a list becomes a tuple.
    """
    mapped = with_each_tensor(value, function)
    return tuple(mapped) if isinstance(mapped, list) else mapped


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"{type(value).__name__} of length {len(value)}"
    return type(value).__name__
