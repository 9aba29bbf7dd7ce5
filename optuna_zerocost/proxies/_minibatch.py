"""The minibatch a network is scored on, in any of the forms in which networks take inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._errors import BatchError
from optuna_zerocost.proxies._tensors import drawn_like, flow_type, is_number

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
    """A minibatch of ``size`` samples, the length of the first input's first dimension.

    Inputs are a tensor, a tuple (positional arguments) or a dict (keyword arguments); what is not
    a tensor goes to the network as it is. Targets are the labels, or None.
    """

    inputs: Any
    targets: Any
    size: int
    name: str = "the minibatch"

    @classmethod
    def of(cls, batch: object, *, device: torch.device) -> Batch:
        """Check what the user passed and move its tensors to ``device``."""
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
        tensors = [tensor for tensor in _leaves(inputs) if tensor.dim() > 0]
        if not tensors:
            raise BatchError(
                f"the inputs of the batch are a {_describe(inputs)} without any tensor that has a "
                "batch dimension; pass a tensor, a tuple of tensors, or a mapping of names to "
                "tensors"
            )
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

        return cls(_map(inputs, move), _map(targets, move), tensors[0].size(0))

    def tensors(self) -> list[Tensor]:
        """Return the tensors among the inputs, in order."""
        return _leaves(self.inputs)

    def check_values(self) -> None:
        """Raise BatchError if an input holds NaN."""
        for tensor in self.tensors():
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

        The leaves are the inputs of floating point, or complex, that have one row a sample.
        """
        leaves: list[Tensor] = []

        def attach(tensor: Tensor) -> Tensor:
            if not (is_number(tensor) and self._is_batched(tensor)):
                return tensor.clone()
            leaf = tensor.detach().requires_grad_()
            leaves.append(leaf)
            # Not the leaf itself: autograd forbids a network that begins with an operation in
            # place to write into a leaf.
            return leaf.clone()

        return _map(self.inputs, attach), leaves

    def part(self, start: int, stop: int, name: str = "a part of the minibatch") -> Batch:
        """Return the samples from ``start`` to ``stop`` with their labels, as a batch."""
        for tensor in _leaves(self.targets):
            if not self._is_batched(tensor):
                raise BatchError(
                    f"the labels have shape {tuple(tensor.shape)}, which is not one row for each "
                    f"of {self.size} samples, so the minibatch cannot be cut; arrange them as "
                    "(samples, ...), and let loss_fn flatten them"
                )

        def cut(tensor: Tensor) -> Tensor:
            return tensor[start:stop] if self._is_batched(tensor) else tensor

        return Batch(_map(self.inputs, cut), _map(self.targets, cut), stop - start, name)

    def inputs_of(self, count: int) -> Batch:
        """Return the first ``count`` samples without labels."""
        return Batch(self.inputs, None, self.size).part(0, count)

    def gaussian(self) -> Batch:
        """Return inputs of the same shape from N(0, 1), drawn from the global random state.

        Integers (tokens, masks), and numbers without a row a sample, stay as they are.
        """

        def draw(tensor: Tensor) -> Tensor:
            is_drawn = is_number(tensor) and self._is_batched(tensor)
            return drawn_like(tensor) if is_drawn else tensor

        return Batch(_map(self.inputs, draw), None, self.size)

    def plus(self, other: Batch, factor: float) -> Any:
        """Return the inputs plus ``factor`` times those of ``other``, where they differ."""
        others = iter(other.tensors())

        def add(tensor: Tensor) -> Tensor:
            added = next(others)
            return tensor.clone() if added is tensor else tensor + factor * added

        return _map(self.inputs, add)

    def ones(self, *, double: bool) -> Any:
        """Return one sample of the inputs' shape that is 1 everywhere.

        With ``double`` numbers of floating point become float64; integers (tokens, masks) keep
        their type.
        Integers that have no batch dimension, such as the edges of a graph, are left alone.
        """

        def one(tensor: Tensor) -> Tensor:
            if self._is_batched(tensor):
                tensor = tensor[:1]
            elif not is_number(tensor):
                return tensor.clone()
            return torch.ones_like(tensor, dtype=flow_type(tensor, double=double))

        return _map(self.inputs, one)

    def _is_batched(self, tensor: Tensor) -> bool:
        return tensor.dim() > 0 and tensor.size(0) == self.size


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
    """Apply ``function`` to the tensors of a tensor, tuple, list or dict, one level deep."""

    def apply(item: Any) -> Any:
        return function(item) if isinstance(item, Tensor) else item

    if isinstance(value, Mapping):
        return {key: apply(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(apply(item) for item in value)
    return apply(value)


def _leaves(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _map(value, found.append)
    return found


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"{type(value).__name__} of length {len(value)}"
    return type(value).__name__
