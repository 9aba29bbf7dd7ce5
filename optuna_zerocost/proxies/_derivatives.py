"""The loss of a minibatch, and derivatives of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._errors import (
    BatchError,
    LabelsError,
    OutputError,
    SecondDerivativeError,
    UndefinedScoreError,
)
from optuna_zerocost.proxies._minibatch import Batch
from optuna_zerocost.proxies._pass import Request, is_out_of_memory
from optuna_zerocost.proxies._structure import LayerWeight
from optuna_zerocost.proxies._tensors import nodes_behind, widened

__all__ = [
    "WeightGradient",
    "forward_in_train_mode",
    "gradient_agreement",
    "gradients_of",
    "mean_loss",
    "second_derivatives",
    "with_gradients",
]


@dataclass(frozen=True)
class WeightGradient:
    """A weight W, and a derivative with respect to it of the same shape."""

    name: str
    weight: Tensor
    gradient: Tensor


def gradients_of(
    scalar: Tensor,
    variables: Sequence[Tensor],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Differentiate ``scalar``; None for what it does not depend on."""
    if not scalar.requires_grad or not variables:
        return [None] * len(variables)
    return list(
        torch.autograd.grad(
            scalar,
            variables,
            retain_graph=retain_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    )


def with_gradients(
    weights: Sequence[LayerWeight],
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
) -> tuple[WeightGradient, ...]:
    """Return the weights that have a gradient, with it, both detached and at least float32."""
    return tuple(
        WeightGradient(weight.name, widened(tensor), widened(gradient))
        for weight, tensor, gradient in zip(weights, tensors, gradients, strict=True)
        if gradient is not None
    )


def forward_in_train_mode(request: Request, inputs: Any, *, samples: int) -> Tensor:
    """Run the network; say what to do where BatchNorm cannot normalise a single sample."""
    try:
        return request.forward(inputs)
    except ValueError as error:
        if samples == 1 and "more than 1 value per channel" in str(error):
            readers = request.who_reads(request.readers)
            raise BatchError(
                f"for {readers} the network sees one sample at a time, and a BatchNorm layer sees "
                "one value a channel of it, which has no variance; pass at least two samples, and "
                "leave out gradsign, which reads them one by one"
            ) from error
        raise


def mean_loss(request: Request, output: Tensor, batch: Batch) -> Tensor:
    """Return the loss, checked to be one finite number.

    Raises:
        LabelsError: If a label is not a class of the output.
        OutputError: If the loss is not a scalar.
        UndefinedScoreError: If it is not finite.
    """
    targets = batch.targets
    if request.loss_fn is nn.functional.cross_entropy:
        _check_classes(output, targets)
    loss = request.loss_fn(output, targets)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        seen = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise OutputError(
            f"loss_fn returned {seen}, and the proxies differentiate one number; return the mean "
            "over the batch"
        )
    if not bool(torch.isfinite(loss.detach())):
        readers = request.who_reads(key for key in request.readers if key.needs_labels)
        raise UndefinedScoreError(
            f"the loss is {loss.item()}, which leaves {readers} without a value: the initial "
            "weights or the inputs are too large; check the initialisation and the normalisation"
        )
    return loss


def _check_classes(output: Tensor, targets: Any) -> None:
    """Raise LabelsError for a class that the output does not have.

    On a GPU, torch would abort the process's CUDA context instead of raising.
    """
    if not isinstance(targets, Tensor) or targets.is_floating_point() or output.dim() == 0:
        return
    if output.dim() == 2 and targets.shape != output.shape[:1]:
        raise LabelsError(
            f"the labels have shape {tuple(targets.shape)}, and the output of shape "
            f"{tuple(output.shape)} wants one class for each of {output.size(0)} samples"
        )
    classes = output.size(min(1, output.dim() - 1))
    ignored = -100  # the default ignore_index of cross_entropy
    wrong = targets[(targets != ignored) & ((targets < 0) | (targets >= classes))]
    if wrong.numel():
        raise LabelsError(
            f"the labels hold class {int(wrong[0])}, and the output of shape "
            f"{tuple(output.shape)} has classes 0 to {classes - 1}; make the network's last layer "
            "as wide as there are classes, or number the labels from 0"
        )


def gradient_agreement(gradients: Sequence[Tensor | None], *, readers: str) -> Tensor | None:
    """Return Σ g·stop(g), whose derivative is Hg; None if the loss is linear in the weights.

    Raises:
        SecondDerivativeError: If an operation of the network has no second derivative.
    """
    terms = [
        torch.sum(gradient * gradient.detach())
        for gradient in gradients
        if gradient is not None and gradient.requires_grad
    ]
    if not terms:
        return None
    agreement = torch.stack(terms).sum()
    if _is_cut(agreement):
        raise _no_second_derivative(readers, "its backward is marked once_differentiable")
    return agreement


def second_derivatives(
    agreement: Tensor | None, variables: Sequence[Tensor], *, readers: str, retain_graph: bool
) -> list[Tensor | None]:
    """Differentiate what `gradient_agreement` returned; None for what it does not depend on.

    Raises:
        SecondDerivativeError: If an operation of the network has no second derivative.
    """
    if agreement is None:
        return [None] * len(variables)
    try:
        return gradients_of(agreement, variables, retain_graph=retain_graph)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise _no_second_derivative(readers, str(error)) from error


def _no_second_derivative(readers: str, reason: str) -> SecondDerivativeError:
    return SecondDerivativeError(
        "an operation of the network has no second derivative, which is read by "
        f"{readers}: {reason.rstrip('.')}. Leave that proxy out for this network, or replace the "
        "operation by one that can be differentiated twice"
    )


def _is_cut(scalar: Tensor) -> bool:
    """Return whether ``scalar`` depends on a function that is marked ``once_differentiable``.

    For these torch cuts the graph at a node that raises; but with ``torch.autograd.grad`` that
    node is not on the way to any variable, so the derivative would silently lack a part.
    """
    return any(node.name() == "torch::autograd::Error" for node in nodes_behind(scalar))
