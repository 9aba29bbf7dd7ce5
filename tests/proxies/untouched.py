"""All that must be as it was once a network has been scored."""

from __future__ import annotations

import collections
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def everything(network: nn.Module, batch: Any = None) -> list[Any]:
    """The network, the minibatch and the global random states."""
    found = [identities(network), state(network), attributes(network), random_states()]
    for value in tree_leaves(batch):
        if isinstance(value, Tensor):
            found.append([value.tolist(), value._version, value.requires_grad])
    return found


def identities(network: nn.Module) -> list[Any]:
    """Everything about a network that must not be replaced by an equal copy."""
    found: list[Any] = []
    for module in network.modules():
        found += [module, *module._parameters.values(), *module._buffers.values()]
        found += [
            parameter.grad for parameter in module._parameters.values() if parameter is not None
        ]
    return [id(item) for item in found]


def state(network: nn.Module) -> list[Any]:
    """Everything about a network that must keep its value."""
    found: list[Any] = [(name, module.training) for name, module in network.named_modules()]
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        gradient = None if tensor.grad is None else tensor.grad.tolist()
        found.append(
            (name, tensor.tolist(), tensor.dtype, tensor.device, tensor.requires_grad, gradient)
        )
        found.append((tensor.data_ptr(), tensor._version))
    for module in network.modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        found.append(([list(hook.items()) for hook in hooks], sorted(vars(module))))
    return found


def attributes(network: nn.Module) -> list[Any]:
    """Everything that modules, and their classes, hold: which objects, and their values."""
    seen: set[int] = set()
    found: list[Any] = []

    def note(path: str, value: Any) -> None:
        if isinstance(value, Tensor):
            found.append((path, id(value), value.dtype, value._version, value.data_ptr()))
            found.append((path, value.tolist(), value.requires_grad, value.is_leaf))
        elif isinstance(value, np.ndarray):
            found.append((path, id(value), value.tolist()))
        elif isinstance(value, torch.Generator):
            found.append((path, value.get_state().tolist()))
        elif isinstance(value, random.Random):
            found.append((path, value.getstate()))
        elif isinstance(value, np.random.Generator):
            found.append((path, repr(value.bit_generator.state)))
        elif isinstance(value, (bool, int, float, str, type(None))):
            found.append((path, value))
        else:
            found.append((path, id(value)))
            if id(value) in seen:
                return
            seen.add(id(value))
            if isinstance(value, dict):
                for key, item in value.items():
                    note(f"{path}[{key!r}]", item)
            elif isinstance(value, (list, tuple, collections.deque)):
                for index, item in enumerate(value):
                    note(f"{path}[{index}]", item)
            elif isinstance(value, set):
                found.append(sorted(value, key=repr))
            elif not isinstance(value, type):
                note(f"{path}.__dict__", getattr(value, "__dict__", None))
                for name in getattr(type(value), "__slots__", ()):
                    note(f"{path}.{name}", getattr(value, name, "no value"))

    note("network", network)
    for cls in {type(module) for module in network.modules()}:
        if not cls.__module__.startswith("torch."):
            for name, value in vars(cls).items():
                if isinstance(value, (dict, list, set, Tensor)) and not name.startswith("__"):
                    note(f"{cls.__name__}.{name}", value)
    return found


def random_states() -> list[Any]:
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


def unsettle(network: nn.Module, batch: Any, functions: dict[str, Any]) -> None:
    """Put a network in the midst of training, with gradients, mixed modes and a hook."""
    inputs, targets = batch
    forward = functions.get("forward_fn") or (lambda network, inputs: network(inputs))
    loss_fn = functions.get("loss_fn", nn.functional.cross_entropy)
    copied = inputs.clone() if isinstance(inputs, Tensor) else inputs
    with torch.random.fork_rng():
        loss_fn(forward(network, copied), targets).backward()
    modules = list(network.modules())
    for module in modules[::2]:
        module.training = False
    modules[-1].register_forward_hook(lambda module, arguments, output: None)
