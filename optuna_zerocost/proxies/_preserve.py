"""The user's network, given back as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from optuna_zerocost.proxies._structure import EMBEDDINGS, Structure

__all__ = ["preserved"]


@contextlib.contextmanager
def preserved(structure: Structure) -> Iterator[None]:
    """Context manager: inside, a pass may change modes, flags, buffers and ``parameter.data``.

    Afterwards, and also when something was raised, these are as before: which parameters and
    buffers a module has, the tensors behind them, ``requires_grad``, ``grad``, and the training
    mode of every module on its own. Inside, buffers are copies, so what a forward pass writes
    into a running statistic never reaches the user's tensor.
    """
    modules = structure.modules
    before = [(m, m.training, dict(m._parameters), dict(m._buffers)) for m in modules]
    parameters = [(p, p.data, p.requires_grad, p.grad) for _, p in structure.parameters]
    embeddings: list[Any] = structure.of_kind(*EMBEDDINGS)
    shortening = {layer: layer.max_norm for layer in embeddings if layer.max_norm is not None}
    copies: dict[int, Tensor] = {}
    try:
        for module in modules:
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    # Two modules that share a buffer go on sharing its copy.
                    module._buffers[name] = copies.setdefault(id(buffer), buffer.detach().clone())
        for module, max_norm in shortening.items():
            # Its forward pass would shorten the vectors that it looks up in place; here all are
            # shortened beforehand, in a copy.
            module.weight.data = torch.renorm(module.weight.data, module.norm_type, 0, max_norm)
            module.max_norm = None
        yield
    finally:
        for module, max_norm in shortening.items():
            module.max_norm = max_norm
        for parameter, data, requires_grad, gradient in parameters:
            parameter.data = data
            parameter.requires_grad_(requires_grad)
            if parameter.grad is not gradient:
                parameter.grad = gradient
        for module, training, own_parameters, own_buffers in before:
            # Not train(mode): networks override it, and it would set the children too.
            vars(module)["training"] = training
            module._parameters.clear()
            module._parameters.update(own_parameters)
            module._buffers.clear()
            module._buffers.update(own_buffers)
