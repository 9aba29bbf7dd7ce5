"""The pass over one minibatch of the network as it is initialised.

One forward in ``train()`` mode, so that BatchNorm normalises with the minibatch's statistics, and
from it at most three derivatives: of the loss with respect to weights and layer outputs, of the
summed logits with respect to the inputs, and a second derivative of the loss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached

from optuna_zerocost.proxies._errors import (
    BatchError,
    LabelsError,
    OutputError,
    SecondDerivativeError,
    UndefinedScoreError,
)
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._structure import CONVOLUTIONS, LayerWeight
from optuna_zerocost.proxies._tensors import unfused, widened

__all__ = [
    "GRADIENT_PRODUCTS",
    "INPUT_GRADIENTS",
    "LAYER_OUTPUTS",
    "WEIGHT_GRADIENTS",
    "LayerOutput",
    "LossPass",
    "WeightGradient",
]


@dataclass(frozen=True)
class WeightGradient:
    """A weight W, and a derivative with respect to it of the same shape."""

    name: str
    weight: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class LayerOutput:
    """The output a of one call of a layer, (N, C, S), and ∂L/∂a of the same shape.

    S is the number of positions (pixels, steps) that share the layer's weights, 1 if there are
    none. ``weights_per_channel`` is the size of the layer's weight divided by C.
    """

    activation: Tensor
    gradient: Tensor
    weights_per_channel: int


@dataclass(frozen=True)
class LossPass(Pass):
    """One forward in train mode on the minibatch, with the derivatives that are asked for."""

    @property
    def name(self) -> str:
        """The pass's name in messages."""
        return "loss"

    def run(self, request: Request) -> Measured:
        """Run the forward pass and return the quantities that are wanted."""
        request.require_labels()
        request.batch.check_values()
        if request.wants(INPUT_GRADIENTS):
            _check_differentiable_inputs(request)
        weights: tuple[LayerWeight, ...] = ()
        of_weights = [key for key in request.readers if key.needs_labels]
        if of_weights:
            weights = request.structure.require_weights(readers=request.who_reads(of_weights))
            request.structure.require_gradients()
        request.network.train()
        twice = request.wants(GRADIENT_PRODUCTS)
        # Inside cached(), a parametrised weight is the very tensor that the forward reads.
        with unfused(request.structure) if twice else contextlib.nullcontext(), cached():
            return self._differentiate(request, weights)

    def _differentiate(self, request: Request, weights: Sequence[LayerWeight]) -> Measured:
        measured: dict[Quantity[Any], object] = {}
        leaves: list[Tensor] = []
        if request.wants(INPUT_GRADIENTS):
            inputs, leaves = request.batch.differentiable()
        else:
            inputs = request.batch.copied()
        calls: list[_Call] = []
        with _recorded(request, calls):
            output = _forward(request, inputs)

        twice = request.wants(GRADIENT_PRODUCTS)
        parameters: list[Tensor] = []
        if twice or request.wants(WEIGHT_GRADIENTS):
            parameters = [weight.tensor() for weight in weights]
        gradients: list[Tensor | None] = []
        if weights:
            gradients = _gradients(
                _loss(request, output),
                [*parameters, *(call.output for call in calls)],
                retain_graph=twice or bool(leaves),
                create_graph=twice,
            )
        of_parameters = gradients[: len(parameters)]
        if request.wants(WEIGHT_GRADIENTS):
            measured[WEIGHT_GRADIENTS] = _pairs(weights, parameters, of_parameters)
        if request.wants(LAYER_OUTPUTS):
            measured[LAYER_OUTPUTS] = tuple(
                call.with_gradient(gradient)
                for call, gradient in zip(calls, gradients[len(parameters) :], strict=True)
                if gradient is not None
            )
        if request.wants(INPUT_GRADIENTS):
            found = _gradients(output.sum(), leaves, retain_graph=twice)
            measured[INPUT_GRADIENTS] = torch.cat(
                [
                    (torch.zeros_like(leaf) if gradient is None else gradient).flatten(1)
                    for leaf, gradient in zip(leaves, found, strict=True)
                ],
                dim=1,
            )
        if twice:
            products = _gradient_products(request, parameters, of_parameters)
            measured[GRADIENT_PRODUCTS] = _pairs(weights, parameters, products)
        return Measured(measured)


LOSS = LossPass()

WEIGHT_GRADIENTS: Quantity[tuple[WeightGradient, ...]] = Quantity(
    "weight gradients",
    LOSS,
    "each weight with the gradient g of the mean loss; weights without a gradient are left out",
    needs_labels=True,
)
LAYER_OUTPUTS: Quantity[tuple[LayerOutput, ...]] = Quantity(
    "layer outputs",
    LOSS,
    "for each call of a convolutional or linear layer its output and the gradient of the mean "
    "loss, (N, C, S)",
    needs_labels=True,
)
INPUT_GRADIENTS: Quantity[Tensor] = Quantity(
    "input gradients",
    LOSS,
    "the gradient of the summed logits with respect to each sample, flattened, (N, D)",
)
GRADIENT_PRODUCTS: Quantity[tuple[WeightGradient, ...]] = Quantity(
    "Hessian-gradient products",
    LOSS,
    "each weight with its part of Hg, H the Hessian of the mean loss",
    needs_labels=True,
    needs_second_derivatives=True,
)


def _pairs(
    weights: Sequence[LayerWeight],
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
) -> tuple[WeightGradient, ...]:
    return tuple(
        WeightGradient(weight.name, widened(tensor), widened(gradient))
        for weight, tensor, gradient in zip(weights, tensors, gradients, strict=True)
        if gradient is not None
    )


def _gradients(
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


def _check_differentiable_inputs(request: Request) -> None:
    readers = request.who_reads([INPUT_GRADIENTS])
    if request.batch.size < 2:
        raise BatchError(
            f"the batch has one sample, and samples are compared by {readers}; pass at least two"
        )
    if not any(tensor.is_floating_point() for tensor in request.batch.tensors()):
        raise BatchError(
            "the inputs are all integers, with respect to which nothing can be differentiated, "
            f"and their gradient is read by {readers}; choose other proxies for such a network, "
            "or pass embedded inputs"
        )


def _forward(request: Request, inputs: Any) -> Tensor:
    try:
        return request.forward(inputs)
    except ValueError as error:
        if request.batch.size == 1 and "more than 1 value per channel" in str(error):
            raise BatchError(
                "the batch has one sample, and a BatchNorm layer sees one value a channel of it, "
                "which has no variance; pass at least two samples"
            ) from error
        raise


def _loss(request: Request, output: Tensor) -> Tensor:
    targets = request.batch.targets
    if request.loss_fn is nn.functional.cross_entropy:
        _check_classes(output, targets)
    loss = request.loss_fn(output, targets)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        seen = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise OutputError(
            f"loss_fn returned {seen}, and the proxies differentiate one number; return the mean "
            "over the batch"
        )
    if not bool(torch.isfinite(loss)):
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


def _gradient_products(
    request: Request, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Return Hg for each parameter, as the gradient of Σ g·stop(g)."""
    terms = [
        torch.sum(gradient * gradient.detach())
        for gradient in gradients
        if gradient is not None and gradient.requires_grad
    ]
    if not terms:  # the loss is linear in the weights
        return [None] * len(parameters)
    agreement = torch.stack(terms).sum()
    readers = request.who_reads([GRADIENT_PRODUCTS])
    if _is_cut(agreement):
        raise _no_second_derivative(readers, "its backward is marked once_differentiable")
    try:
        return _gradients(agreement, parameters)
    except RuntimeError as error:
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
    seen = set()
    waiting = [scalar.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() == "torch::autograd::Error":
            return True
        seen.add(node)
        waiting.extend(following for following, _ in node.next_functions)
    return False


@dataclass(frozen=True)
class _Call:
    """One call of a layer with the output it gave."""

    layer: nn.Module
    output: Tensor

    def with_gradient(self, gradient: Tensor) -> LayerOutput:
        activation, gradient = self._by_channel(self.output), self._by_channel(gradient)
        weight = LayerWeight("", self.layer, "weight", ()).tensor()
        return LayerOutput(activation, gradient, weight.numel() // activation.size(1))

    def _by_channel(self, value: Tensor) -> Tensor:
        """Arrange (N, C, H, W), or (N, T, C) of a linear layer, as (N, C, S)."""
        value = widened(value)
        if isinstance(self.layer, nn.Linear):
            value = value.unsqueeze(0) if value.dim() == 1 else value
            return value.flatten(1, -2).transpose(1, 2) if value.dim() > 2 else value.unsqueeze(2)
        kernel_size = self.layer.kernel_size
        assert isinstance(kernel_size, tuple)
        if value.dim() == len(kernel_size) + 1:  # a convolution of a single sample
            value = value.unsqueeze(0)
        return value.flatten(2)


@contextlib.contextmanager
def _recorded(request: Request, calls: list[_Call]) -> Iterator[None]:
    """Context manager: inside, note every call of a layer whose output is wanted."""

    def note(layer: nn.Module, _arguments: Any, output: Tensor) -> Tensor | None:
        if not output.requires_grad:
            return None
        calls.append(_Call(layer, output))
        # An activation in place overwrites what comes next, so that gets a copy: the output, and
        # the gradient with respect to it, stay the layer's own.
        return output.clone()

    handles = []
    try:
        if request.wants(LAYER_OUTPUTS):
            for module in request.structure.modules:
                if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
                    handles.append(module.register_forward_hook(note))
        yield
    finally:
        for handle in handles:
            handle.remove()
