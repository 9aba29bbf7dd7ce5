"""The pass over one minibatch of the network as it is initialised.

One forward in ``train()`` mode, so that BatchNorm normalises with the minibatch's statistics, and
from it at most three derivatives: of the loss with respect to weights and layer outputs, of the
summed logits with respect to the inputs, and a second derivative of the loss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import cached
from torch.utils.checkpoint import CheckpointError

from optuna_zerocost.proxies._derivatives import (
    WeightGradient,
    gradient_agreement,
    gradients_of,
    mean_loss,
    second_derivatives,
    with_gradients,
)
from optuna_zerocost.proxies._errors import BatchError, LabelsError
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._random import RandomState
from optuna_zerocost.proxies._recorded_forward import LayerOutput, Record, Wanted, recorded_forward
from optuna_zerocost.proxies._structure import LayerWeight
from optuna_zerocost.proxies._tensors import is_number, tensors_in, total, unfused, widened

__all__ = [
    "ACTIVATION_AGREEMENT",
    "CLASSES",
    "FEATURE_MAPS",
    "GRADIENT_PRODUCTS",
    "INPUT_GRADIENTS",
    "LAYER_OUTPUTS",
    "WEIGHTED_GRADIENT_PRODUCT",
    "WEIGHT_GRADIENTS",
]


class LossPass(Pass):
    """One forward in train mode on the minibatch, with the derivatives that are asked for."""

    name = "loss"

    def run(self, request: Request) -> Measured:
        request.require_labels()
        request.batch.check_values()
        if request.wants(INPUT_GRADIENTS):
            request.require_two_samples([INPUT_GRADIENTS])
            request.batch.require_known_rows()
            if not any(is_number(tensor) for tensor in request.batch.tensors()):
                raise BatchError(
                    "the inputs are all integers, with respect to which nothing can be "
                    "differentiated, and their gradient is read by "
                    f"{request.who_reads([INPUT_GRADIENTS])}; choose other proxies for such a "
                    "network, or pass embedded inputs"
                )
        weights: tuple[LayerWeight, ...] = ()
        of_weights = [q for q in (WEIGHT_GRADIENTS, LAYER_OUTPUTS, *_SECOND) if request.wants(q)]
        if of_weights:
            weights = request.structure.require_weights(readers=request.who_reads(of_weights))
        if of_weights or request.wants(ACTIVATION_AGREEMENT):
            request.structure.require_gradients()
        request.structure.set_mode(training=True)
        twice = any(request.wants(key) for key in _SECOND)
        # Inside cached(), a parametrised weight is the very tensor that the forward reads.
        with unfused(request.structure) if twice else contextlib.nullcontext(), cached():
            parameters: list[Tensor] = []
            if twice or request.wants(WEIGHT_GRADIENTS):
                parameters = [weight.tensor() for weight in weights]
            if twice:
                before = RandomState()
                with contextlib.suppress(CheckpointError):
                    return _measured(request, weights, parameters, quick=True)
                # A checkpointed part of the network is run again while torch differentiates,
                # and then without the mode, so that it keeps other tensors than before.
                before.restore()
                request.rewind()
                request.structure.require_gradients()
            return _measured(request, weights, parameters, quick=False)


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
    needs_weights=False,
)
CLASSES: Quantity[Tensor] = Quantity(
    "classes",
    LOSS,
    "the class of each sample, (N,), integers",
    needs_labels=True,
    needs_weights=False,
)
ACTIVATION_AGREEMENT: Quantity[Tensor] = Quantity(
    "activation agreement",
    LOSS,
    "for each pair of samples the number of units, of all ReLU-like activations that reach the "
    "output, that both switch on or both switch off, (N, N), float64 on the CPU",
    needs_weights=False,
)
FEATURE_MAPS: Quantity[tuple[Tensor, ...]] = Quantity(
    "feature maps",
    LOSS,
    "what each call of a module put out for the first sample, if it has positions, (C, S)",
    needs_weights=False,
)
GRADIENT_PRODUCTS: Quantity[tuple[WeightGradient, ...]] = Quantity(
    "Hessian-gradient products",
    LOSS,
    "each weight with its part of Hg, H the Hessian of the mean loss",
    needs_labels=True,
    needs_second_derivatives=True,
)
WEIGHTED_GRADIENT_PRODUCT: Quantity[float] = Quantity(
    "weighted Hessian-gradient product",
    LOSS,
    "wᵀHg, over all weights together, which takes less time than their parts of Hg",
    needs_labels=True,
    needs_second_derivatives=True,
)
_SECOND = (GRADIENT_PRODUCTS, WEIGHTED_GRADIENT_PRODUCT)


def _measured(
    request: Request, weights: Sequence[LayerWeight], parameters: Sequence[Tensor], *, quick: bool
) -> Measured:
    measured: dict[Quantity[Any], object] = {}
    twice = any(request.wants(key) for key in _SECOND)
    wanted = Wanted(
        calls=request.who_reads([LAYER_OUTPUTS]),
        maps=request.who_reads([FEATURE_MAPS]),
        agreements=request.who_reads([ACTIVATION_AGREEMENT]),
        leaves=request.wants(INPUT_GRADIENTS) or request.wants(ACTIVATION_AGREEMENT),
    )
    record = recorded_forward(request, wanted, parameters if quick else None)
    if request.wants(INPUT_GRADIENTS) or not weights:
        request.logits(record.output)
    if request.wants(CLASSES):
        measured[CLASSES] = _classes(request)
    if request.wants(FEATURE_MAPS):
        measured[FEATURE_MAPS] = record.feature_maps()
    if request.wants(ACTIVATION_AGREEMENT):
        measured[ACTIVATION_AGREEMENT] = record.agreement()
    gradients: list[Tensor | None] = []
    if weights:
        variables = [*parameters, *(call.output for call in record.calls)]
        with record.quick.differentiating(variables):
            gradients = gradients_of(
                mean_loss(request, record.output, request.batch),
                variables,
                retain_graph=twice or request.wants(INPUT_GRADIENTS),
                create_graph=twice,
            )
    of_parameters, of_calls = gradients[: len(parameters)], gradients[len(parameters) :]
    if request.wants(WEIGHT_GRADIENTS):
        measured[WEIGHT_GRADIENTS] = with_gradients(weights, parameters, of_parameters)
    if request.wants(LAYER_OUTPUTS):
        measured[LAYER_OUTPUTS] = tuple(
            call.with_gradient(gradient)
            for call, gradient in zip(record.calls, of_calls, strict=True)
            if gradient is not None
        )
    if request.wants(INPUT_GRADIENTS):
        leaves = record.leaves
        with record.quick.differentiating(leaves):
            logits = request.logits(record.output).sum()
            found = gradients_of(logits, leaves, retain_graph=twice)
        rows = (
            _as_real(torch.zeros_like(leaf) if gradient is None else gradient).flatten(1)
            for leaf, gradient in zip(leaves, found, strict=True)
        )
        measured[INPUT_GRADIENTS] = torch.cat(list(rows), dim=1)
    if twice:
        measured |= _differentiated_twice(request, record, weights, parameters, of_parameters)
    return Measured(measured)


def _differentiated_twice(
    request: Request,
    record: Record,
    weights: Sequence[LayerWeight],
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
) -> dict[Quantity[Any], object]:
    """Return the quantities that are read off the derivative of Σ g·stop(g)."""
    quick = record.quick
    agreement = gradient_agreement(gradients, readers=request.who_reads(_SECOND))
    measured: dict[Quantity[Any], object] = {}
    last = request.wants(WEIGHTED_GRADIENT_PRODUCT)
    if request.wants(GRADIENT_PRODUCTS):
        readers = request.who_reads([GRADIENT_PRODUCTS])
        with quick.differentiating(parameters):
            found = second_derivatives(agreement, parameters, readers=readers, retain_graph=last)
        measured[GRADIENT_PRODUCTS] = with_gradients(weights, parameters, found)
    if last:
        # Of the weights that have a common factor by the derivative with respect to it, of the
        # other weights each with its part of Hg.
        variables = [quick.scale, *quick.not_only_scaled(tensors_in(record.output), parameters)]
        readers = request.who_reads([WEIGHTED_GRADIENT_PRODUCT])
        with quick.differentiating(variables):
            found = second_derivatives(agreement, variables, readers=readers)
        measured[WEIGHTED_GRADIENT_PRODUCT] = total(
            torch.sum(widened(variable) * widened(product)).double()
            for variable, product in zip(variables, found, strict=True)
            if product is not None
        )
    return measured


def _as_real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _classes(request: Request) -> Tensor:
    targets, samples = request.batch.targets, request.batch.size
    if targets is None:
        raise request.no_labels([CLASSES])
    seen = f"a {type(targets).__name__}"
    if isinstance(targets, Tensor):
        if targets.shape == (samples,) and not targets.is_floating_point():
            return targets
        seen = f"of {targets.dtype} and shape {tuple(targets.shape)}"
    raise LabelsError(
        f"the labels are {seen}, and {request.who_reads([CLASSES])} wants one class for each "
        f"of {samples} samples, as integers; choose other proxies where samples have no classes"
    )
