"""The user's network, given back as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from operator import is_, itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from optuna_zerocost.proxies._reachable import Reachable
from optuna_zerocost.proxies._structure import EMBEDDINGS, Structure

__all__ = ["Snapshot", "preserved"]

# The containers that nn.Module itself makes: parameters, buffers, modules, hooks.
_OWN = [name for name, value in vars(nn.Module()).items() if isinstance(value, (dict, set))]
_own_containers = itemgetter(*_OWN)


@contextlib.contextmanager
def preserved(
    structure: Structure, *, copies: bool = True, replaced: bool = False
) -> Iterator[Snapshot]:
    """Context manager: inside, a pass may change whatever the network's modules lead to.

    Afterwards, and also when something was raised, all is as before: which parameters, buffers,
    modules, hooks and other attributes a module has, the tensors behind them, ``requires_grad``,
    ``grad``, the training mode of every module on its own, and what is held by attributes, in
    lists, dictionaries and objects. Inside, parameters, buffers and other tensors have copies of
    their values, so what a forward pass writes never reaches the user's tensors.

    Without ``copies`` the values behind parameters of floating point are not copied, for a pass
    that replaces them itself or runs no forward. With ``replaced``, for a pass that replaces
    those of buffers and other tensors of floating point too, these have stand-ins that share
    their values, and must not be written into before.
    """
    snapshot = Snapshot(structure, copies=copies, replaced=replaced)
    try:
        yield snapshot
    finally:
        snapshot.put_back()


class Snapshot:
    """The state of a network at the moment it is made, and the network on copies of its values."""

    def __init__(self, structure: Structure, *, copies: bool, replaced: bool) -> None:
        self._structure = structure
        self._copies = copies
        self._replaced = replaced
        self._begin()

    def rewind(self) -> None:
        """Let the network be as it was when the snapshot was made, once more on copies."""
        self.put_back()
        self._begin()

    def _begin(self) -> None:
        structure = self._structure
        self._modules: list[tuple[Any, ...]] = []
        self._parameters: list[tuple[Any, ...]] = []
        self._clones = _Clones()
        self._reachable = Reachable(structure.network, copy=self._stand_in, found=self._add_hidden)
        self._known: dict[type, frozenset[str]] = {}
        self._seen: set[int] = set()
        self.held: list[Tensor] = []  # what stands in for tensors that are no parameters
        embeddings: list[Any] = structure.of_kind(*EMBEDDINGS)
        shortening = {layer: layer.max_norm for layer in embeddings if layer.max_norm is not None}
        try:
            parameters = [parameter for _, parameter in structure.parameters]
            self._add(structure.modules, parameters, copies=self._copies)
            for module, max_norm in shortening.items():
                # Its forward pass would shorten the vectors that it looks up in place; here all
                # are shortened beforehand.
                module.weight.data = torch.renorm(
                    module.weight.data, module.norm_type, 0, max_norm
                )
                module.max_norm = None
        except BaseException:
            self.put_back()
            raise

    def _add(self, modules: Any, parameters: list[nn.Parameter], *, copies: bool = True) -> None:
        for module in modules:
            held = vars(module)
            containers = _containers_of(module)
            filled = [(own, own.copy()) for own in filter(None, containers)]
            self._modules.append((module, type(module), held, held.copy(), containers, filled))
        self._seen.update(map(id, modules))
        for parameter in parameters:
            data, version = parameter.data, _version(parameter)
            self._reachable.know(parameter, parameter)
            attributes = vars(parameter).copy() if vars(parameter) else {}
            hooks: Any = parameter._backward_hooks
            kept = None if hooks is None else hooks.copy()
            self._parameters.append(
                (parameter, data, version, parameter.requires_grad, parameter.grad)
                + (attributes, kept)
            )
            parameter.grad = None  # which a backward inside the forward would add to
            if copies or not data.is_floating_point():
                parameter.data = self._clones.of(data)
        names = [self._names_of(type(module)) for module in modules]
        for module in modules:
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    # Two modules that share a buffer go on sharing its copy.
                    module._buffers[name] = self._reachable.visit(buffer)
        for module, known in zip(modules, names, strict=True):
            if not vars(module).keys() <= known:
                self._reachable.attributes(vars(module), known)

    def _names_of(self, cls: type) -> frozenset[str]:
        """Return the attributes that need no look: those that torch's own classes declare."""
        if cls not in self._known:
            names: set[str] = set(_OWN)
            for base in cls.__mro__:
                if base.__module__.startswith("torch."):
                    names.update(getattr(base, "__annotations__", ()))
                elif base is not object:
                    self._reachable.follow(base)
                    self._reachable.of_class(base)
            self._known[cls] = frozenset(names)
        return self._known[cls]

    def _stand_in(self, tensor: Tensor) -> Tensor:
        """Return what takes the place of a buffer, or of a tensor that an attribute holds."""
        if isinstance(tensor, nn.Parameter):  # registered nowhere
            self._add([], [tensor])
            return tensor
        shared = self._replaced and type(tensor) is Tensor and tensor.is_floating_point()
        # A tensor that was made under inference_mode could not be given other values.
        shared = shared and not tensor.is_inference()
        clone = tensor.data if shared else self._clones.of(tensor.detach())
        self.held.append(clone)
        return clone.requires_grad_() if tensor.requires_grad else clone

    def _add_hidden(self, module: nn.Module) -> None:
        """Add a module that no module has registered, such as one in a list."""
        known = {id(entry[0]) for entry in self._parameters}
        hidden = [found for found in module.modules() if id(found) not in self._seen]
        parameters = {
            id(parameter): parameter
            for found in hidden
            for parameter in found._parameters.values()
            if parameter is not None and id(parameter) not in known
        }
        self._add(hidden, list(parameters.values()))

    def put_back(self) -> None:
        """Put everything back as it was."""
        self._reachable.put_back()
        for module, cls, held, attributes, containers, filled in self._modules:
            if type(module) is not cls:
                module.__class__ = cls
            if len(held) != len(attributes) or not all(
                map(is_, held.values(), attributes.values())
            ):
                held.clear()
                held.update(attributes)
            for own in filter(None, containers):
                own.clear()
            for own, content in filled:
                own.update(content)
        for (
            parameter,
            data,
            version,
            requires_grad,
            gradient,
            attributes,
            hooks,
        ) in self._parameters:
            parameter.data = data
            parameter.requires_grad_(requires_grad)
            if parameter.grad is not gradient:
                parameter.grad = gradient
            if attributes or vars(parameter):
                vars(parameter).clear()
                vars(parameter).update(attributes)
            own_hooks = parameter._backward_hooks
            if own_hooks:
                own_hooks.clear()
                own_hooks.update(hooks or {})
            if version != _version(parameter):
                _set_version(parameter, version)


class _Clones:
    """Copies of tensors, of which those that share memory go on sharing it."""

    def __init__(self) -> None:
        self._storages: dict[int, tuple[Any, Any]] = {}

    def of(self, tensor: Tensor) -> Tensor:
        """Return a copy of a detached tensor."""
        if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.is_quantized:
            return tensor.clone()
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._storages:
            if storage.nbytes() == tensor.nbytes:
                copy = tensor.clone()
                # The storage is kept, so that no other gets its place in memory, and its key.
                self._storages[key] = (storage, copy.untyped_storage())
                return copy
            self._storages[key] = (storage, storage.clone())  # type: ignore[no-untyped-call]
        copied = self._storages[key][1]
        view = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        with torch.no_grad():
            return view.set_(copied, tensor.storage_offset(), tensor.size(), tensor.stride())


def _containers_of(module: nn.Module) -> tuple[Any, ...]:
    held = vars(module)
    try:
        found: tuple[Any, ...] = _own_containers(held)
        return found
    except KeyError:  # of another version of torch
        return tuple(held[name] for name in _OWN if name in held)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _set_version(tensor: Tensor, version: int) -> None:
    """Let autograd forget that ``tensor``, whose values are as before, was written into."""
    set_counter: Any = torch._C._autograd._unsafe_set_version_counter
    try:
        set_counter((tensor,), (version,))
    except TypeError:  # before torch 2.6
        set_counter(tensor, version)
