"""Sums over the layers of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["total"]


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
