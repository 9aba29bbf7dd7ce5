"""Layers that take their sizes from the first inputs that they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from optuna_zerocost.proxies import Batch, NetworkError, call, is_out_of_memory

__all__ = ["give_shapes"]


def give_shapes(
    network: object,
    batch: Callable[[], object],
    forward_fn: Callable[[nn.Module, Any], Tensor] | None = None,
) -> None:
    """Run a network that was just built once if it has lazy layers, so that all have a shape.

    At most two samples of what ``batch`` returns are run. The layers' weights are drawn from the
    global random state, in the order in which they are reached. A network on the meta device is
    left as it is.
    """
    if not isinstance(network, nn.Module) or not _has_lazy_layers(network):
        return
    parameters = list(network.parameters())
    known = [parameter for parameter in parameters if not is_lazy(parameter)]
    device = next((p.device for p in [*known, *parameters]), torch.device("cpu"))
    if device.type == "meta":
        return
    inputs = Batch.of(batch(), device=device)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():
            call(network, inputs.few(2).inputs, forward_fn)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {error}".rstrip(".: ")
        raise NetworkError(
            f"the network has lazy layers, and the run that was to give them shapes failed with "
            f"{reason}. Run network(inputs) by hand to see it alone"
        ) from error
    for module, training in modes:
        module.training = training


def _has_lazy_layers(network: nn.Module) -> bool:
    # Of all modules each is looked at once, and of their classes each: a builder makes many.
    kinds: set[type] = set()
    waiting: list[nn.Module | None] = [network]
    while waiting:
        module = waiting.pop()
        if module is not None:
            kinds.add(type(module))
            waiting.extend(module._modules.values())
    return any(issubclass(kind, LazyModuleMixin) for kind in kinds)
