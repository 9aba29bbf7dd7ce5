"""The pass in which all weights are positive, and so no two contributions cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.nn.utils.parametrize import cached

from optuna_zerocost.proxies._derivatives import WeightGradient, gradients_of, with_gradients
from optuna_zerocost.proxies._errors import PassError, ProxyError, UndefinedScoreError
from optuna_zerocost.proxies._extended_range import (
    ExtendedRange,
    UnsupportedOperation,
    times_power_of_two,
)
from optuna_zerocost.proxies._failures import is_out_of_memory, layer_that_raised
from optuna_zerocost.proxies._normalisation import normalisation_bypassed
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._structure import EMBEDDINGS
from optuna_zerocost.proxies._tensors import flow_type, is_number, nodes_behind
from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named, hooked

__all__ = [
    "FLOW_GRADIENTS",
    "SCALED_FLOW_GRADIENTS",
    "ScaledGradients",
]

# Beyond this, R or a derivative of it may exceed float64.
_LARGE = 2.0**900


@dataclass(frozen=True)
class ScaledGradients:
    """Gradients of the flow: each item's ``gradient`` times 2 to the power ``exponent``.

    The exponent is 0 but for networks whose flow is (nearly) beyond float64.
    """

    gradients: tuple[WeightGradient, ...]
    exponent: int


class FlowPass(Pass):
    """Absolute weights in float64, no normalisation, eval mode, one input of ones.

    A network that does not run in float64, for a layer or kernel of it fixes another type, is run
    in the type that its parameters have.

    Ones cannot be tokens: every embedding layer hands over ones instead of its vectors, so that
    the flow starts there. Normalisation is bypassed wherever it is a layer of torch.nn, LayerNorm
    too, or what a subclass of one calls; whatever else the subclass does stays. Softmax is held
    constant: attention passes on the mean of the values that its mask lets through, and queries
    and keys add nothing. All other operations stay.
    """

    name = "synaptic flow"
    holds_whole_batch = False  # One input is run.
    copies_parameters = False
    replaces_values = True

    def run(self, request: Request) -> Measured:
        try:
            return _measured(request, double=True)
        except Exception as error:
            if isinstance(error, ProxyError) or is_out_of_memory(error):
                raise
            failed = error
        request.rewind()
        try:
            return _measured(request, double=False)
        except Exception as error:
            is_typed = isinstance(error, ProxyError) or is_out_of_memory(error)
            if is_typed or str(error) == str(failed):
                raise
            raise _no_type(request, failed, error) from failed


def _measured(request: Request, *, double: bool) -> Measured:
    weights = request.structure.require_weights(readers=request.who_reads(request.readers))
    _make_absolute(request, double=double)
    request.structure.require_gradients()
    embeddings = request.structure.of_kind(*EMBEDDINGS)
    # In train mode, dropout would cut part of the flow at random.
    request.structure.set_mode(training=False)
    with (
        normalisation_bypassed(request.structure),
        hooked((layer, lambda *call: torch.ones_like(call[-1])) for layer in embeddings),
        contextlib.ExitStack() as stack,
        cached(),
    ):
        tensors = [weight.tensor() for weight in weights]
        # Where there is no softmax, its mode would add a tenth to the time of small layers.
        attending = request.structure.of_kind(nn.MultiheadAttention, nn.Softmax, nn.Softmax2d)
        if attending:
            stack.enter_context(_ConstantSoftmax())
        flow, exponent = _flow(request, double=double), 0
        if not attending and _passes_softmax(flow):
            stack.enter_context(_ConstantSoftmax())
            del flow  # and with it what is kept for its derivatives
            flow = _flow(request, double=double)
        if double and not abs(float(flow.detach())) < _LARGE:
            del flow
            flow, exponent = _flow_in_extended_range(request)
    gradients = with_gradients(weights, tensors, gradients_of(flow, tensors))
    if not double:
        gradients = tuple(map(_in_double, gradients))
        _check_range(request, flow, gradients)
    scaled = ScaledGradients(gradients, exponent)
    measured: dict[Quantity[Any], object] = {SCALED_FLOW_GRADIENTS: scaled}
    if request.wants(FLOW_GRADIENTS):
        measured[FLOW_GRADIENTS] = _unscaled(request, scaled)
    return Measured(measured)


def _no_type(request: Request, in_double: Exception, in_own: Exception) -> PassError:
    reasons = [
        f"{type(e).__name__}: {e}".splitlines()[0].rstrip(".: ") for e in (in_double, in_own)
    ]
    return PassError(
        f"{request.who_reads(request.readers)} computes in float64, which failed"
        f"{layer_that_raised(in_double, request)} with {reasons[0]}; and in the type that the "
        f"network bears, which failed{layer_that_raised(in_own, request)} with {reasons[1]}. Let "
        "the forward take types from its inputs (x.dtype, x.new_zeros, torch.zeros_like) instead "
        "of fixing them, or choose other proxies"
    )


def _in_double(item: WeightGradient) -> WeightGradient:
    return WeightGradient(item.name, item.weight.double(), item.gradient.double())


def _check_range(request: Request, flow: Tensor, gradients: Sequence[WeightGradient]) -> None:
    values = [flow.detach(), *(item.gradient for item in gradients)]
    if all(bool(torch.isfinite(value).all()) for value in values):
        return
    raise UndefinedScoreError(
        f"the flow, which {request.who_reads(request.readers)} reads, is beyond what {flow.dtype} "
        "holds, and the network does not run in float64: a layer of it fixes the type. Let the "
        "forward take types from its inputs (x.dtype, x.new_zeros), or choose other proxies",
        not_finite=True,
    )


FLOW = FlowPass()

FLOW_GRADIENTS: Quantity[tuple[WeightGradient, ...]] = Quantity(
    "flow gradients",
    FLOW,
    "each absolute weight with the gradient of the summed output R, both float64; weights "
    "without a gradient are left out",
)
SCALED_FLOW_GRADIENTS: Quantity[ScaledGradients] = Quantity(
    "scaled flow gradients",
    FLOW,
    "the same divided by a power of two, for networks whose gradients exceed float64",
)


def _flow(request: Request, *, double: bool = True) -> Tensor:
    has_embeddings = bool(request.structure.of_kind(*EMBEDDINGS))
    inputs = request.batch.ones(double=double, integers_flow=not has_embeddings)
    return request.forward(inputs).sum()


def _flow_in_extended_range(request: Request) -> tuple[Tensor, int]:
    """Return R·2^−e and e."""
    readers = request.who_reads(request.readers)
    extended = ExtendedRange()
    try:
        with extended:
            flow = _flow(request)
    except UnsupportedOperation as error:
        raise UndefinedScoreError(
            "the flow through the network is beyond what float64 holds, since without its "
            "normalisation the network is too deep or too wide, and the operation "
            f"{str(error)!r} is not available in a wider range, which leaves {readers} without a "
            "value; choose other proxies for this network"
        ) from None
    if not bool(torch.isfinite(flow.detach())):
        raise UndefinedScoreError(
            f"the flow through the network is {flow.item()}, also in a wider range than that of "
            f"float64, which leaves {readers} without a value: a buffer or an operation of the "
            "network is infinite, or NaN, for inputs of ones"
        )
    return flow, extended.exponent(flow)


def _unscaled(request: Request, scaled: ScaledGradients) -> tuple[WeightGradient, ...]:
    if scaled.exponent == 0:
        return scaled.gradients
    found = tuple(
        WeightGradient(item.name, item.weight, times_power_of_two(item.gradient, scaled.exponent))
        for item in scaled.gradients
    )
    if not all(bool(torch.isfinite(item.gradient).all()) for item in found):
        raise UndefinedScoreError(
            f"the flow gradients, which {request.who_reads([FLOW_GRADIENTS])} reads, are beyond "
            "what float64 holds; read SCALED_FLOW_GRADIENTS, which are divided by a power of two"
        )
    return found


def _make_absolute(request: Request, *, double: bool) -> None:
    """Put absolute values behind every parameter and buffer of floating point, or complex.

    They become float64, as do other tensors that modules hold; or, unless ``double``, stay in the
    type that they have, but for half precision, which becomes float32.
    """
    together: list[Tensor] = []
    for _, tensor in request.structure.tensors():
        if not is_number(tensor):
            continue
        real = double and tensor.is_floating_point() and tensor.is_contiguous()
        if real and tensor.device == (together or [tensor])[0].device:
            together.append(tensor)
        else:
            tensor.data = tensor.data.abs().to(flow_type(tensor, double=double))
    if together:
        # One block of memory for all: of one for each, the system's page faults would take
        # longer than the copying.
        block = torch.cat([tensor.data.flatten() for tensor in together]).abs_().double()
        parts = torch.split(block, [tensor.numel() for tensor in together])
        for tensor, part in zip(together, parts, strict=True):
            tensor.data = part if tensor.dim() == 1 else part.view(tensor.shape)
    registered = {id(tensor) for _, tensor in request.structure.tensors()}
    for tensor in request.state.held if request.state is not None else ():
        if is_number(tensor) and id(tensor) not in registered:
            tensor.data = tensor.data.to(flow_type(tensor, double=double), copy=True)


def _passes_softmax(flow: Tensor) -> bool:
    """Return whether gradient passes a softmax, called by whatever code, on its way."""
    kinds = {type(node) for node in nodes_behind(flow)}
    return any(
        "oftmax" in kind.__name__
        or "ttention" in kind.__name__
        or issubclass(kind, BackwardCFunction)  # which may hide one
        for kind in kinds
    )


class _ConstantSoftmax(FunctionMode):
    """Context manager: inside, no gradient flows through softmax, and attention is uniform.

    With an input of ones all positions are alike, so attention is uniform anyway, and the gradient
    with respect to queries and keys is 0 but for rounding. Without normalisation, though, layers
    that follow each other multiply that rounding error beyond the flow itself, even to infinity.
    """

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        if name in ("scaled_dot_product_attention", "multi_head_attention_forward"):
            args = (*(torch.zeros_like(value) for value in args[:2]), *args[2:])
            for key in ("query", "key"):
                if key in named:
                    named[key] = torch.zeros_like(named[key])
        elif name == "softmax":
            args = (*(value.detach() for value in args[:1]), *args[1:])
            if "input" in named:
                named["input"] = named["input"].detach()
        return func(*args, **named)
