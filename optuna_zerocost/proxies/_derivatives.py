"""The loss of a minibatch, and derivatives of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._errors import (
    LabelsError,
    OutputError,
    SecondDerivativeError,
    UndefinedScoreError,
)
from optuna_zerocost.proxies._failures import is_out_of_memory
from optuna_zerocost.proxies._minibatch import Batch
from optuna_zerocost.proxies._pass import Request
from optuna_zerocost.proxies._structure import LayerWeight
from optuna_zerocost.proxies._tensors import nodes_behind, tensors_in, widened

__all__ = [
    "WeightGradient",
    "gradient_agreement",
    "gradients_of",
    "mean_loss",
    "second_derivatives",
    "with_gradients",
]


_IGNORED = -100  # the default ignore_index of cross_entropy
_ROUNDED = 0.01  # of a sum of probabilities, in half precision too
_OTHER_LOSSES = (
    "pass the loss that you train with as loss_fn, for example torch.nn.functional.mse_loss for "
    "real values, or torch.nn.functional.binary_cross_entropy_with_logits for two classes, and "
    "for several labels that hold at once"
)


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
    found = torch.autograd.grad(
        scalar, variables, retain_graph=retain_graph, create_graph=create_graph, allow_unused=True
    )
    return list(found)


def with_gradients(
    weights: Sequence[LayerWeight], tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> tuple[WeightGradient, ...]:
    """Return the weights that have a gradient, with it, both detached and at least float32."""
    return tuple(
        WeightGradient(weight.name, widened(tensor), widened(gradient))
        for weight, tensor, gradient in zip(weights, tensors, gradients, strict=True)
        if gradient is not None
    )


def mean_loss(request: Request, output: Any, batch: Batch) -> Tensor:
    """Return the loss, checked to be one finite number that can be differentiated.

    A loss of the user's own takes what the network puts out, and labels if there are any.
    """
    targets = batch.targets
    if request.loss_fn is nn.functional.cross_entropy:
        _check_classes(request.logits(output), targets)
    needing = [key for key in request.readers if key.needs_labels]
    readers = request.who_reads(needing)
    try:
        loss: Any = request.loss_fn(output, targets)
    except Exception as error:
        if targets is not None or is_out_of_memory(error):
            raise
        raise request.no_labels(needing) from error  # the loss does not do without
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
        seen = f"a {type(loss).__name__}"
        if isinstance(loss, Tensor):
            seen = f"a tensor of {loss.dtype} and shape {tuple(loss.shape)}"
        raise OutputError(
            f"loss_fn returned {seen}, and the proxies differentiate one number; return the mean "
            "over the batch"
        )
    if not loss.requires_grad and any(tensor.requires_grad for tensor in tensors_in(output)):
        raise OutputError(
            f"loss_fn returned a number that does not lead back to the output, so {readers} would "
            "find no gradient; return what can be differentiated, without detach() or argmax()"
        )
    if not bool(torch.isfinite(loss.detach())):
        if missing := _without_label(targets, request.loss_fn):
            raise LabelsError(
                f"{batch.name} has no label that counts ({missing}), so its mean loss is "
                f"{loss.item()}, and {readers} reads the gradient of that; leave such samples out"
                + (", or leave out the proxy" if batch.name != "the minibatch" else "")
            )
        raise UndefinedScoreError(
            f"the loss is {loss.item()}, which leaves {readers} without a value: the initial "
            "weights or the inputs are too large; check the initialisation and the normalisation",
            not_finite=True,
        )
    return loss


def _without_label(targets: Any, loss_fn: Any) -> str:
    """Return why no label counts: all are ignored, or NaN; empty if some do."""
    labels = [tensor for tensor in tensors_in(targets) if tensor.numel()]
    ignored = getattr(loss_fn, "ignore_index", _IGNORED)
    if labels and all(bool((leaf == ignored).all()) for leaf in labels):
        return f"all are {ignored}, which is ignored"
    if any(leaf.is_floating_point() and bool(torch.isnan(leaf).any()) for leaf in labels):
        return "labels are NaN"
    return ""


def _check_classes(output: Tensor, targets: Any) -> None:
    """Raise LabelsError for targets that cross-entropy, the default, is not the loss of.

    Of a class that the output does not have, torch would on a GPU abort the process's CUDA context
    instead of raising; of real numbers it would take a loss that means nothing.
    """
    if not isinstance(targets, Tensor) or output.dim() == 0:
        return
    classes = output.size(min(1, output.dim() - 1))
    if classes == 1:
        raise LabelsError(
            f"the output of shape {tuple(output.shape)} has one number for each sample, for which "
            "cross-entropy, the loss that is taken where none is given, is 0 whatever the network "
            f"does; {_OTHER_LOSSES}"
        )
    if targets.is_floating_point():
        _check_probabilities(output, targets)
        return
    if output.dim() == 2 and targets.shape != output.shape[:1]:
        raise LabelsError(
            f"the labels have shape {tuple(targets.shape)}, and the output of shape "
            f"{tuple(output.shape)} wants one class for each of {output.size(0)} samples; "
            f"{_OTHER_LOSSES}"
        )
    wrong = targets[(targets != _IGNORED) & ((targets < 0) | (targets >= classes))]
    if wrong.numel():
        raise LabelsError(
            f"the labels hold class {int(wrong[0])}, and the output of shape "
            f"{tuple(output.shape)} has classes 0 to {classes - 1}; make the network's last layer "
            "as wide as there are classes, or number the labels from 0"
        )


def _check_probabilities(output: Tensor, targets: Tensor) -> None:
    """Raise LabelsError for real numbers that are not each class's probability."""
    if targets.shape == output.shape:
        sums = targets.sum(dim=min(1, targets.dim() - 1), dtype=torch.float64)
        # A NaN is a label that is missing, of which there is more to say elsewhere.
        if not bool((targets < 0).any() | ((sums - 1).abs() > _ROUNDED).any()):
            return
        seen = f"{targets.flatten()[0].item():.4g} the first of them"
    else:
        seen = f"of shape {tuple(targets.shape)}"
    raise LabelsError(
        f"the targets are real numbers, {seen}, and not the probabilities of classes that "
        "cross-entropy takes them for, the loss where none is given, with an output of shape "
        f"{tuple(output.shape)}; {_OTHER_LOSSES}"
    )


def gradient_agreement(gradients: Sequence[Tensor | None], *, readers: str) -> Tensor:
    """Return Σ g·stop(g), whose derivative is Hg; a constant if the loss is linear in the weights.

    Functions that are marked ``once_differentiable`` are refused here. For these torch cuts the
    graph at a node that raises; but with ``torch.autograd.grad`` that node is not on the way to
    any variable, so the derivative would silently lack a part.
    """
    terms = [
        torch.sum(gradient * gradient.detach())
        for gradient in gradients
        if gradient is not None and gradient.requires_grad
    ]
    agreement = torch.stack(terms or [torch.zeros(())]).sum()
    if any(node.name() == "torch::autograd::Error" for node in nodes_behind(agreement)):
        raise _no_second_derivative(readers, "its backward is marked once_differentiable")
    return agreement


def second_derivatives(
    agreement: Tensor, variables: Sequence[Tensor], *, readers: str, retain_graph: bool = False
) -> list[Tensor | None]:
    """Differentiate what `gradient_agreement` returned; None for what it does not depend on."""
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
