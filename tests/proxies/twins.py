"""Each proxy once more, one at a time, by plain autograd on a copy of the network."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from unittest import mock

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
    correlation = np.corrcoef(_input_gradients(network, batch, seed))
    values = np.linalg.svd(correlation, compute_uv=False)  # symmetric and not negative
    return -float(np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)))


def _flow(network: nn.Module, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    twin = prepared(network).double().eval()
    for tensor in (*twin.parameters(), *twin.buffers()):
        if tensor.is_floating_point():
            tensor.data.abs_()
    for module in twin.modules():
        if isinstance(module, NORMALISATIONS):
            module.forward = lambda x: x
    twin(torch.ones(1, *batch[0].shape[1:], dtype=torch.float64)).sum().backward()
    return [(w.detach(), w.grad) for w in weights(twin) if w.grad is not None]


def synflow(network: nn.Module, batch: Batch, seed: int) -> float:
    return sum(float((w * g).abs().sum()) for w, g in _flow(network, batch))


def logsynflow(network: nn.Module, batch: Batch, seed: int) -> float:
    return sum(float((w * (g + 1).log()).abs().sum()) for w, g in _flow(network, batch))


def _input_gradients(network: nn.Module, batch: Batch, seed: int) -> np.ndarray:
    twin = prepared(network)
    inputs = batch[0].clone().requires_grad_()
    torch.manual_seed(seed)
    twin(inputs * 1).sum().backward()
    return inputs.grad.flatten(1).double().numpy()


def epe_nas(network: nn.Module, batch: Batch, seed: int) -> float:
    gradients = _input_gradients(network, batch, seed)
    score = 0.0
    for label in np.unique(batch[1].numpy()):
        rows = gradients[batch[1].numpy() == label]
        score += abs(float(np.log(np.abs(np.corrcoef(rows)) + 1e-5).sum()))
    return score


ACTIVATIONS = ("relu", "gelu", "silu", "elu", "hardswish", "hardtanh")


@contextlib.contextmanager
def activations_recorded(network: nn.Module) -> Iterator[list[tuple[np.ndarray, Tensor]]]:
    """Note codes and outputs by replacing torch's functions, and layers' references to them."""
    seen: list[tuple[np.ndarray, Tensor]] = []

    def recorded(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(x: Tensor, *rest: object, **named: object) -> Tensor:
            code = (x.detach().flatten(1) > 0).numpy().copy()
            before = len(seen)
            output = function(x, *rest, **named)
            del seen[before:]  # the functional calls the other
            alias = output if not output.requires_grad else output * 1
            if alias.requires_grad:
                alias.retain_grad()
            seen.append((code, alias))
            return alias

        return call

    with contextlib.ExitStack() as stack:
        for layer in network.modules():
            if isinstance(layer, nn.TransformerEncoderLayer):
                stack.enter_context(mock.patch.object(layer, "activation", recorded(torch.relu)))
        for name in ACTIVATIONS:
            function = recorded(getattr(nn.functional, name))
            stack.enter_context(mock.patch.object(nn.functional, name, function))
        stack.enter_context(mock.patch.object(torch, "relu", recorded(torch.relu)))
        yield seen


def naswot(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    torch.manual_seed(seed)
    with activations_recorded(twin) as seen:
        twin(batch[0].clone()).sum().backward()
    kernel = np.zeros((len(batch[0]), len(batch[0])))
    for code, output in seen:
        if output.grad is not None:
            x = code.astype(float)
            kernel += x @ x.T + (1 - x) @ (1 - x).T
    return float(np.linalg.slogdet(kernel)[1])


def meco(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    least: list[float] = []

    def watch(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() > 2 and output[0, 0].numel() > 1:
            rows = output[0].detach().flatten(1).double().numpy()
            with np.errstate(invalid="ignore", divide="ignore"):
                correlation = np.nan_to_num(np.corrcoef(rows)).reshape(len(rows), len(rows))
            least.append(float(np.linalg.eigvals(correlation).real.min()))

    for module in twin.modules():
        module.register_forward_hook(watch)
    torch.manual_seed(seed)
    twin(batch[0].clone())
    return sum(least)


def zico(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    half = len(batch[0]) // 2
    torch.manual_seed(seed)
    halves = []
    for part in (slice(None, half), slice(half, None)):
        twin.zero_grad()
        nn.functional.cross_entropy(twin(batch[0][part].clone()), batch[1][part]).backward()
        halves.append([None if w.grad is None else w.grad.clone() for w in weights(twin)])
    score = 0.0
    for first, second in zip(*halves, strict=True):
        if first is not None:
            both = np.stack([first.numpy(), second.numpy()])
            deviation = both.std(0)
            changes = deviation != 0
            terms = np.abs(both).mean(0)[changes] / deviation[changes]
            score += math.log(terms.sum()) if terms.size else 0.0
    return score


def gradsign(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    torch.manual_seed(seed)
    signs = []
    for x, y in zip(*batch, strict=True):
        twin.zero_grad()
        nn.functional.cross_entropy(twin(x[None].clone()), y[None]).backward()
        signs.append([np.sign(w.grad.numpy()) for w in weights(twin) if w.grad is not None])
    return float(sum(np.abs(sum(of_weight)).sum() for of_weight in zip(*signs, strict=True)))


def _drawn(network: nn.Module, deviation: Callable[[Tensor], float]) -> nn.Module:
    """Draw weights anew in the twin: as the passes do, in the order of the modules."""
    for weight in weights(network):
        weight.data = torch.randn(weight.shape) * deviation(weight)
    for name, parameter in network.named_parameters():
        if name.endswith("bias") or ".bias_" in name:
            parameter.data.zero_()
    for module in network.modules():
        if isinstance(module, NORMALISATIONS) and next(module.parameters(), None) is not None:
            module.weight.data.fill_(1.0)
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_mean.zero_()
            module.running_var.fill_(1.0)
    return network


def _gaussian(network: nn.Module) -> nn.Module:
    return _drawn(network, lambda weight: 1.0)


def _kaiming(network: nn.Module) -> nn.Module:
    return _drawn(network, lambda weight: math.sqrt(2 / math.prod(weight.shape[1:])))


def zen(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    features: list[Tensor] = []
    for module in twin.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    torch.manual_seed(seed)
    x, noise = torch.randn(batch[0].shape), torch.randn(batch[0].shape)
    _gaussian(twin)
    with torch.no_grad():
        twin(x.clone())
        twin(x + 0.01 * noise)
    score = math.log(float((features[0] - features[1]).abs().sum((1, 2, 3)).mean()))
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            score += math.log(math.sqrt(float(module.running_var.mean())))
    return score


def swap(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    torch.manual_seed(seed)
    counts = []
    for _ in range(32):
        _gaussian(twin)
        with torch.no_grad(), activations_recorded(twin) as seen:
            twin(batch[0][:16].clone())
        units = np.concatenate([code for code, _ in seen], axis=1).T
        counts.append(len(np.unique(units, axis=0)))
    return float(np.mean(counts))


def linear_regions(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    torch.manual_seed(seed)
    _kaiming(twin)
    with activations_recorded(twin) as seen:
        twin(batch[0].clone())
    return float(len(np.unique(np.concatenate([code for code, _ in seen], axis=1), axis=0)))


def ntk_condition(network: nn.Module, batch: Batch, seed: int) -> float:
    twin = prepared(network)
    torch.manual_seed(seed)
    logits = _kaiming(twin)(batch[0].clone())
    rows = []
    for row in logits:
        twin.zero_grad()
        row.sum().backward(retain_graph=True)
        found = [w.grad.flatten() for w in weights(twin) if w.grad is not None]
        rows.append(torch.cat(found).double().numpy())
    singular = np.linalg.svd(np.stack(rows), compute_uv=False)
    return float((singular.max() / singular.min()) ** 2)


# The stages by hand: which children of the network they are.
STAGES = {
    "small_cnn": ["0", "3"],
    "residual": ["0", "2", "3"],
    "depthwise": ["0", "1", "3", "4"],
    "mlp": ["0", "2"],
    "mlp_on_sequences": ["0"],
    "conv1d": ["0"],
    "in_place": ["0", "2"],
    "dead_branch": ["features", "dead"],
    "shared": ["first", "first", "tied"],
    "frozen": ["0", "2"],
    "dropout": ["0"],
    "recurrent": ["recurrent"],
    "attention": ["embed", "layer"],
}


def _stage_outputs(network: nn.Module, batch: Batch, seed: int, names: list[str]) -> list[Tensor]:
    twin = prepared(network)
    outputs: list[Tensor] = []

    def watch(_stage: nn.Module, _inputs: object, output: object) -> object:
        first = output[0] if isinstance(output, tuple) else output
        outputs.append(first)
        return (first * 1, *output[1:]) if isinstance(output, tuple) else first * 1

    for name in set(names):
        twin.get_submodule(name).register_forward_hook(watch)
    torch.manual_seed(seed)
    _kaiming(twin)
    twin(torch.randn(batch[0].shape))
    assert len(outputs) == len(names)
    return outputs


def _entropies(network: nn.Module, batch: Batch, seed: int, names: list[str]) -> list[float]:
    found = []
    for output in _stage_outputs(network, batch, seed, names):
        rows = output.detach().double()
        rows = rows if rows.dim() == 2 else rows.transpose(1, -1).flatten(0, -2)
        if output.dim() == 3 and not any(isinstance(m, nn.Conv1d) for m in network.modules()):
            rows = output.detach().double().flatten(0, 1)
        values = np.linalg.eigvalsh(np.cov(rows.numpy(), rowvar=False, bias=True)).clip(0)
        share = values / values.sum()
        found.append(float(-(share * np.log(share + 1e-8)).sum()))
    return found


def az_expressivity(network: nn.Module, batch: Batch, seed: int, names: list[str]) -> float:
    return sum(_entropies(network, batch, seed, names))


def az_progressivity(network: nn.Module, batch: Batch, seed: int, names: list[str]) -> float:
    return float(np.diff(_entropies(network, batch, seed, names)).min())


def az_trainability(network: nn.Module, batch: Batch, seed: int, names: list[str]) -> float:
    outputs = _stage_outputs(network, batch, seed, names)
    terms = []
    for before, after in zip(outputs, outputs[1:], strict=False):
        signs = (torch.randint(0, 2, after.shape) * 2 - 1).float()
        (gradient,) = torch.autograd.grad(after, before, signs, retain_graph=True)
        if after.dim() == 4:
            stride = before.size(2) // after.size(2)
            gradient = nn.functional.pixel_unshuffle(gradient, stride)
            gradient, signs = gradient.movedim(1, -1), signs.movedim(1, -1)
        a = gradient.flatten(0, -2).double().numpy()
        b = signs.flatten(0, -2).double().numpy()
        largest = np.linalg.norm(a.T @ b / len(b), 2)
        terms.append(2 - largest - 1 / (largest + 1e-6))
    return float(np.mean(terms))


def l2_norm(network: nn.Module, batch: Batch, seed: int) -> float:
    return sum(math.sqrt(float((w.detach() ** 2).sum())) for w in weights(network))


def params(network: nn.Module, batch: Batch, seed: int) -> float:
    return float(sum(p.numel() for p in network.parameters() if p.requires_grad))


TWINS: dict[str, Callable[[nn.Module, Batch, int], float]] = {
    "epe_nas": epe_nas,
    "fisher": fisher,
    "grad_norm": grad_norm,
    "gradsign": gradsign,
    "grasp": grasp,
    "jacob_cov": jacob_cov,
    "l2_norm": l2_norm,
    "linear_regions": linear_regions,
    "logsynflow": logsynflow,
    "meco": meco,
    "naswot": naswot,
    "ntk_condition": ntk_condition,
    "params": params,
    "plain": plain,
    "snip": snip,
    "synflow": synflow,
    "swap": swap,
    "zen": zen,
    "zico": zico,
}

STAGE_TWINS: dict[str, Callable[[nn.Module, Batch, int, list[str]], float]] = {
    "az_expressivity": az_expressivity,
    "az_progressivity": az_progressivity,
    "az_trainability": az_trainability,
}
