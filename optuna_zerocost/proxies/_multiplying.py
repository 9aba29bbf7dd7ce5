"""Which parameters of layers that torch does not know multiply what flows through the network.

Every such layer is written differently, so its parameters are followed through a forward pass: a
parameter of two or more dimensions is a weight if it, or what is computed from parameters alone
(a transpose, a slice, the product of two low ranks), is multiplied with what depends on the
inputs. Tables that are looked up or added, such as positions, are none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from optuna_zerocost.proxies._watching import Arguments, Function, FunctionMode, Named

__all__ = ["MultiplicationWatch"]

_CONTRACTING = frozenset(
    [
        *"matmul mm bmm mv dot inner tensordot einsum linear bilinear".split(),
        *"__matmul__ __rmatmul__ addmm addbmm baddbmm addmv chain_matmul multi_dot".split(),
        *"_grouped_mm grouped_mm scaled_dot_product_attention".split(),
        *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)),
    ]
)
_ELEMENTWISE = frozenset("mul multiply __mul__ __rmul__ __imul__ mul_ addcmul".split())
_ADDING_FIRST = frozenset("addmm addbmm baddbmm addmv addcmul".split())
# A parameter that is picked from by what depends on the inputs is still a parameter: an expert.
_PICKING = frozenset("__getitem__ index_select gather take_along_dim index embedding".split())


@dataclass(frozen=True)
class _Origin:
    """What a tensor depends on: the inputs, and the parameters that it is still made of."""

    inputs: bool
    parameters: frozenset[int]


_CONSTANT = _Origin(False, frozenset())


class MultiplicationWatch(FunctionMode):
    """Context manager: inside, note in ``fan_in`` which of ``parameters`` multiply ``inputs``.

    ``fan_in[id(parameter)]`` is over how many terms the product with it sums.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], inputs: object) -> None:
        super().__init__()
        self.fan_in: dict[int, int] = {}
        self._parameters = {id(parameter): parameter for parameter in parameters}
        self._origins: Any = WeakIdKeyDictionary()
        for key, parameter in self._parameters.items():
            self._origins[parameter] = _Origin(False, frozenset([key]))
        for leaf in tree_leaves(inputs):
            if isinstance(leaf, Tensor):
                self._origins[leaf] = _Origin(True, frozenset())

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        result = func(*args, **named)
        operands = [leaf for leaf in tree_leaves((args, named)) if isinstance(leaf, Tensor)]
        origins = [self._origin(operand) for operand in operands]
        if not any(origin is not _CONSTANT for origin in origins):
            return result
        inputs = any(origin.inputs for origin in origins)
        parameters = frozenset[int]()
        if not inputs or name in _PICKING:
            parameters = parameters.union(*(origin.parameters for origin in origins))
        if name in _CONTRACTING or name in _ELEMENTWISE:
            first = 1 if name in _ADDING_FIRST else 0
            self._note(name, operands[first:], origins[first:], args)
        origin = _Origin(inputs, parameters)
        targets = [args[0]] if name == "__setitem__" else tree_leaves(result)
        for target in targets:
            if isinstance(target, Tensor) and id(target) not in self._parameters:
                self._origins[target] = origin
        return result

    def _origin(self, tensor: Tensor) -> _Origin:
        origin: _Origin = self._origins.get(tensor, _CONSTANT)
        return origin

    def _note(
        self, name: str, operands: list[Tensor], origins: list[_Origin], args: Arguments
    ) -> None:
        for index, (operand, origin) in enumerate(zip(operands, origins, strict=True)):
            others = origins[:index] + origins[index + 1 :]
            if not origin.parameters or not any(other.inputs for other in others):
                continue
            if name in _ELEMENTWISE and sum(size > 1 for size in operand.shape) < 2:
                continue  # a scale of each channel, as that of a normalisation
            for key in origin.parameters:
                self.fan_in.setdefault(key, _fan_in(name, operand, index, args))


def _fan_in(name: str, weight: Tensor, index: int, args: Arguments) -> int:
    """Return over how many terms a product with ``weight``, its operand ``index``, sums."""
    shape = weight.shape
    if name in _ELEMENTWISE:
        return 1
    if name == "einsum" and isinstance(args[0], str) and "..." not in args[0]:
        terms, _, result = args[0].replace(" ", "").partition("->")
        labels = terms.split(",")[index]
        summed: Mapping[str, int] = dict(zip(labels, shape, strict=True))
        return math.prod(size for label, size in summed.items() if label not in result)
    if name.startswith(("conv", "bilinear")):
        return max(1, weight.numel() // shape[0])
    if name in ("linear", "scaled_dot_product_attention") or index == 0 or len(shape) == 1:
        return shape[-1]
    return shape[-2]
