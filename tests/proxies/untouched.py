"""All that must be as it was once a network has been scored."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def everything(network: nn.Module, batch: Any = None) -> list[Any]:
    """The network, the minibatch and the global random states."""
    found = [identities(network), state(network), random_states()]
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
