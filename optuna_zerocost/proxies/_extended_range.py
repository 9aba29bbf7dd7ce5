"""Activations beyond the range of float64, for networks that are too deep for it.

A tensor is held as data·2^e with one integer e for the whole tensor, so a product of layers may
grow, or shrink, without end. Scaling by a power of two is exact, and the power is a constant, so
autograd differentiates through it: of a result held as data·2^e, the derivative of ``data`` is
that of the result, times 2^−e.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named

__all__ = ["ExtendedRange", "UnsupportedOperation", "times_power_of_two"]

# By what an operation does to c·x, c a power of two. With a bias, as an argument of that name or
# the third, it does so once the bias is divided by c.
_HOMOGENEOUS = frozenset(
    [
        *(f"conv{n}d" for n in (1, 2, 3)),
        *(f"conv_transpose{n}d" for n in (1, 2, 3)),
        *(f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
        *(f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
        *"linear relu leaky_relu prelu rrelu neg abs sum mean amax div true_divide".split(),
        *"clone contiguous detach view reshape flatten unflatten permute transpose t".split(),
        *"squeeze unsqueeze expand expand_as repeat chunk split narrow select unbind".split(),
        *"__getitem__ __get__ roll flip pad dropout dropout1d dropout2d dropout3d".split(),
        *"interpolate upsample pixel_shuffle pixel_unshuffle channel_shuffle".split(),
    ]
)
_WITH_BIAS = frozenset(name for name in _HOMOGENEOUS if name.startswith(("conv", "linear")))
_ADDITIVE = frozenset("add sub rsub __radd__ __rsub__ cat concat stack maximum minimum".split())
_MULTIPLICATIVE = frozenset("mul multiply __rmul__ matmul mm bmm __matmul__ einsum".split())
# f(x) = x for large x, and f(x) = f(−∞) for small x, to the last bit.
_IDENTITY_ABOVE = frozenset("silu gelu elu celu mish hardswish softplus".split())
# f(x) = f(±∞) for large |x|, to the last bit.
_CONSTANT_ABOVE = frozenset("sigmoid tanh hardsigmoid hardtanh relu6".split())
_ACTIVATIONS = _IDENTITY_ABOVE | _CONSTANT_ABOVE | {"relu", "leaky_relu", "rrelu"}
_OF_SHAPE = frozenset(
    "size dim numel stride is_contiguous is_floating_point is_complex __len__".split()
    + ["ones_like", "zeros_like"]
)
_IN_PLACE = {"__iadd__": "add", "__isub__": "sub", "__imul__": "mul"}
_LARGE = 2.0**64
_HUGE = 900


class UnsupportedOperation(Exception):
    """An operation was given a scaled tensor, and it is not known what it does to the scale."""


class ExtendedRange(FunctionMode):
    """Context manager: inside, activations may exceed float64.

    A tensor whose largest value is beyond ``largest`` is scaled down, and one whose largest value
    is below the inverse is scaled up.
    """

    def __init__(self, *, largest: float = 2.0**200) -> None:
        super().__init__()
        self._largest = largest
        # By storage, so that views share the exponent of what they view.
        self._exponents: dict[int, int] = {}

    def exponent(self, tensor: Tensor) -> int:
        """Return e, where the tensor's value is its data times 2^e."""
        return self._exponents.get(_storage(tensor), 0)

    def _note(self, tensor: Tensor, exponent: int) -> None:
        # Also 0, for the storage may lie where that of another tensor was.
        self._exponents[_storage(tensor)] = exponent

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        inputs = list(_tensors((args, named)))
        if not any(self.exponent(tensor) for tensor in inputs) or name in _OF_SHAPE:
            return self._noted(func(*args, **named), 0, inputs)
        if name in _IN_PLACE or (name.endswith("_") and not name.endswith("__")):
            name = _IN_PLACE.get(name, name.rstrip("_"))
            func = getattr(Tensor, name)
        elif named.get("inplace"):
            named["inplace"] = False
        elif name in _ACTIVATIONS and args[-1] is True:
            args = (*args[:-1], False)
        else:
            return self._apply(func, name, list(args), named, inputs)
        # Write into the target what the operation in place would have left there.
        target: Tensor = args[0]
        copy = target.clone()
        self._note(copy, self.exponent(target))
        result = self._apply(func, name, [copy, *args[1:]], named, inputs)
        if self.exponent(result) != self.exponent(target):
            if target.nbytes != target.untyped_storage().nbytes():
                raise UnsupportedOperation("an operation in place on a part of a tensor")
            self._note(target, self.exponent(result))
        return target.copy_(result)

    def _apply(
        self, func: Function, name: str, args: list[Any], named: Named, inputs: Sequence[Tensor]
    ) -> Any:
        """Call ``func`` so that it does to the values what it is to do."""
        exponents = [self.exponent(tensor) for tensor in inputs]
        if name in _MULTIPLICATIVE:
            return self._noted(func(*args, **named), sum(exponents), inputs)
        if name in _ADDITIVE:
            return self._add(func, args, named, inputs)
        # What follows is a function of one scaled tensor, the first.
        fill = (args[3] if len(args) > 3 else named.get("value")) if name == "pad" else None
        if any(exponents[1:]) or not args or fill or named.get("rounding_mode") is not None:
            raise UnsupportedOperation(name)
        exponent = exponents[0]
        if name in _WITH_BIAS:
            bias = args[2] if len(args) > 2 else named.get("bias")
            if bias is not None and exponent < 0:
                # It outweighs the input, and would itself exceed the range.
                args[0], exponent = times_power_of_two(args[0], exponent), 0
            elif bias is not None:
                named.pop("bias", None)
                args[2:3] = [times_power_of_two(bias, -exponent)]
        if name in _HOMOGENEOUS:
            return self._noted(func(*args, **named), exponent, inputs)
        if name not in _ACTIVATIONS:
            raise UnsupportedOperation(name)
        data, *rest = args
        if name in _CONSTANT_ABOVE and exponent > _HUGE:
            # Beside huge values, those within reach are 0; the slope there, in units of 2^e, is
            # infinite, and would make a NaN of the 0.
            data = data.detach()
        value = times_power_of_two(data, exponent).clamp(-_LARGE, _LARGE)
        result = func(value, *rest, **named)
        if name in _CONSTANT_ABOVE:
            return self._noted(result, 0, inputs)
        beyond = data - data.clamp(max=math.ldexp(_LARGE, min(-exponent, _HUGE)))
        return self._noted(times_power_of_two(result, -exponent) + beyond, exponent, inputs)

    def _add(self, func: Function, args: list[Any], named: Named, inputs: Sequence[Tensor]) -> Any:
        """Call ``func``, additive in its operands, with all of them at one exponent."""
        # torch.cat(tensors, dim), torch.add(input, other)
        count = 1 if args and isinstance(args[0], (tuple, list)) else 2
        top = max(map(self.exponent, inputs))
        if any(isinstance(value, (float, int)) for value in args[:count]):
            top = max(top, 0)
        args[:count] = [self._aligned(value, top) for value in args[:count]]
        for key in named.keys() & {"input", "other", "tensors"}:
            named[key] = self._aligned(named[key], top)
        return self._noted(func(*args, **named), top, inputs)

    def _aligned(self, value: Any, exponent: int) -> Any:
        """Divide a number, a tensor or several by what makes their exponent this one."""
        if isinstance(value, (tuple, list)):
            return type(value)(self._aligned(item, exponent) for item in value)
        if isinstance(value, Tensor):
            return times_power_of_two(value, self.exponent(value) - exponent)
        return math.ldexp(value, -exponent)

    def _noted(self, result: Any, exponent: int, inputs: Sequence[Tensor]) -> Any:
        """Note a result's exponent, and scale it if it is large or small."""
        if isinstance(result, (tuple, list)):
            items = [self._noted(item, exponent, inputs) for item in result]
            same = all(new is old for new, old in zip(items, result, strict=True))
            return result if same else type(result)(items)
        if not isinstance(result, Tensor):
            return result
        if not result.is_floating_point():
            exponent = 0
        elif result.numel() and _storage(result) not in map(_storage, inputs):  # not a view
            largest = float(result.detach().abs().max())
            if 0.0 < largest < 1.0 / self._largest or self._largest < largest < math.inf:
                shift = math.frexp(largest)[1]
                result, exponent = times_power_of_two(result, -shift), exponent + shift
        self._note(result, exponent)
        return result


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def times_power_of_two(tensor: Tensor, exponent: int) -> Tensor:
    """Return tensor·2^exponent; 2^exponent itself need not be in range."""
    while exponent:
        step = max(-1000, min(exponent, 1000))
        tensor, exponent = tensor * 2.0**step, exponent - step
    return tensor


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
