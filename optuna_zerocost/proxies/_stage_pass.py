"""The pass that follows features and gradients from stage to stage of a network.

The stages are the parts of a network's top level, in the order in which they are called: its
children, or those of the only child that matters; for a ``ModuleList`` its elements. Not a stage
is a single module without weights (an activation, a pooling), a group of modules that only
normalise, activate, drop or reshape, nor the part whose output is the network's, the classifier.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._derivatives import forward_in_train_mode
from optuna_zerocost.proxies._errors import NetworkError, UndefinedScoreError
from optuna_zerocost.proxies._initialise import draw_kaiming
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._structure import EMBEDDINGS, NORMALISATIONS, own_weights
from optuna_zerocost.proxies._tensors import widened

__all__ = ["STAGE_FEATURES", "STAGE_GAINS", "StageFeatures", "StagePass"]

_CHANNELS_FIRST = (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d)
_RESHAPES = (nn.Identity, nn.Flatten, nn.Unflatten, *NORMALISATIONS)
_ELEMENTWISE = ("torch.nn.modules.activation", "torch.nn.modules.dropout")


@dataclass(frozen=True)
class StageFeatures:
    """The name and the output of a stage, (N·positions, channels)."""

    name: str
    features: Tensor


@dataclass(frozen=True)
class StagePass(Pass):
    """Kaiming-normal weights, train mode, inputs from N(0, 1); integers stay as they are."""

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "stage"

    def run(self, request: Request) -> Measured:
        """Run the forward pass, and a backward through each stage if that is wanted."""
        readers = request.who_reads(request.readers)
        draw_kaiming(request.structure, readers=readers)
        request.structure.require_gradients()
        request.structure.set_mode(training=True)
        inputs, _ = request.batch.gaussian().differentiable()
        calls: list[_Call] = []
        with _watched(request, calls):
            result = forward_in_train_mode(request, inputs, samples=request.batch.size)
        calls = [call for call in calls if call.passed_on is not result]
        if not calls or (len(calls) < 2 and request.wants(STAGE_GAINS)):
            found = ", ".join(repr(call.name) for call in calls) or "none"
            network = type(request.network).__name__
            raise NetworkError(
                f"{readers} compares the stages of a network, and {network} has {len(calls)} at "
                f"its top level, {found}, beside the classifier; arrange it as a sequence of "
                "modules, of which each puts out a tensor with a row for each sample"
            )
        measured: dict[Quantity[Any], object] = {}
        if request.wants(STAGE_FEATURES):
            measured[STAGE_FEATURES] = tuple(call.features() for call in calls)
        if request.wants(STAGE_GAINS):
            measured[STAGE_GAINS] = tuple(
                _gain(before, after, readers=request.who_reads([STAGE_GAINS]))
                for before, after in pairwise(calls)
            )
        return Measured(measured)


STAGES = StagePass()

STAGE_FEATURES: Quantity[tuple[StageFeatures, ...]] = Quantity(
    "stage features", STAGES, "the outputs of the stages, (N·positions, channels)"
)
STAGE_GAINS: Quantity[tuple[Tensor, ...]] = Quantity(
    "stage gains",
    STAGES,
    "for each stage but the first the mean of g_in·g_outᵀ over samples and positions, g_out "
    "random signs at its output and g_in the gradient at the output of the stage before",
)


@dataclass(frozen=True)
class _Call:
    """One call of a stage: what it put out, and the copy of it that the network went on with."""

    name: str
    output: Tensor
    passed_on: Tensor
    channels_first: bool

    def by_channel(self, value: Tensor) -> Tensor:
        """Arrange the output, or a gradient of it, as (N, C, *positions)."""
        value = widened(value)
        return value if self.channels_first or value.dim() < 3 else value.movedim(-1, 1)

    def features(self) -> StageFeatures:
        arranged = self.by_channel(self.output)
        return StageFeatures(self.name, arranged.movedim(1, -1).flatten(0, -2))


def _stages(network: nn.Module) -> list[tuple[str, nn.Module]]:
    parts = [part for part in _children(network) if _transforms(part[1])]
    while len(parts) == 1 and next(parts[0][1].children(), None) is not None:
        ((prefix, only),) = parts
        inner = [(f"{prefix}.{name}", part) for name, part in _children(only)]
        parts = [part for part in inner if _transforms(part[1])]
    return parts


def _children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from ((f"{name}.{inner}", item) for inner, item in _children(child))
        else:
            yield name, child


def _transforms(stage: nn.Module) -> bool:
    """Return whether a part of the network is a stage."""
    leaves = [module for module in stage.modules() if next(module.children(), None) is None]
    if leaves == [stage]:
        return isinstance(stage, EMBEDDINGS) or any(True for _ in own_weights(stage))
    return any(
        not isinstance(leaf, _RESHAPES) and type(leaf).__module__ not in _ELEMENTWISE
        for leaf in leaves
    )


@contextlib.contextmanager
def _watched(request: Request, calls: list[_Call]) -> Iterator[None]:
    """Context manager: inside, note what the stages put out."""
    one_dimensional = any(isinstance(m, _CHANNELS_FIRST) for m in request.structure.modules)

    def watch(name: str, stage: nn.Module) -> Any:
        def note(_module: nn.Module, _arguments: Any, result: Any) -> Any:
            output = result[0] if isinstance(result, tuple) and result else result
            if (
                not isinstance(output, Tensor)
                or output.dim() < 2
                or len(output) != request.batch.size
            ):
                return None
            if not output.requires_grad:  # as of a frozen embedding
                output = output.detach().requires_grad_()
            # The network goes on with a copy, so that it may overwrite it.
            passed_on = output.clone()
            first = output.dim() != 3 or one_dimensional
            calls.append(_Call(name, output, passed_on, first))
            return (passed_on, *result[1:]) if isinstance(result, tuple) else passed_on

        return stage.register_forward_hook(note)

    with contextlib.ExitStack() as stack:
        for name, stage in _stages(request.network):
            stack.callback(watch(name, stage).remove)
        yield


def _gain(before: _Call, after: _Call, *, readers: str) -> Tensor:
    """Return the mean of g_in·g_outᵀ over samples and positions, (C_in, C_out)."""
    signs = torch.randint(0, 2, after.output.shape) * 2 - 1
    outgoing = signs.to(dtype=after.output.dtype, device=after.output.device)
    (incoming,) = torch.autograd.grad(
        after.output, before.output, outgoing, retain_graph=True, allow_unused=True
    )
    if incoming is None:
        raise UndefinedScoreError(
            f"the stage {after.name!r} does not depend on {before.name!r}, which is called before "
            f"it, so {readers} cannot follow gradients from one to the other; arrange the network "
            "as a sequence of stages"
        )
    inner, outer = before.by_channel(incoming), after.by_channel(outgoing)
    # The finer of both is folded to the positions of the coarser.
    rows, columns = _folded(inner, outer.shape[2:]), _folded(outer, inner.shape[2:])
    if rows is None and columns is None:
        raise UndefinedScoreError(
            f"the stage {after.name!r} takes {tuple(inner.shape[2:])} positions to "
            f"{tuple(outer.shape[2:])}, and {readers} compares gradients position by position; "
            "pad, so that a stage divides or multiplies its positions by a whole number"
        )
    if rows is None:
        rows = inner
    else:
        columns = outer
    assert columns is not None
    rows, columns = (value.movedim(1, -1).flatten(0, -2) for value in (rows, columns))
    return rows.T @ columns / len(rows)


def _folded(value: Tensor, positions: torch.Size) -> Tensor | None:
    """Fold neighbouring positions of (N, C, *inner) into channels, so that ``positions`` remain.

    That is pixel_unshuffle with a stride for each dimension; None where they do not divide.
    """
    inner = value.shape[2:]
    if math.prod(positions) == 1:
        return value.reshape(len(value), -1, *positions)
    if len(inner) != len(positions):
        return None
    if any(size % count for size, count in zip(inner, positions, strict=True)):
        return None
    strides = [size // count for size, count in zip(inner, positions, strict=True)]
    split = [n for pair in zip(positions, strides, strict=True) for n in pair]
    value = value.reshape(*value.shape[:2], *split)
    spatial = range(2, value.dim(), 2)
    offsets = range(3, value.dim(), 2)
    return value.permute(0, 1, *offsets, *spatial).flatten(1, 1 + len(offsets))
