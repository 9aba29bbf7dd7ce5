"""What a network's modules hold beside parameters, buffers and modules, and how to put it back.

A forward pass may write wherever the network's modules lead: into counters and flags, lists,
dictionaries and caches of tensors, states of generators, objects of the network's own classes.
"""

from __future__ import annotations

import functools
import random
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Reachable"]

# Without parts that could be written into.
_PLAIN: frozenset[type] = frozenset(
    [
        *(bool, int, float, complex, str, bytes, range, slice, frozenset, type, type(None)),
        *(types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type(Ellipsis)),
        *(torch.dtype, torch.device, torch.Size, torch.memory_format, torch.layout),
    ]
)
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_CONTAINERS = (*_MAPPINGS, list, deque, set)
_NOWHERE = object()


class Reachable:
    """Notes how to put back what `visit` has come by.

    Tensors and arrays are replaced by copies where they are held, so that the originals are never
    written into. Of other objects only those are followed whose class comes from a package of
    the network's own classes, and which do not hold the network: a logger, a study, a data set or
    a trainer is not its state.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        copy: Callable[[Tensor], Tensor],
        found: Callable[[nn.Module], None],
    ) -> None:
        self._network = network
        self._packages = {"types", "collections"}
        self._copy = copy
        self._found = found  # called with modules that stand in no module's _modules
        self._stand_ins: dict[int, tuple[Any, Any]] = {}
        self._undo: list[Callable[[], object]] = []

    def follow(self, cls: type) -> None:
        """Follow objects whose classes come from the package of ``cls``, unless it is torch's."""
        self._packages.update({cls.__module__.partition(".")[0]} - {"torch", "builtins"})

    def know(self, value: object, stand_in: object) -> None:
        """Let ``stand_in`` take the place of ``value`` wherever that is held."""
        self._stand_ins[id(value)] = (value, stand_in)

    def put_back(self) -> None:
        """Put everything back that was visited."""
        for undo in reversed(self._undo):
            undo()

    def attributes(self, held: dict[str, Any], known: frozenset[str] = frozenset()) -> None:
        """Visit the attributes ``held`` by a module or an object, but for the names ``known``."""
        for name, value in [
            (name, value)
            for name, value in held.items()
            if type(value) not in _PLAIN and name not in known
        ]:
            stand_in = self.visit(value)
            if stand_in is not value:
                held[name] = stand_in

    def of_class(self, cls: type) -> None:
        """Visit what is held by a class: containers and tensors, but not numbers and text."""
        before = {name: value for name, value in vars(cls).items() if _is_state(name, value)}
        for name, value in before.items():
            if (stand_in := self.visit(value)) is not value:
                setattr(cls, name, stand_in)

        def undo() -> None:
            after = {name: value for name, value in vars(cls).items() if _is_state(name, value)}
            for name in {*before, *after}:
                if name not in before:
                    delattr(cls, name)
                elif after.get(name, _NOWHERE) is not before[name]:
                    setattr(cls, name, before[name])

        self._undo.append(undo)

    def visit(self, value: Any) -> Any:
        """Return what is to stand in for ``value``, which may be itself."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if id(value) in self._stand_ins:
            return self._stand_ins[id(value)][1]
        if isinstance(value, Tensor):
            stand_in = self._copy(value)
            self.know(value, stand_in)
            return stand_in
        stand_in = value
        self.know(value, value)  # for what holds itself
        if isinstance(value, nn.Module):
            self._found(value)
        elif kind in _MAPPINGS:
            self._mapping(value)
        elif kind in (list, deque):
            self._sequence(value)
        elif kind is set:
            before = value.copy()
            self._undo.append(lambda: _refill(value, before, value.update))
        elif isinstance(value, tuple):
            stand_in = self._tuple(value)
        elif kind is np.ndarray:
            stand_in = value.copy()
        elif kind is types.MethodType:
            self.visit(value.__self__)
        elif kind is functools.partial:
            for item in (value.func, *value.args, value.keywords):
                self.visit(item) if not isinstance(item, Tensor) else None
        else:
            self._object(value)
        self.know(value, stand_in)
        return stand_in

    def _mapping(self, value: Any) -> None:
        before = list(value.items())
        self._undo.append(lambda: _refill_mapping(value, before))
        for key, item in before:
            if type(item) not in _PLAIN and (stand_in := self.visit(item)) is not item:
                value[key] = stand_in

    def _sequence(self, value: Any) -> None:
        before = list(value)
        self._undo.append(lambda: _refill(value, before, value.extend))
        for index, item in enumerate(before):
            if type(item) not in _PLAIN and (stand_in := self.visit(item)) is not item:
                value[index] = stand_in

    def _tuple(self, value: Any) -> Any:
        items = [self.visit(item) for item in value]
        if all(map(is_, items, value)):
            return value
        if hasattr(value, "_make"):
            return value._make(items)
        return tuple(items) if type(value) is tuple else value

    def _object(self, value: Any) -> None:
        if (restore := _generator(value)) is not None:
            self._undo.append(restore)
            return
        held = getattr(value, "__dict__", None)
        if (
            type(value).__module__.partition(".")[0] not in self._packages
            or isinstance(value, (torch.utils.data.Dataset, torch.optim.Optimizer))
            or (isinstance(held, dict) and any(v is self._network for v in held.values()))
        ):
            return
        slots = [
            name
            for cls in type(value).__mro__
            for name in _names(vars(cls).get("__slots__", ()))
            if not name.startswith("__")
        ]
        for name in slots:
            before = getattr(value, name, _NOWHERE)
            self._undo.append(functools.partial(_set_slot, value, name, before))
            if before is not _NOWHERE and (stand_in := self.visit(before)) is not before:
                object.__setattr__(value, name, stand_in)
        if isinstance(held, dict):
            attributes = list(held.items())
            self._undo.append(lambda: _refill_mapping(held, attributes))
            self.attributes(held)
        if isinstance(value, dict):
            self._mapping(value)
        elif isinstance(value, (list, deque)):
            self._sequence(value)


def _is_state(name: str, value: object) -> bool:
    is_held = isinstance(value, Tensor) or type(value) in _CONTAINERS
    return is_held and not (name.startswith("__") and name.endswith("__"))


def _refill(value: Any, before: Any, fill: Callable[[Any], None]) -> None:
    if len(value) != len(before) or not all(map(is_, value, before)):
        value.clear()
        fill(before)


def _refill_mapping(value: Any, before: list[tuple[Any, Any]]) -> None:
    same = len(value) == len(before) and all(
        map(is_, (part for item in value.items() for part in item), (p for i in before for p in i))
    )
    if not same:
        value.clear()
        for key, item in before:
            value[key] = item


def _generator(value: Any) -> Callable[[], object] | None:
    """Return what puts the state of a generator of random numbers back; None for what is none."""
    if isinstance(value, torch.Generator):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return functools.partial(value.setstate, value.getstate())
    if isinstance(value, np.random.RandomState):
        return functools.partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return functools.partial(setattr, bits, "state", bits.state)
    return None


def _names(slots: str | Iterable[str]) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots


def _set_slot(owner: object, name: str, value: object) -> None:
    if value is not _NOWHERE:
        object.__setattr__(owner, name, value)
    elif hasattr(owner, name):
        object.__delattr__(owner, name)
