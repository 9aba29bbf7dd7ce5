"""The graph that autograd recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

__all__ = ["nodes_behind"]


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
