"""Digests of code and data: the same in every process for what does the same.

A function counts by its bytecode, its defaults, what it closes over, and what it names of its
module, and so does all that is found there. A library's functions and classes count by their
names, since versions tell the rest; arrays and tensors by their content. What cannot be told
counts by its type. Files, lines, names of the user's modules and places in memory do not count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import functools
import hashlib
import re
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["digest_of", "first_digest_of", "name_of", "without_address"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range)

# What keeps the state of a run and decides nothing about a network.
_OF_RUNS = {"optuna", "logging", "random", "threading", "_thread", "weakref", "_weakref"}
# What tells one worker from another: how it was started, and where it computes.
_BY_TYPE_ALONE = _OF_RUNS | {"argparse"}
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu|hpu)(:\d+)?")

_DEEPEST = 100


def digest_of(value: Any) -> str:
    """Return 16 hexadecimal digits that are the same in every process for what does the same."""
    return _Digests().of(value).hex()[:16]


def name_of(value: Any) -> str:
    """Return the qualified name of a function or a class, or of the class of an object.

    With its module where that is a library's: a user's is ``__main__`` or not, as it comes.
    """
    named = value if isinstance(getattr(value, "__qualname__", None), str) else type(value)
    module = getattr(named, "__module__", None) or ""
    return f"{module}.{named.__qualname__}" if _is_library(module) else str(named.__qualname__)


def without_address(text: str) -> str:
    """Return the ``repr`` of an object without its place in memory."""
    return _ADDRESS.sub("", text)


@functools.cache
def _is_library(module: str) -> bool:
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root == __name__.partition(".")[0]:
        return True
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return root != "__mp_main__" and ("site-packages" in file or "dist-packages" in file)


class _Digests:
    """Digests values, each once; what a value leads back to itself by counts by its type."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, bytes]] = {}
        self._open: set[int] = set()

    def of(self, value: Any) -> bytes:
        if isinstance(value, _PLAIN) and type(value) in _PLAIN:
            is_device = type(value) is str and _DEVICE.fullmatch(value)
            return _hashed(type(value).__name__, [] if is_device else [repr(value).encode()])
        place = id(value)
        if place in self._done:
            return self._done[place][1]
        kind = name_of(type(value))
        if place in self._open or len(self._open) >= _DEEPEST:
            return _hashed(f"again {kind}", ())
        self._open.add(place)
        try:
            digest = _hashed(kind, self._parts(value))
        except Exception:  # of a user's own object: it counts by its type
            digest = _hashed(kind, ())
        finally:
            self._open.discard(place)
        # The value is kept, so that its place is not another's meanwhile.
        self._done[place] = value, digest
        return digest

    def _parts(self, value: Any) -> Iterable[bytes]:
        if isinstance(value, types.CodeType):
            return self._of_code(value)
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, types.MethodType):
            return map(self.of, (value.__func__, value.__self__))
        if isinstance(value, types.ModuleType):
            return [value.__name__.encode()]
        if isinstance(value, functools.partial):
            return map(self.of, (value.func, value.args, value.keywords))
        if isinstance(value, (staticmethod, classmethod)):
            return [self.of(value.__func__)]
        if isinstance(value, property):
            return map(self.of, (value.fget, value.fset))
        if isinstance(value, type):
            return self._of_class(value)
        if (content := _array_of(value)) is not None:
            return content
        if isinstance(value, Mapping):
            return sorted(self.of(key) + self.of(value[key]) for key in list(value))
        if isinstance(value, (set, frozenset)):
            return sorted(map(self.of, value))
        if isinstance(value, (tuple, list, deque)):
            return map(self.of, list(value))
        return self._of_object(value)

    def _of_code(self, code: types.CodeType) -> Iterator[bytes]:
        yield code.co_code
        yield getattr(code, "co_exceptiontable", b"")
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        yield repr((names, counts, code.co_flags)).encode()
        yield from map(self.of, code.co_consts)

    def _of_function(self, function: types.FunctionType) -> Iterator[bytes]:
        yield name_of(function).encode()
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # it is empty
                yield self.of(cell.cell_contents)
        yield self.of(function.__defaults__)
        yield self.of(function.__kwdefaults__)
        if _is_library(function.__module__ or ""):
            return
        yield self.of(function.__code__)
        for name, value in sorted(_named_globals(function).items()):
            yield name.encode()
            yield self.of(value)

    def _of_class(self, value: type) -> Iterator[bytes]:
        yield name_of(value).encode()
        if _is_library(value.__module__):
            return
        yield from map(self.of, value.__bases__)
        for name, member in sorted(vars(value).items()):
            is_written = isinstance(
                member, (types.FunctionType, staticmethod, classmethod, property)
            )
            if is_written or not (name.startswith("__") or name == "_abc_impl"):
                yield name.encode()
                yield self.of(member)

    def _of_object(self, value: Any) -> Iterator[bytes]:
        kind = type(value)
        own = getattr(value, "fingerprint", None)
        # Of what the digest is of, a fingerprint may be what is asked for.
        if isinstance(own, str) and len(self._open) > 1:
            yield own.encode()
        elif not _is_library(kind.__module__) or _is_held(value):
            yield self.of(kind)
            yield self.of(_state_of(value))
        elif callable(getattr(value, "__wrapped__", None)):  # such as a cache
            yield self.of(value.__wrapped__)
        elif kind.__module__.partition(".")[0] not in _BY_TYPE_ALONE:
            if isinstance(getattr(value, "__name__", None), str):  # such as a builtin function
                yield f"{getattr(value, '__module__', '')}.{value.__name__}".encode()
            elif name_of(kind) != "torch.device" and not (text := repr(value)).startswith("<"):
                yield without_address(text).encode()


def _hashed(kind: str, parts: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        # The length, lest the end of one part be taken for the beginning of the next.
        digest.update(f";{len(part)};".encode())
        digest.update(part)
    return digest.digest()


def _array_of(value: Any) -> list[bytes] | None:
    """Return type, shape and content of a tensor or an array, or ``None`` for anything else."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        whole = value.detach().cpu().contiguous()
        content = whole.flatten().view(torch.uint8).numpy().tobytes()
        return [f"{whole.dtype}{tuple(whole.shape)}".encode(), content]
    if numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return [f"{value.dtype}{value.shape}".encode(), value.tobytes()]
    return None


def _is_held(value: Any) -> bool:
    """Return whether what an object of a library's class holds decides what it does."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, (torch.nn.Module, torch.utils.data.Dataset)):
        return True
    own = type(value).__module__.partition(".")[0] == __name__.partition(".")[0]
    return own or dataclasses.is_dataclass(value)


def _state_of(value: Any) -> Any:
    """Return what an object of a user's class holds."""
    slots = {
        name: getattr(value, name)
        for kind in type(value).__mro__
        for name in _as_names(kind.__dict__.get("__slots__", ()))
        if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    }
    items = getattr(value, "__dict__", {})
    held = list(value) if isinstance(value, (tuple, list)) else None
    return [{**items, **slots}, held]


def _as_names(slots: Any) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots


def _named_globals(function: types.FunctionType) -> dict[str, Any]:
    """Return what the code reads of its module and does not write; of modules, what it names."""
    read: set[str] = set()
    written: set[str] = set()
    attributes: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [one for one in code.co_consts if isinstance(one, types.CodeType)]
        attributes.update(code.co_names)
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(instruction.argval)
            elif instruction.opname == "STORE_GLOBAL":
                written.add(instruction.argval)
    found: dict[str, Any] = {}
    for name in read - written:
        if name not in function.__globals__:
            continue
        found[name] = value = function.__globals__[name]
        if isinstance(value, types.ModuleType) and not _is_library(value.__name__):
            of_module = {each: vars(value)[each] for each in attributes if each in vars(value)}
            found |= {f"{name}.{each}": member for each, member in of_module.items()}
    return found


class _FirstDigests:
    """The digest that each object had first in this process.

    A scorer's counters and caches change while it works; they do not make another scorer of it.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Any], str]] = {}

    def of(self, value: Any) -> str:
        place = id(value)
        if place in self._found and self._found[place][0]() is value:
            return self._found[place][1]
        digest = digest_of(value)
        try:
            self._found[place] = weakref.ref(value), digest
        except TypeError:  # an object with slots cannot be referred to
            return digest
        weakref.finalize(value, self._found.pop, place, None)
        return digest


first_digest_of = _FirstDigests().of
"""Return :func:`digest_of` an object, as it was when this was asked first."""
