"""Convolution and BatchNorm whose second derivatives take less time than torch's on a processor.

Torch differentiates the backward of a convolution by convolutions whose kernels are as large as
the feature maps, and that of BatchNorm by some thirty operations on whole feature maps. Both are
simple enough to be written down. Values and first derivatives come from torch's own functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

__all__ = ["QuickSecondDerivatives"]

_aten = torch.ops.aten
_ALL = [True, True, True]


class QuickSecondDerivatives(TorchFunctionMode):
    """Context manager: what is run inside can be differentiated twice in less time.

    It applies to convolutions, and to BatchNorm with the minibatch's statistics, in float32 or
    float64 on the CPU; all else is left as it is. Derivatives of third order raise.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func in _CONVOLUTIONS:
            return _convolution(func, *args, **named)
        if func is nn.functional.batch_norm:
            return _batch_norm(*args, **named)
        return func(*args, **named)


_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


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
    return _Convolution.apply(input, weight, bias, settings)  # type: ignore[no-untyped-call]


class _Convolution(torch.autograd.Function):
    """y = x * W + b."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple[Any, ...]
    ) -> Any:
        ctx.save_for_backward(x, weight)
        ctx.settings = settings
        return _aten.convolution(x, weight, bias, *settings)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: D102
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        found = _ConvolutionBackward.apply(gradient, x, weight, ctx.settings, wanted)  # type: ignore[no-untyped-call]
        return *found, None


class _ConvolutionBackward(torch.autograd.Function):
    """∂x, ∂W, ∂b for the gradient g by y."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        gradient: Tensor,
        x: Tensor,
        weight: Tensor,
        settings: tuple[Any, ...],
        wanted: Sequence[bool],
    ) -> Any:
        ctx.save_for_backward(gradient, x, weight)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        return _aten.convolution_backward(
            gradient, x, weight, [weight.size(0)], *settings, list(wanted)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor | None, v: Tensor | None, b: Tensor | None) -> Any:  # noqa: D102
        gradient, x, weight = ctx.saved_tensors
        by_gradient, by_x, by_weight = ctx.needs_input_grad[:3]

        def transposed(x: Tensor, weight: Tensor, wanted: list[bool]) -> Any:
            return _aten.convolution_backward(gradient, x, weight, None, *ctx.settings, wanted)

        # All three are linear in g, in x and in W.
        of_gradient = of_x = of_weight = None
        if by_gradient:
            parts = [
                *([_aten.convolution(u, weight, None, *ctx.settings)] if u is not None else []),
                *([_aten.convolution(x, v, None, *ctx.settings)] if v is not None else []),
            ]
            of_gradient = parts[0].add_(parts[1]) if len(parts) == 2 else (parts or [None])[0]
            if b is not None:
                spread = b.view(-1, *[1] * (x.dim() - 2)).expand_as(gradient)
                of_gradient = spread if of_gradient is None else of_gradient.add_(spread)
        if by_x and v is not None:
            of_x = transposed(x, v, [True, False, False])[0]
        if by_weight and u is not None:
            of_weight = transposed(u, weight, [False, True, False])[1]
        return of_gradient, of_x, of_weight, None, None


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
        input, weight, bias, running_mean, running_var, momentum, eps
    )


class _BatchNorm(torch.autograd.Function):
    """y = γ·x̂ + β, x̂ = (x − μ)·s, s = (σ² + ε)^-½, for each channel."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Any:
        y, mean, scale = _aten.native_batch_norm(
            x, weight, bias, running_mean, running_var, True, momentum, eps
        )
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: D102
        found = _BatchNormBackward.apply(gradient, *ctx.saved_tensors, ctx.eps)  # type: ignore[no-untyped-call]
        wanted = ctx.needs_input_grad[:3]
        of_inputs = (g if w else None for g, w in zip(found, wanted, strict=True))
        return *of_inputs, None, None, None, None


class _BatchNormBackward(torch.autograd.Function):
    """∂x = γ·s·P(g), ∂γ = Σ g·x̂, ∂β = Σ g, with P(g) = g − mean(g) − x̂·mean(g·x̂)."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        gradient: Tensor,
        x: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        scale: Tensor,
        eps: float,
    ) -> Any:
        by_x, by_weight, by_bias = _backward(gradient, x, weight, mean, scale, eps)
        ctx.save_for_backward(gradient, x, weight, mean, scale, by_weight, by_bias)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        return by_x, by_weight, by_bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor | None, p: Tensor | None, q: Tensor | None) -> Any:  # noqa: D102
        """Differentiate S = ⟨u, ∂x⟩ + ⟨p, ∂γ⟩ + ⟨q, ∂β⟩.

        With T = Σ u·g − Σu·Σg / M − Σ u·x̂·Σ g·x̂ / M for the M values of a channel,
        ⟨u, ∂x⟩ = γ·s·T; a change of x changes s by −s²·mean(x̂·dx), and x̂ by s·P(dx), where
        ⟨w, P(dx)⟩ = ⟨P(w), dx⟩.
        """
        gradient, x, weight, mean, scale, sum_gx, sum_g = ctx.saved_tensors
        u = torch.zeros_like(x) if u is None else u
        of_gradient, sum_ux, sum_u = _backward(u, x, weight, mean, scale, ctx.eps)
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


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    by_x, by_weight, by_bias = _aten.native_batch_norm_backward(
        gradient, x, weight, None, None, mean, scale, True, eps, _ALL
    )
    return by_x, by_weight, by_bias
