"""Tensors, and the graph behind them, as passes and proxies handle them."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from optuna_zerocost.proxies._structure import Structure

__all__ = [
    "drawn_like",
    "flow_type",
    "is_number",
    "leaves_of",
    "nodes_behind",
    "stacked",
    "tensors_in",
    "total",
    "unfused",
    "widened",
    "with_each_tensor",
]


def total(terms: Iterable[Tensor]) -> float:
    """Return the sum of scalars, one a layer, rounded once; 0 if there are none.

    The terms leave the device together, which on a GPU is one wait instead of one a layer.
    """
    scalars = list(terms)
    if not scalars:
        return 0.0
    values: list[float] = torch.stack(scalars).tolist()
    # fsum refuses to add infinities of both signs, for which the plain sum is NaN.
    return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)


def widened(tensor: Tensor) -> Tensor:
    """Return the tensor detached, in float32 if it is of half precision, which sums badly."""
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples, mappings and data classes, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors_in(getattr(value, field.name))


def with_each_tensor(value: Any, function: Callable[[Tensor], object]) -> Any:
    """Return nested tuples, lists, dicts and graphs with ``function`` of each tensor, in order.

    Graphs are what torch_geometric calls ``Data``; what else holds tensors is left as it is.
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: with_each_tensor(item, function) for key, item in value.items()}
    if isinstance(value, tuple):
        items = [with_each_tensor(item, function) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [with_each_tensor(item, function) for item in value]
    # A batch of graphs has a class that is made when it is needed, and belongs to no package.
    packages = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
    if "torch_geometric" in packages and hasattr(value, "apply"):
        return copy.copy(value).apply(function)
    return value


def leaves_of(value: Any) -> list[Tensor]:
    """Return the tensors that `with_each_tensor` reaches, in order."""
    found: list[Tensor] = []
    with_each_tensor(value, found.append)
    return found


def is_number(tensor: Tensor) -> bool:
    """Return whether the values are real or complex numbers, with respect to which to derive."""
    return tensor.is_floating_point() or tensor.is_complex()


def flow_type(tensor: Tensor, *, double: bool) -> torch.dtype:
    """Return the type in which a flow is computed: float64, or of single precision at least."""
    if tensor.is_complex():
        return torch.complex128 if double else tensor.dtype
    if tensor.is_floating_point() and double:
        return torch.float64
    return torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype


def stacked(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Stack gradients of one tensor, with zeros for None; None if there is none."""
    like = next((gradient for gradient in gradients if gradient is not None), None)
    if like is None:
        return None
    return torch.stack([torch.zeros_like(like) if item is None else item for item in gradients])


def drawn_like(tensor: Tensor) -> Tensor:
    """Return N(0, 1) of the same shape, type and device; drawn on the CPU, so alike on each."""
    kind = torch.complex64 if tensor.is_complex() else torch.float32
    return torch.randn(tensor.shape, dtype=kind).to(dtype=tensor.dtype, device=tensor.device)


def nodes_behind(tensor: Tensor) -> Iterator[Any]:
    """Yield each operation that a gradient passes on its way from ``tensor``, once."""
    seen: set[Any] = {None}
    waiting: list[Any] = [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            yield node
            waiting.extend(following for following, _ in node.next_functions)


@contextlib.contextmanager
def unfused(structure: Structure) -> Iterator[None]:
    """Context manager: inside, attention and recurrent layers do not use fused kernels.

    Those have no second derivative, or are not counted as operations.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
        # The switch belongs to the process, so it is left alone where it does not matter.
        if structure.of_kind(nn.RNNBase):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield
