"""Each proxy once more, one at a time, by plain autograd on a copy of the network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

NORMALISATIONS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
Batch = tuple[Tensor, Tensor]


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear))


def prepared(network: nn.Module) -> nn.Module:
    """Return a copy in train mode in which every parameter can be differentiated."""
    twin = copy.deepcopy(network).train()
    return twin.requires_grad_(True)


def weights(network: nn.Module) -> list[Tensor]:
    found: list[Tensor] = []
    for name, parameter in network.named_parameters():
        owner = network.get_submodule(name.rpartition(".")[0])
        last = name.rpartition(".")[2]
        counts = last == "weight" and _is_layer(owner)
        counts |= last == "in_proj_weight" or last.startswith(("weight_ih", "weight_hh"))
        if counts:
            found.append(parameter)
    return found


def loss_of(network: nn.Module, batch: Batch, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return nn.functional.cross_entropy(network(batch[0].clone()), batch[1])


def _pairs(network: nn.Module, batch: Batch, seed: int) -> list[tuple[Tensor, Tensor]]:
    twin = prepared(network)
    loss_of(twin, batch, seed).backward()
    return [(weight, weight.grad) for weight in weights(twin) if weight.grad is not None]


def grad_norm(network: nn.Module, batch: Batch, seed: int) -> float:
    return sum(math.sqrt(float((g**2).sum())) for _, g in _pairs(network, batch, seed))


def plain(network: nn.Module, batch: Batch, seed: int) -> float:
    return sum(float((w.detach() * g).sum()) for w, g in _pairs(network, batch, seed))


def snip(network: nn.Module, batch: Batch, seed: int) -> float:
    return sum(float((w.detach() * g).abs().sum()) for w, g in _pairs(network, batch, seed))


def grasp(network: nn.Module, batch: Batch, seed: int) -> float:
    """−Wᵀ H g by two separate forward passes, as in the published implementation."""
    twin = prepared(network)
    chosen = weights(twin)
    with sdpa_kernel([SDPBackend.MATH]):
        first = torch.autograd.grad(loss_of(twin, batch, seed), chosen, allow_unused=True)
        again = torch.autograd.grad(
            loss_of(twin, batch, seed), chosen, create_graph=True, allow_unused=True
        )
        sum((a * b).sum() for a, b in zip(first, again, strict=True) if a is not None).backward()
    return -sum(float((w.detach() * w.grad).sum()) for w in chosen if w.grad is not None)


def fisher(network: nn.Module, batch: Batch, seed: int) -> float:
    """By a hook on the gradient, which torch ties to the value before any operation in place."""
    twin = prepared(network)
    terms: list[float] = []

    def watch(layer: nn.Module, _: object, output: Tensor) -> None:
        value = output.detach().clone()
        channel = value.dim() - 1 if isinstance(layer, nn.Linear) else 1

        def on_gradient(gradient: Tensor) -> None:
            rest = [d for d in range(value.dim()) if d not in (0, channel)]
            product = value * gradient
            per_channel = product.sum(rest) if rest else product
            of_channel = layer.weight.numel() / value.size(channel)
            terms.append(of_channel * float((per_channel**2).mean(0).sum()) / 2)

        output.register_hook(on_gradient)

    for module in twin.modules():
        if _is_layer(module):
            module.register_forward_hook(watch)
    loss_of(twin, batch, seed).backward()
    return sum(terms)


def jacob_cov(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    inputs = batch[0].clone().requires_grad_()
    torch.manual_seed(seed)
    twin(inputs * 1).sum().backward()
    correlation = np.corrcoef(inputs.grad.flatten(1).double().numpy())
    values = np.linalg.svd(correlation, compute_uv=False)  # symmetric and not negative
    return -float(np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)))


def synflow(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network).double().eval()
    for tensor in (*twin.parameters(), *twin.buffers()):
        if tensor.is_floating_point():
            tensor.data.abs_()
    for module in twin.modules():
        if isinstance(module, NORMALISATIONS):
            module.forward = lambda x: x
    twin(torch.ones(1, *batch[0].shape[1:], dtype=torch.float64)).sum().backward()
    return sum(
        float((w.detach() * w.grad).abs().sum()) for w in weights(twin) if w.grad is not None
    )


def l2_norm(network: nn.Module, batch: Batch, seed: int) -> float:
    return sum(math.sqrt(float((w.detach() ** 2).sum())) for w in weights(network))


def params(network: nn.Module, batch: Batch, seed: int) -> float:
    return float(sum(p.numel() for p in network.parameters() if p.requires_grad))


TWINS: dict[str, Callable[[nn.Module, Batch, int], float]] = {
    "fisher": fisher,
    "grad_norm": grad_norm,
    "grasp": grasp,
    "jacob_cov": jacob_cov,
    "l2_norm": l2_norm,
    "params": params,
    "plain": plain,
    "snip": snip,
    "synflow": synflow,
}
