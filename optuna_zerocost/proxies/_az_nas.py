"""Expressivity, progressivity and trainability of the stages of a network.

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
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._errors import NetworkError, UndefinedScoreError
from optuna_zerocost.proxies._initialise import draw_weights
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._registry import register
from optuna_zerocost.proxies._structure import EMBEDDINGS, NORMALISATIONS, own_weights
from optuna_zerocost.proxies._tensors import widened
from optuna_zerocost.proxies._watching import hooked

__all__ = [
    "STAGE_FEATURES",
    "STAGE_GAINS",
    "StageFeatures",
    "az_expressivity",
    "az_progressivity",
    "az_trainability",
]

_PAPER = "Lee and Ham, CVPR 2024"
_RESHAPES = (nn.Identity, nn.Flatten, nn.Unflatten, *NORMALISATIONS)
_ELEMENTWISE = ("torch.nn.modules.activation", "torch.nn.modules.dropout")


@dataclass(frozen=True)
class StageFeatures:
    """The name and the output of a stage, (N·positions, channels)."""

    name: str
    features: Tensor


class StagePass(Pass):
    """Kaiming-normal weights, train mode, inputs from N(0, 1); integers stay as they are."""

    name = "stage"

    def run(self, request: Request) -> Measured:
        readers = request.who_reads(request.readers)
        draw_weights(request, kaiming=True)
        request.structure.require_gradients()
        inputs, _ = request.batch.gaussian().differentiable()
        calls: list[_Call] = []
        with _watched(request, calls):
            result = request.forward_in_train_mode(inputs, samples=request.batch.size)
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


@register(
    "az_expressivity",
    reads=(STAGE_FEATURES,),
    summary="Σ_l entropy of the normalised eigenvalues of cov(features_l)",
    paper=_PAPER,
    fails="no stage beside the classifier; parametrised weights",
)
def az_expressivity(measured: Measured) -> float:
    """Σ_l E_l, E_l = −Σ p log(p + 1e-8), p the eigenvalues of cov(features_l) over their sum.

    l runs over the stages, which the module's docstring defines, the covariance over samples and
    positions.

    Raises:
        UndefinedScoreError: If the features of a stage are constant.
    """
    return sum((_entropy(stage, "az_expressivity") for stage in measured[STAGE_FEATURES]), 0.0)


@register(
    "az_progressivity",
    reads=(STAGE_FEATURES,),
    summary="min_l (E_l − E_{l−1}), E the stages' entropies as in az_expressivity",
    paper=_PAPER,
    fails="fewer than two stages; parametrised weights",
)
def az_progressivity(measured: Measured) -> float:
    """min_l (E_l − E_{l−1}): by how much expressivity grows, at least, from stage to stage.

    Raises:
        UndefinedScoreError: If there is one stage only, or the features of one are constant.
    """
    entropies = [_entropy(stage, "az_progressivity") for stage in measured[STAGE_FEATURES]]
    if len(entropies) < 2:
        raise UndefinedScoreError(
            f"the network has one stage ({measured[STAGE_FEATURES][0].name!r}) beside the "
            "classifier, and az_progressivity compares each with the one before; arrange it as "
            "a sequence of stages"
        )
    return min(after - before for before, after in pairwise(entropies))


@register(
    "az_trainability",
    reads=(STAGE_GAINS,),
    summary="mean_l (2 − s − 1/(s + 1e-6)), s the spectral norm of g_inᵀg_out/(BHW)",
    paper=_PAPER,
    fails="fewer than two stages; maps that shrink by no whole factor; parametrised weights",
)
def az_trainability(measured: Measured) -> float:
    """mean_l (2 − s − 1/(s + 1e-6)), at most 0: whether gradient keeps its size in each stage.

    s is the largest singular value of g_inᵀg_out/(BHW), g_out random signs at the output of stage
    l and g_in the gradient that they become at that of the stage before. Where one of both has
    fewer positions than the other, neighbouring ones of the other become channels. A stage that
    passes its input on counts like any other; the published implementation scores −∞ for it.
    """
    gains = [
        float(torch.linalg.matrix_norm(gain.cpu().double(), ord=2))
        for gain in measured[STAGE_GAINS]
    ]
    return sum(2.0 - gain - 1.0 / (gain + 1e-6) for gain in gains) / len(gains)


def _entropy(stage: StageFeatures, reader: str) -> float:
    features = stage.features.cpu().double()
    if not bool(torch.isfinite(features).all()):
        raise UndefinedScoreError(
            f"the features of the stage {stage.name!r}, of which {reader} reads the covariance, "
            "are NaN or infinite: with Kaiming-normal weights the activations overflow; leave the "
            "proxy out, or reject the network",
            not_finite=True,
        )
    centred = features - features.mean(0)
    rounding = torch.finfo(stage.features.dtype).eps * features.abs().max()
    if bool(centred.abs().max() <= rounding):
        raise UndefinedScoreError(
            f"the features of the stage {stage.name!r} are constant, so the eigenvalues of their "
            "covariance cannot be normalised; reject the network, which loses its inputs there"
        )
    eigenvalues = torch.linalg.eigvalsh(centred.T @ centred / len(centred)).clamp(min=0.0)
    share = eigenvalues / eigenvalues.sum()
    return float(-torch.sum(share * torch.log(share + 1e-8)))


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
    parts = list(_parts(network, ""))
    while len(parts) == 1 and next(parts[0][1].children(), None) is not None:
        ((name, only),) = parts
        parts = list(_parts(only, f"{name}."))
    return parts


def _parts(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from _parts(child, f"{prefix}{name}.")
        elif _transforms(child):
            yield prefix + name, child


def _transforms(stage: nn.Module) -> bool:
    """Return whether a part of the network is a stage."""
    leaves = [module for module in stage.modules() if next(module.children(), None) is None]
    if leaves == [stage]:
        if isinstance(stage, NORMALISATIONS):
            return False
        has_weights = any(p is not None and p.dim() > 1 for p in stage._parameters.values())
        return isinstance(stage, EMBEDDINGS) or has_weights or any(own_weights(stage))
    return any(
        not isinstance(leaf, _RESHAPES) and type(leaf).__module__ not in _ELEMENTWISE
        for leaf in leaves
    )


def _watched(request: Request, calls: list[_Call]) -> contextlib.AbstractContextManager[None]:
    """Context manager: inside, note what the stages put out."""
    sequences = bool(request.structure.of_kind(nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d))

    def note(name: str, _module: nn.Module, _arguments: Any, result: Any) -> Any:
        output = result[0] if isinstance(result, tuple) and result else result
        if not isinstance(output, Tensor) or output.dim() < 2 or len(output) != request.batch.size:
            return None
        if not output.requires_grad:  # as of a frozen embedding
            output = output.detach().requires_grad_()
        # The network goes on with a copy, so that it may overwrite it.
        passed_on = output.clone()
        calls.append(_Call(name, output, passed_on, output.dim() != 3 or sequences))
        return (passed_on, *result[1:]) if isinstance(result, tuple) else passed_on

    return hooked((stage, partial(note, name)) for name, stage in _stages(request.network))


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
    if not bool(torch.isfinite(incoming).all()):
        raise UndefinedScoreError(
            f"the gradient from the stage {after.name!r} to {before.name!r}, which {readers} "
            "reads, is NaN or infinite: with Kaiming-normal weights it overflows; leave the proxy "
            "out, or reject the network",
            not_finite=True,
        )
    inner, outer = before.by_channel(incoming), after.by_channel(outgoing)
    # The finer of both is folded to the positions of the coarser.
    if (folded := _folded(inner, outer.shape[2:])) is not None:
        inner = folded
    elif (folded := _folded(outer, inner.shape[2:])) is not None:
        outer = folded
    else:
        raise UndefinedScoreError(
            f"the stage {after.name!r} takes {tuple(inner.shape[2:])} positions to "
            f"{tuple(outer.shape[2:])}, and {readers} compares gradients position by position; "
            "pad, so that a stage divides or multiplies its positions by a whole number"
        )
    rows, columns = (value.movedim(1, -1).flatten(0, -2) for value in (inner, outer))
    return rows.T @ columns / len(rows)


def _folded(value: Tensor, positions: torch.Size) -> Tensor | None:
    """Fold neighbouring positions of (N, C, *inner) into channels, so that ``positions`` remain.

    That is pixel_unshuffle with a stride for each dimension; None where they do not divide.
    """
    inner = value.shape[2:]
    if math.prod(positions) == 1:
        return value.reshape(len(value), -1, *positions)
    if len(inner) != len(positions) or any(
        size % count for size, count in zip(inner, positions, strict=True)
    ):
        return None
    strides = [size // count for size, count in zip(inner, positions, strict=True)]
    split = [n for pair in zip(positions, strides, strict=True) for n in pair]
    value = value.reshape(*value.shape[:2], *split)
    spatial = range(2, value.dim(), 2)
    offsets = range(3, value.dim(), 2)
    return value.permute(0, 1, *offsets, *spatial).flatten(1, 1 + len(offsets))
