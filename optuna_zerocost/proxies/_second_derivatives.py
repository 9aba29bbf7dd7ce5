"""Convolution and BatchNorm whose second derivatives take less time than torch's on a processor.

Torch differentiates the backward of a convolution by convolutions whose kernels are as large as
the feature maps, and that of BatchNorm by some thirty operations on whole feature maps. Both are
simple enough to be written down. Values and first derivatives come from torch's own functions.

What grasp reads of the second derivative is one number, wᵀHg, which is less work than the vector
Hg: with all weights times a factor α, it is the derivative of Σ g·stop(g) by α, at α = 1. Where a
part of Hg takes a convolution, twice in each layer, the layer's part of this derivative is the
inner product of a gradient and of a feature map that are there anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from optuna_zerocost.proxies._tensors import nodes_behind
from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named

__all__ = ["QuickSecondDerivatives"]

_aten = torch.ops.aten


class QuickSecondDerivatives(FunctionMode):
    """Context manager: what is run inside can be differentiated twice in less time.

    It applies to convolutions, and to BatchNorm with the minibatch's statistics, in float32 or
    float64 on the CPU; all else is left as it is. Derivatives of third order raise. Wherever such
    a convolution reads one of ``weights``, it is multiplied by ``scale``, a 1 to differentiate by.
    With ``copies`` what follows a convolution gets a copy of its output, and may overwrite it.
    """

    def __init__(self, weights: Iterable[Tensor] = (), *, copies: bool = True) -> None:
        super().__init__()
        self.copies = copies
        self.scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        self.scaled = {id(weight) for weight in weights if weight.is_leaf}
        self.outputs: list[tuple[Tensor, int]] = []  # of convolutions, with their versions
        self._variables: set[int] | None = None
        self._nodes: set[Any] = set()  # operations that put the variables out

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        if func in (torch.conv1d, torch.conv2d, torch.conv3d):
            return _convolution(self, func, *args, **named)
        if func is nn.functional.batch_norm:
            return _batch_norm(*args, **named)
        return func(*args, **named)

    @contextlib.contextmanager
    def differentiating(self, variables: Sequence[Tensor]) -> Iterator[None]:
        """Context manager: inside, derivatives are only taken with respect to ``variables``.

        What autograd tells a function of the derivatives that it needs is the same each time, and
        so derivatives with respect to other weights would be computed too, to be thrown away.
        """
        self._variables = {id(variable) for variable in variables}
        self._nodes = {variable.grad_fn for variable in variables}
        try:
            yield
        finally:
            self._variables, self._nodes = None, set()

    def has_lost_output(self) -> bool:
        """Return whether an operation in place has overwritten what a convolution needs again.

        Then `scale` must not be differentiated by; with ``copies`` it cannot be so.
        """
        return any(output._version != version for output, version in self.outputs)

    def is_variable(self, tensor: Tensor) -> bool:
        """Return whether ``tensor`` is, or depends on, what derivatives are taken by."""
        if self._variables is None or tensor.is_leaf:
            return self._variables is None or id(tensor) in self._variables
        return any(
            node in self._nodes or id(getattr(node, "variable", None)) in self._variables
            for node in nodes_behind(tensor)
        )

    def not_only_scaled(
        self, outputs: Iterable[Tensor], weights: Iterable[Tensor]
    ) -> list[Tensor]:
        """Return those of ``weights`` through which ``outputs`` depend not only by ``scale``.

        Such a weight is that of a convolution left to torch, or of something else, whether or not
        it is the weight of another convolution as well.
        """
        if not self.outputs:
            return list(weights)
        read_as_they_are = {
            id(getattr(following, "variable", None))
            for output in outputs
            for node in nodes_behind(output)
            if getattr(node, "quick", None) is not self
            for following, _ in node.next_functions
        }
        return [w for w in weights if id(w) not in self.scaled or id(w) in read_as_they_are]


def _is_plain(*tensors: Tensor | None) -> bool:
    """Return whether the formulas below hold for the tensors as they are."""
    given = [tensor for tensor in tensors if tensor is not None]
    return not torch.is_autocast_enabled("cpu") and all(
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.dtype == given[0].dtype
        for tensor in given
    )


def _convolution(
    quick: QuickSecondDerivatives,
    func: Callable[..., Any],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Any:
    if (
        isinstance(padding, str)
        or input.dim() != weight.dim()  # a single sample
        or not _is_plain(input, weight, bias)
    ):
        return func(input, weight, bias, stride, padding, dilation, groups)
    dimensions = weight.dim() - 2
    stride, padding, dilation = (
        [value] * dimensions if isinstance(value, int) else list(value)
        for value in (stride, padding, dilation)
    )
    settings = (stride, padding, dilation, False, [0] * dimensions, groups)
    scale = quick.scale if id(weight) in quick.scaled else None
    output = _Convolution.apply(input, weight, bias, scale, settings, quick)  # type: ignore[no-untyped-call]
    return output.clone() if quick.copies else output


class _Convolution(torch.autograd.Function):
    """y = x * αW + b, where α is 1."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None, *how: Any
    ) -> Any:
        ctx.settings, ctx.quick = how
        y = _aten.convolution(x, weight, bias, *ctx.settings)
        ctx.save_for_backward(x, weight, bias, scale)
        # Not saved by autograd, which would object where y is overwritten though nobody asks for
        # the derivative by α.
        ctx.y = y.detach()
        ctx.quick.outputs.append((ctx.y, ctx.y._version))
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight, bias, scale = ctx.saved_tensors
        wanted = [
            needed and ctx.quick.is_variable(tensor)
            for needed, tensor in zip(ctx.needs_input_grad, (x, weight, bias, scale), strict=False)
        ]
        by_scale = wanted.pop() and not wanted[1]
        of_x = of_weight = of_bias = of_scale = None
        if any(wanted):
            of_x, of_weight, of_bias = _ConvolutionBackward.apply(  # type: ignore[no-untyped-call]
                gradient, x, weight, scale, ctx.settings, wanted, ctx.quick
            )
        if by_scale:
            assert not torch.is_grad_enabled(), "y is held without its graph"
            of_scale = _inner(gradient, ctx.y)
            if bias is not None:
                others = [dim for dim in range(gradient.dim()) if dim != 1]
                of_scale = of_scale - torch.sum(gradient.sum(others) * bias)
        return of_x, of_weight, of_bias, of_scale, None, None


class _ConvolutionBackward(torch.autograd.Function):
    """∂x, ∂(αW), ∂b for the gradient g by y."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, scale: Tensor | None, *how: Any
    ) -> Any:
        ctx.settings, wanted, ctx.quick = how
        ctx.save_for_backward(gradient, x, weight, scale)
        ctx.set_materialize_grads(False)
        bias_sizes = [weight.size(0)]
        return _aten.convolution_backward(gradient, x, weight, bias_sizes, *ctx.settings, wanted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor | None, v: Tensor | None, b: Tensor | None) -> Any:
        gradient, x, weight, scale = ctx.saved_tensors
        by_gradient, by_x, by_weight, by_scale = (
            needed and ctx.quick.is_variable(tensor)
            for needed, tensor in zip(ctx.needs_input_grad, ctx.saved_tensors, strict=False)
        )
        by_scale = by_scale and not by_weight

        def transposed(x: Tensor, weight: Tensor, wanted: list[bool]) -> Any:
            return _aten.convolution_backward(gradient, x, weight, None, *ctx.settings, wanted)

        # All three are linear in g, in x and in αW.
        of_gradient = of_x = of_weight = of_scale = None
        if u is not None and (by_gradient or by_scale):
            of_gradient = _aten.convolution(u, weight, None, *ctx.settings)
            of_scale = _inner(of_gradient, gradient) if by_scale else None
        if by_gradient:
            if v is not None:
                part = _aten.convolution(x, v, None, *ctx.settings)
                of_gradient = part if of_gradient is None else of_gradient.add_(part)
            if b is not None:
                spread = b.view(-1, *[1] * (x.dim() - 2)).expand_as(gradient)
                of_gradient = spread if of_gradient is None else of_gradient.add_(spread)
        if by_x and v is not None:
            of_x = transposed(x, v, [True, False, False])[0]
        if by_weight and u is not None:
            of_weight = transposed(u, weight, [False, True, False])[1]
        return of_gradient, of_x, of_weight, of_scale, None, None, None


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Return Σ a·b, float64, of which the channels' parts have the precision of a and b."""
    parts: Tensor = torch.linalg.vecdot(a.flatten(0, 1).flatten(1), b.flatten(0, 1).flatten(1))
    return parts.sum(dtype=torch.float64)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if (
        not training
        or input.dim() < 2
        or input.numel() <= input.size(1)  # torch refuses to normalise single values
        or not _is_plain(input, weight, bias, running_mean, running_var)
    ):
        return nn.functional.batch_norm(
            input, running_mean, running_var, weight, bias, training, momentum, eps
        )
    return _BatchNorm.apply(  # type: ignore[no-untyped-call]
        input, weight, bias, running_mean, running_var, True, momentum, eps
    )


class _BatchNorm(torch.autograd.Function):
    """y = γ·x̂ + β, x̂ = (x − μ)·s, s = (σ² + ε)^-½, for each channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, *how: Any) -> Any:
        y, mean, scale = _aten.native_batch_norm(x, weight, bias, *how)
        ctx.save_for_backward(x, weight, mean, scale)
        *_, ctx.eps = how
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        found = _BatchNormBackward.apply(gradient, *ctx.saved_tensors, ctx.eps)  # type: ignore[no-untyped-call]
        wanted = ctx.needs_input_grad[:3]
        of_inputs = (g if w else None for g, w in zip(found, wanted, strict=True))
        return *of_inputs, None, None, None, None, None


class _BatchNormBackward(torch.autograd.Function):
    """∂x = γ·s·P(g), ∂γ = Σ g·x̂, ∂β = Σ g, with P(g) = g − mean(g) − x̂·mean(g·x̂)."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor | None, *statistics: Any) -> Any:
        mean, scale, ctx.eps = statistics
        by_x, by_weight, by_bias = _aten.native_batch_norm_backward(
            g, x, weight, None, None, mean, scale, True, ctx.eps, [True] * 3
        )
        ctx.save_for_backward(g, x, weight, mean, scale, by_weight, by_bias)
        ctx.set_materialize_grads(False)
        return by_x, by_weight, by_bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor | None, p: Tensor | None, q: Tensor | None) -> Any:
        """Differentiate S = ⟨u, ∂x⟩ + ⟨p, ∂γ⟩ + ⟨q, ∂β⟩.

        With T = Σ u·g − Σu·Σg / M − Σ u·x̂·Σ g·x̂ / M for the M values of a channel,
        ⟨u, ∂x⟩ = γ·s·T; a change of x changes s by −s²·mean(x̂·dx), and x̂ by s·P(dx), where
        ⟨w, P(dx)⟩ = ⟨P(w), dx⟩.
        """
        gradient, x, weight, mean, scale, sum_gx, sum_g = ctx.saved_tensors
        u = torch.zeros_like(x) if u is None else u
        of_gradient, sum_ux, sum_u = _aten.native_batch_norm_backward(
            u, x, weight, None, None, mean, scale, True, ctx.eps, [True] * 3
        )
        others = [dim for dim in range(x.dim()) if dim != 1]
        count = x.numel() / x.size(1)
        sum_ug = (u * gradient).sum(others)
        agreement = sum_ug - (sum_u * sum_g + sum_ux * sum_gx) / count

        def spread(of_channels: Tensor) -> Tensor:
            return of_channels.view(-1, *[1] * (x.dim() - 2))

        if p is not None:
            of_gradient = of_gradient.addcmul_(x, spread(p * scale)).sub_(spread(p * scale * mean))
        if q is not None:
            of_gradient = of_gradient.add_(spread(q))
        factor = scale**2 if weight is None else weight * scale**2
        times_u = -factor * sum_gx / count
        times_g = -factor * sum_ux / count
        if p is not None:
            times_g = times_g + p * scale
        times_normal = -(factor * agreement + times_u * sum_ux + times_g * sum_gx) / count
        constant = -(times_u * sum_u + times_g * sum_g) / count
        constant = constant - times_normal * scale * mean
        of_x = (x * spread(times_normal * scale)).add_(spread(constant))
        of_x = of_x.addcmul_(u, spread(times_u)).addcmul_(gradient, spread(times_g))
        of_weight = None if weight is None else scale * agreement
        return of_gradient, of_x, of_weight, None, None, None
