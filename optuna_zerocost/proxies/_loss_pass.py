"""The pass over one minibatch of the network as it is initialised.

One forward in ``train()`` mode, so that BatchNorm normalises with the minibatch's statistics, and
from it at most three derivatives: of the loss with respect to weights and layer outputs, of the
summed logits with respect to the inputs, and a second derivative of the loss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached
from torch.utils.checkpoint import CheckpointError

from optuna_zerocost.proxies._activations import ActivationWatch, agreement, leading_to
from optuna_zerocost.proxies._derivatives import (
    forward_in_train_mode,
    gradient_agreement,
    gradients_of,
    mean_loss,
    second_derivatives,
)
from optuna_zerocost.proxies._errors import BatchError, LabelsError, NetworkError
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._preserve import preserved
from optuna_zerocost.proxies._random import RandomState
from optuna_zerocost.proxies._second_derivatives import QuickSecondDerivatives
from optuna_zerocost.proxies._structure import CONVOLUTIONS, LayerWeight
from optuna_zerocost.proxies._tensors import total, unfused, widened

__all__ = [
    "ACTIVATION_AGREEMENT",
    "CLASSES",
    "FEATURE_MAPS",
    "GRADIENT_PRODUCTS",
    "INPUT_GRADIENTS",
    "LAYER_OUTPUTS",
    "WEIGHTED_GRADIENT_PRODUCT",
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
        of_weights = [
            key for key in (WEIGHT_GRADIENTS, LAYER_OUTPUTS, *_SECOND) if request.wants(key)
        ]
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
                with contextlib.suppress(CheckpointError), preserved(request.structure):
                    return self._differentiate(request, weights, parameters, quick=True)
                # A checkpointed part of the network is run again while torch differentiates,
                # and then without the mode, so that it keeps other tensors than before.
                before.restore()
            return self._differentiate(request, weights, parameters, quick=False)

    def _differentiate(
        self,
        request: Request,
        weights: Sequence[LayerWeight],
        parameters: Sequence[Tensor],
        *,
        quick: bool,
    ) -> Measured:
        measured: dict[Quantity[Any], object] = {}
        twice = any(request.wants(key) for key in _SECOND)
        record, output, leaves = _forward(request, scaled=parameters if quick else None)
        if request.wants(CLASSES):
            measured[CLASSES] = _classes(request)
        if request.wants(FEATURE_MAPS):
            measured[FEATURE_MAPS] = _required_maps(request, record)
        if request.wants(ACTIVATION_AGREEMENT):
            measured[ACTIVATION_AGREEMENT] = _agreement_in_all(request, record, output)
        gradients: list[Tensor | None] = []
        if weights:
            variables = [*parameters, *(call.output for call in record.calls)]
            with record.differentiating(variables):
                gradients = gradients_of(
                    mean_loss(request, output, request.batch),
                    variables,
                    retain_graph=twice or request.wants(INPUT_GRADIENTS),
                    create_graph=twice,
                )
        of_parameters = gradients[: len(parameters)]
        if request.wants(WEIGHT_GRADIENTS):
            measured[WEIGHT_GRADIENTS] = _pairs(weights, parameters, of_parameters)
        if request.wants(LAYER_OUTPUTS):
            measured[LAYER_OUTPUTS] = tuple(
                call.with_gradient(gradient)
                for call, gradient in zip(record.calls, gradients[len(parameters) :], strict=True)
                if gradient is not None
            )
        if request.wants(INPUT_GRADIENTS):
            with record.differentiating(leaves):
                found = gradients_of(output.sum(), leaves, retain_graph=twice)
            measured[INPUT_GRADIENTS] = torch.cat(
                [
                    (torch.zeros_like(leaf) if gradient is None else gradient).flatten(1)
                    for leaf, gradient in zip(leaves, found, strict=True)
                ],
                dim=1,
            )
        if twice:
            agreement = gradient_agreement(of_parameters, readers=request.who_reads(_SECOND))
            if request.wants(GRADIENT_PRODUCTS):
                products = _gradient_products(request, record, agreement, parameters)
                measured[GRADIENT_PRODUCTS] = _pairs(weights, parameters, products)
            if request.wants(WEIGHTED_GRADIENT_PRODUCT):
                measured[WEIGHTED_GRADIENT_PRODUCT] = _weighted_gradient_product(
                    request, record, output, agreement, parameters
                )
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
CLASSES: Quantity[Tensor] = Quantity(
    "classes", LOSS, "the class of each sample, (N,), integers", needs_labels=True
)
ACTIVATION_AGREEMENT: Quantity[Tensor] = Quantity(
    "activation agreement",
    LOSS,
    "for each pair of samples the number of units, of all ReLU-like activations that reach the "
    "output, that both switch on or both switch off, (N, N), float64 on the CPU",
)
FEATURE_MAPS: Quantity[tuple[Tensor, ...]] = Quantity(
    "feature maps",
    LOSS,
    "what each call of a module put out for the first sample, if it has positions, (C, S)",
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


def _gradient_products(
    request: Request,
    record: _Record,
    agreement: Tensor | None,
    parameters: Sequence[Tensor],
) -> Sequence[Tensor | None]:
    if agreement is None:
        return [None] * len(parameters)
    with record.differentiating(parameters):
        return second_derivatives(
            agreement,
            parameters,
            readers=request.who_reads([GRADIENT_PRODUCTS]),
            retain_graph=request.wants(WEIGHTED_GRADIENT_PRODUCT),
        )


def _weighted_gradient_product(
    request: Request,
    record: _Record,
    output: Tensor,
    agreement: Tensor | None,
    parameters: Sequence[Tensor],
) -> float:
    """Return wᵀHg: of the weights that have a common factor by the derivative with respect to it.

    Of the other weights, each with its part of Hg.
    """
    if agreement is None:
        return 0.0
    scale, others = [], list(parameters)
    if record.quick is not None:
        scale, others = [record.quick.scale], record.quick.not_only_scaled(output, parameters)
    variables = [*scale, *others]
    with record.differentiating(variables):
        found = second_derivatives(
            agreement,
            variables,
            readers=request.who_reads([WEIGHTED_GRADIENT_PRODUCT]),
            retain_graph=False,
        )
    return total(
        torch.sum(widened(variable) * widened(derivative)).double()
        for variable, derivative in zip(variables, found, strict=True)
        if derivative is not None
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


@dataclass(frozen=True)
class _Call:
    """One call of a layer with the output it gave."""

    layer: nn.Module
    output: Tensor
    version: int

    def is_overwritten(self) -> bool:
        """Return whether the output is no longer what the layer put out."""
        return self.output._version != self.version

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


@dataclass
class _Record:
    """What is noted during the forward pass.

    With ``copies`` what follows a layer gets a copy of its output, so that the output, and the
    gradient with respect to it, stay the layer's own where an operation in place overwrites it.
    """

    copies: bool
    quick: QuickSecondDerivatives | None
    calls: list[_Call] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)
    agreements: list[tuple[Any, Tensor]] = field(default_factory=list)

    def is_overwritten(self) -> bool:
        """Return whether an output that is needed is no longer what the layer put out."""
        lost = self.quick is not None and self.quick.has_lost_output()
        return lost or any(call.is_overwritten() for call in self.calls)

    def differentiating(
        self, variables: Sequence[Tensor]
    ) -> contextlib.AbstractContextManager[None]:
        """Context manager: inside, derivatives are taken with respect to ``variables``."""
        if self.quick is None:
            return contextlib.nullcontext()
        return self.quick.differentiating(variables)


def _forward(
    request: Request, *, scaled: Sequence[Tensor] | None
) -> tuple[_Record, Tensor, list[Tensor]]:
    """Run the network; return the record, the output and the inputs to differentiate by.

    With ``scaled``, and these weights times a factor, for quick second derivatives.
    """

    def record(*, copies: bool) -> _Record:
        quick = None if scaled is None else QuickSecondDerivatives(scaled, copies=copies)
        return _Record(copies, quick)

    in_place = any(getattr(module, "inplace", False) for module in request.structure.modules)
    # What convolutions put out is seldom overwritten, since normalisation comes between.
    is_likely = request.wants(LAYER_OUTPUTS) and in_place
    if (request.wants(LAYER_OUTPUTS) or scaled is not None) and not is_likely:
        # Copies would take memory and time, so first without them.
        first = record(copies=False)
        before = RandomState()
        with preserved(request.structure):
            output, leaves = _forward_once(request, first)
        if not first.is_overwritten():
            return first, output, leaves
        del output, leaves
        before.restore()
    second = record(copies=True)
    return second, *_forward_once(request, second)


def _forward_once(request: Request, record: _Record) -> tuple[Tensor, list[Tensor]]:
    leaves: list[Tensor] = []
    if request.wants(INPUT_GRADIENTS) or request.wants(ACTIVATION_AGREEMENT):
        inputs, leaves = request.batch.differentiable()
    else:
        inputs = request.batch.copied()
    with _recorded(request, record):
        output = forward_in_train_mode(request, inputs, samples=request.batch.size)
    return output, leaves


@contextlib.contextmanager
def _recorded(request: Request, record: _Record) -> Iterator[None]:
    """Context manager: inside, note what is wanted of the forward pass."""

    def note_call(layer: nn.Module, _arguments: Any, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            raise NetworkError(
                f"a {type(layer).__name__} put out a {type(output).__name__}, and "
                f"{request.who_reads([LAYER_OUTPUTS])} reads one tensor of each convolution and "
                "linear layer; leave it out for this network"
            )
        if not output.requires_grad:
            return None
        record.calls.append(_Call(layer, output, output._version))
        return output.clone() if record.copies else None

    def note_map(_module: nn.Module, _arguments: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() > 2 and len(output) == request.batch.size:
            record.maps.append(widened(output[0]).flatten(1).clone())

    def note_codes(codes: Tensor, result: Tensor) -> None:
        record.agreements.append((result.grad_fn, agreement(codes)))

    with contextlib.ExitStack() as stack:
        if record.quick is not None:
            stack.enter_context(record.quick)
        if request.wants(ACTIVATION_AGREEMENT):
            readers = request.who_reads([ACTIVATION_AGREEMENT])
            stack.enter_context(
                ActivationWatch(samples=request.batch.size, readers=readers, note=note_codes)
            )
        for module in request.structure.modules:
            if request.wants(LAYER_OUTPUTS) and isinstance(module, (*CONVOLUTIONS, nn.Linear)):
                stack.callback(module.register_forward_hook(note_call).remove)
            if request.wants(FEATURE_MAPS):
                stack.callback(module.register_forward_hook(note_map).remove)
        yield


def _classes(request: Request) -> Tensor:
    targets = request.batch.targets
    if (
        not isinstance(targets, Tensor)
        or targets.is_floating_point()
        or targets.shape != (request.batch.size,)
    ):
        seen = (
            f"of {targets.dtype} and shape {tuple(targets.shape)}"
            if isinstance(targets, Tensor)
            else f"a {type(targets).__name__}"
        )
        raise LabelsError(
            f"the labels are {seen}, and {request.who_reads([CLASSES])} wants one class for each "
            f"of {request.batch.size} samples, as integers; choose other proxies where samples "
            "have no classes"
        )
    return targets


def _required_maps(request: Request, record: _Record) -> tuple[Tensor, ...]:
    if not record.maps:
        raise NetworkError(
            f"no module of {type(request.network).__name__} put out a map (N, channels, "
            f"positions), which {request.who_reads([FEATURE_MAPS])} reads; choose other proxies "
            "for a network of vectors"
        )
    return tuple(record.maps)


def _agreement_in_all(request: Request, record: _Record, output: Tensor) -> Tensor:
    """Return the sum over the activations that reach the output."""
    reaching = leading_to(output, (node for node, _ in record.agreements))
    found = [agreement for node, agreement in record.agreements if node in reaching]
    if not found:
        raise NetworkError(
            f"no ReLU-like activation of {type(request.network).__name__} reaches the output, and "
            f"{request.who_reads([ACTIVATION_AGREEMENT])} reads their inputs' signs "
            f"({len(record.agreements)} were called); ReLU, GELU, SiLU and their kin count, tanh "
            "and sigmoid do not"
        )
    return torch.stack(found).sum(0)
