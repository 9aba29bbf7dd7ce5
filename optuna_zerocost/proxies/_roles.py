"""What each input of a network is: a row for each sample or one for all, data or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optuna_zerocost.proxies._errors import BatchError
from optuna_zerocost.proxies._tensors import is_number, leaves_of

__all__ = ["Role", "arguments", "declared_size", "roles_of"]


@dataclass(frozen=True)
class Role:
    """What an input is.

    Attributes:
        rows: Whether it has a row for each sample, and so is cut where samples are.
        flows: Whether its numbers are what the network computes with: drawn, differentiated.
        ones: Whether it is 1 where the input is one of ones; otherwise it keeps its values.
        whole: Whether its rows belong together, as those of the nodes of a graph do.
        doubt: Why it is not known whether it has a row for each sample, or "".
    """

    rows: bool
    flows: bool
    ones: bool
    whole: bool = False
    doubt: str = ""


_DECLARED = {
    "samples": Role(rows=True, flows=True, ones=True),
    "values": Role(rows=True, flows=False, ones=False),
    "nodes": Role(rows=False, flows=True, ones=True, whole=True),
    "shared": Role(rows=False, flows=False, ones=False),
}


def arguments(inputs: Any) -> list[tuple[str, Any]]:
    """Return the arguments of the network's forward, with what an error may call them."""
    if isinstance(inputs, Mapping):
        return [(f"input {key!r}", value) for key, value in inputs.items()]
    if isinstance(inputs, tuple):
        return [(f"input {place}", value) for place, value in enumerate(inputs)]
    return [("the input", inputs)]


def roles_of(inputs: Any, declared: Any, size: int) -> tuple[Role, ...]:
    """Return the role of each tensor, in order: the declared one, or the default."""
    names = _spread(inputs, declared)
    defaults = iter(_default_roles(inputs, size))
    roles: list[Role] = []
    for (label, value), name in zip(arguments(inputs), names, strict=True):
        for tensor in leaves_of(value):
            role = next(defaults)
            if name is not None:
                role = _DECLARED[name]
                if role.rows and (tensor.dim() == 0 or tensor.size(0) != size):
                    raise BatchError(
                        f"{label} has shape {tuple(tensor.shape)} and the role {name!r}, which "
                        f"means a row for each of {size} samples; give it the role 'shared', or "
                        "'nodes', or arrange it as (samples, ...)"
                    )
            roles.append(role)
    return tuple(roles)


def declared_size(inputs: Any, declared: Any) -> int | None:
    """Return the rows of the first tensor that is declared to have one a sample, if any is."""
    for (_, value), name in zip(arguments(inputs), _spread(inputs, declared), strict=True):
        if name in ("samples", "values", "nodes"):
            for tensor in leaves_of(value):
                if tensor.dim() > 0:
                    return tensor.size(0)
    return None


def _spread(inputs: Any, declared: Any) -> list[str | None]:
    """Return the declared role of each argument, None where none is."""
    labels = arguments(inputs)
    if declared is None:
        return [None] * len(labels)
    if isinstance(declared, str):
        found: list[str | None] = [declared] * len(labels)
    elif isinstance(declared, Mapping) and isinstance(inputs, Mapping):
        if unknown := [key for key in declared if key not in inputs]:
            raise BatchError(
                f"roles name {unknown[0]!r}, which is not among the inputs {list(inputs)}; use "
                "the names of the inputs"
            )
        found = [declared.get(key) for key in inputs]
    elif isinstance(declared, Sequence) and not isinstance(inputs, Mapping):
        found = list(declared)
    else:
        raise BatchError(
            f"roles are a {type(declared).__name__} and the inputs a {type(inputs).__name__}; "
            "pass one role for all, a tuple beside a tuple, or a dict beside a dict"
        )
    if len(found) != len(labels):
        raise BatchError(f"there are {len(found)} roles for {len(labels)} inputs; pass one each")
    for name in found:
        if name is not None and name not in _DECLARED:
            raise BatchError(
                f"{name!r} is no role; choose from {', '.join(map(repr, _DECLARED))}, or None "
                "for the default"
            )
    return found


def _default_roles(inputs: Any, size: int) -> list[Role]:
    """Return what each tensor is by its type, its shape and what stands beside it.

    What has ``size`` rows has one for each sample; numbers flow, but for masks that hold −∞; other
    integers and booleans keep their values, but for images of uint8. Beside edges (integers of
    shape (2, E) that point to rows of the first input) or a sparse adjacency rows are nodes.
    Where the size of the minibatch is found where another size may be meant, there is doubt.
    """
    labelled = [(label, t) for label, value in arguments(inputs) for t in leaves_of(value)]
    if not labelled:
        return []
    first = next((t for _, t in labelled if t.dim() > 0), labelled[0][1])
    is_graph = any(_connects(t, first, size) for _, t in labelled)
    roles = []
    for label, tensor in labelled:
        rows = tensor.dim() > 0 and tensor.size(0) == size
        flows = is_number(tensor) and tensor.layout == torch.strided and not _is_mask(tensor)
        if is_graph:
            is_node = rows and flows
            roles.append(Role(rows=False, flows=is_node, ones=flows, whole=rows))
            continue
        doubt = _doubt(label, tensor, first, size) if tensor is not first else ""
        is_image = tensor.dtype == torch.uint8 and tensor.dim() > 2
        roles.append(Role(rows, flows and rows, flows or (is_image and rows), doubt=doubt))
    return roles


def _is_mask(tensor: Tensor) -> bool:
    """Return whether these are numbers of which some are −∞, as in masks that are added."""
    return (
        tensor.is_floating_point()
        and not tensor.is_meta
        and tensor.layout == torch.strided
        and bool(torch.isneginf(tensor).any())
    )


def _connects(tensor: Tensor, first: Tensor, size: int) -> bool:
    """Return whether these are the edges, or the adjacency, of a graph with ``size`` nodes."""
    if tensor.layout != torch.strided:
        return tensor.shape == (size, size)
    if tensor.dtype not in (torch.int64, torch.int32) or tensor.is_meta or tensor is first:
        return False
    if tensor.dim() != 2 or tensor.size(0) != 2 or size == 2 or tensor.numel() == 0:
        return False
    has_nodes = first.dim() == 2 if is_number(first) else first.dim() == 1
    return has_nodes and 0 <= int(tensor.min()) and int(tensor.max()) < size


def _doubt(label: str, tensor: Tensor, first: Tensor, size: int) -> str:
    """Return why ``size`` rows of a further input may be something else than samples."""
    if size == 1 or tensor.dim() == 0 or tensor.size(0) != size:
        return ""
    is_square = tensor.dim() > 1 and tensor.size(1) == size
    if is_square and not is_number(tensor) and tensor.dtype != torch.bool:
        is_square = tensor.shape != first.shape  # Tokens and what goes with each of them.
    dims = tensor.dim()
    beside = any(tensor.shape == first.shape[at : at + dims] for at in range(1, first.dim()))
    if dims == 1 and not is_number(tensor):
        # Labels, lengths and steps of a diffusion are a row for each; places count from 0.
        counted = not tensor.is_meta and torch.equal(tensor, torch.arange(size).to(tensor))
        beside = beside and counted and tensor.dtype != torch.bool
    if not (is_square or beside):
        return ""
    if tensor.dim() > 1 and not tensor.is_meta and bool((tensor == tensor[:1]).all()):
        return ""  # Nothing depends on which row it is.
    return (
        f"{label} has shape {tuple(tensor.shape)} beside an input of shape {tuple(first.shape)}, "
        f"and the minibatch {size} samples: it may have a row for each sample, or be one for all "
        "(an attention mask, an adjacency, weights). Say which: batch=Batch(inputs, targets, "
        "roles=...) with 'samples' or 'values' (a row for each) or 'shared' (one for all); or "
        "pass a minibatch of another size"
    )
