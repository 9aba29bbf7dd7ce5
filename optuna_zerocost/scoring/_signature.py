"""The signature of a network: what a score can depend on, but its weights' values."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["outline_of", "signature_of"]

# By how much is dropped: "dropout=0.2" of an LSTM, "drop_prob=0.100" of other libraries' layers.
_DROPPED = re.compile(r"\w*drop\w*=[^,]*", re.IGNORECASE)

# The same in layers that do nothing else, whatever they call it: "p=0.5".
_PROBABILITY = re.compile(r"\b(?:p|rate|prob)=[^,]*")
_PROBABILITIES = ("p", "rate", "prob")

# What every module has, and what says nothing of its outputs in itself.
_INHERITED = frozenset(vars(nn.Module())) | {"training"}

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def signature_of(network: nn.Module) -> str:
    """Return a short text that is the same for networks that a score cannot tell apart.

    Of each module, in the order of registration and without names: its class, the shapes and types
    of its own parameters and buffers and whether they are trained, its settings (``extra_repr``
    and plain attributes), and how many modules it holds. What occurs twice, such as tied weights,
    is known as such. Left out are the values of weights, and how much dropout layers drop. The
    network may be on the meta device.

    Two networks that differ only in what their ``forward`` reads from elsewhere, a variable that
    it encloses say, have the same signature.
    """
    return _hashed(_parts(network, {}))


def outline_of(network: nn.Module) -> dict[str, Any] | None:
    """Return what tells a network from another one where both are told about.

    That is its signature as ``"network"``; ``"layers"``, a signature of the modules that have
    parameters or buffers of their own alone, which a wrapper and its plain attributes do not
    change; and ``"class"`` and ``"params"``, the number of all parameters, for people. ``None`` if
    layers are lazy, whose shapes nobody knows yet.
    """
    modules = list(network.modules())
    parameters = list(network.parameters())
    if any(map(is_lazy, (*parameters, *network.buffers()))):
        return None
    return {
        "network": signature_of(network),
        "layers": _hashed(part for module in modules for part in _layer(module)),
        "class": type(network).__qualname__,
        "params": sum(parameter.numel() for parameter in parameters),
    }


def _hashed(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part};".encode())
    return digest.hexdigest()[:16]


def _layer(module: nn.Module) -> Iterator[str]:
    """Yield what is to be known of a module that has parameters or buffers of its own."""
    tensors = (*module._parameters.values(), *module._buffers.values())
    if any(tensor is not None for tensor in tensors):
        yield type(module).__qualname__
        yield from ("none" if t is None else f"{tuple(t.shape)} {t.dtype}" for t in tensors)
        kind: Any = type(module)
        if _tells_all(kind):
            yield module.extra_repr()


def _parts(module: nn.Module, seen: dict[int, int]) -> Iterator[str]:
    """Yield what is to be known of ``module`` and all that it holds."""
    if id(module) in seen:
        yield f"again {seen[id(module)]}"
        return
    seen[id(module)] = len(seen)
    kind: Any = type(module)
    is_dropout = _is_dropout(kind)
    yield f"{kind.__module__}.{kind.__qualname__}"
    for tensors in (module._parameters, module._buffers):
        for tensor in tensors.values():
            yield _described_tensor(tensor, seen)
    settings = module.extra_repr()
    if is_dropout or "drop" in settings.lower():
        settings = _DROPPED.sub("", settings)
    yield _PROBABILITY.sub("", settings) if is_dropout else settings
    attributes = {} if _tells_all(kind) else vars(module)
    for name, value in attributes.items():
        if name in _INHERITED or name.startswith("_") or "drop" in name.lower():
            continue
        if not (is_dropout and name in _PROBABILITIES):
            yield f"{name}={_described(value)}"
    yield str(len(module._modules))
    for child in module._modules.values():
        if child is not None:
            yield from _parts(child, seen)


@functools.cache
def _is_dropout(kind: type) -> bool:
    return any("drop" in c.__name__.lower() or c.__name__ == "StochasticDepth" for c in kind.mro())


@functools.cache
def _tells_all(kind: type[nn.Module]) -> bool:
    """Return whether ``extra_repr`` has all settings, as for the layers of torch that have one."""
    is_of_torch = kind.__module__.startswith("torch.nn.modules.")
    return is_of_torch and kind.extra_repr is not nn.Module.extra_repr


def _described_tensor(tensor: Tensor | None, seen: dict[int, int]) -> str:
    if tensor is None:
        return "none"
    if id(tensor) in seen:
        return f"again {seen[id(tensor)]}"
    seen[id(tensor)] = len(seen)
    return f"{tuple(tensor.shape)} {tensor.dtype} {tensor.requires_grad}"


def _described(value: Any) -> str:
    """Return plain values as they are, functions by name and place, and of all else the type."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, (tuple, list, set, frozenset)):
        items = map(_described, value)
        return f"[{','.join(sorted(items) if isinstance(value, (set, frozenset)) else items)}]"
    if isinstance(value, Mapping):
        return f"[{','.join(f'{key!r}:{_described(item)}' for key, item in value.items())}]"
    if isinstance(value, functools.partial):
        return f"{_described(value.func)}({_described(value.args)},{_described(value.keywords)})"
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return _described_function(value)
    # A candidate passes for a trial.
    kind = value.__class__
    return f"{kind.__module__}.{kind.__qualname__}"


def _described_function(function: Callable[..., Any]) -> str:
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", "")
    return f"{getattr(function, '__module__', '')}.{function.__qualname__}:{line}"
