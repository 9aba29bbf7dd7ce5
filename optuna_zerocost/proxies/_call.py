"""Running a network on what users hand in as its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["call"]


def call(
    network: nn.Module, inputs: Any, forward_fn: Callable[[nn.Module, Any], Tensor] | None
) -> Any:
    """Return what ``network`` makes of ``inputs``.

    Args:
        network: A network.
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments.
        forward_fn: Is called with both instead, if it is not ``None``.
    """
    if forward_fn is not None:
        return forward_fn(network, inputs)
    if isinstance(inputs, Mapping):
        return network(**inputs)
    return network(*inputs) if isinstance(inputs, tuple) else network(inputs)
