"""From a network and a minibatch to scores."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from optuna_zerocost.proxies._coverage import (
    Scores,
    coverage_of,
    warn_of_little,
    weights_in_use,
)
from optuna_zerocost.proxies._errors import (
    NetworkError,
    ProxyDefinitionError,
    ProxyError,
    UndefinedScoreError,
    UnknownProxyError,
)
from optuna_zerocost.proxies._failures import (
    first_not_finite,
    is_out_of_memory,
    pass_failed,
    proxy_failed,
)
from optuna_zerocost.proxies._minibatch import Batch, Minibatches
from optuna_zerocost.proxies._numbers import ordinary_numbers
from optuna_zerocost.proxies._pass import Measured, Pass, Quantity, Request
from optuna_zerocost.proxies._preserve import preserved
from optuna_zerocost.proxies._random import SeededRandomState
from optuna_zerocost.proxies._registry import Proxy, describe
from optuna_zerocost.proxies._structure import Structure
from optuna_zerocost.proxies._zeros import warn_of_zeros

__all__ = ["score_network"]


def score_network(
    network: nn.Module,
    batch: Any,
    proxies: Sequence[str | Proxy] = ("synflow",),
    *,
    loss_fn: Callable[[Any, Any], Tensor] = torch.nn.functional.cross_entropy,
    forward_fn: Callable[[nn.Module, Any], Tensor] | None = None,
    seed: int = 0,
) -> Scores:
    """Score an untrained network.

    Each pass over the network that the proxies need runs once, and computes only what they read.
    A proxy's value does not depend on which others are asked for, to the last bit; but beside one
    that needs second derivatives (grasp), torch differentiates, and computes attention, in another
    order, which moves scores by less than a millionth of the terms that they sum. All weights
    that count are scored, frozen ones (``requires_grad=False``) too; ``params`` alone counts only
    what is trainable.

    The network is left as it was, also when this raises, whatever its forward writes: parameters,
    gradients, buffers, hooks, modes, flags, and what its modules hold in other attributes, such as
    counters, lists and caches; so are the batch and the global random states.

    Args:
        network: The network, with initial weights. ``torch.compile`` is looked through.
        batch: ``(inputs, targets)``; moved to the network's device. Inputs are a tensor with N
            samples in its first dimension, a tuple (positional arguments) or a mapping (keyword
            arguments). Targets may be None for proxies that need no labels. `Batch` says what
            each input is (masks, lengths, nodes and edges of graphs), where its type and shape do
            not. For zico it may be ``Minibatches`` of several, of which the other proxies read
            the first.
        proxies: Names of registered proxies, or `Proxy` objects.
        loss_fn: From the output and the targets to the mean loss over the batch, a scalar. One of
            your own takes whatever the network returns, several outputs too, and None for targets
            where the batch has none.
        forward_fn: From the network and the inputs to the tensor of logits, for a network that
            returns something else; by default the network is called.
        seed: Seed of whatever is random in a pass, such as dropout, 0 ≤ seed < 2**32.

    Returns:
        A dictionary with the score of each proxy, in the order asked. Its ``coverage`` tells how
        many of the parameters count as weights; below half, a `CoverageWarning` tells as well. A
        `ConstantScoreWarning` tells where a score is 0 for every architecture of a kind.

    Raises:
        ProxyError: One of its subclasses, which says what to do about it.
    """
    asked = _resolve(proxies)
    # Scoring runs once, so compiling the network would cost more than it saves.
    network = getattr(network, "_orig_mod", network)
    with torch.inference_mode(False), ordinary_numbers(network):
        structure = _inspected(network, asked)
        device = next((tensor.device for _, tensor in structure.tensors()), torch.device("cpu"))
        pairs = batch.batches if isinstance(batch, Minibatches) else (batch,)
        first, *more = (Batch.of(pair, device=device) for pair in pairs)
        more = [replace(b, name=f"minibatch {n}") for n, b in enumerate(more, start=1)]
        first = replace(first, name="minibatch 0") if more else first
        values: dict[str, float] = {}
        coverage = None

        @contextlib.contextmanager
        def asked_of(
            wanted: Mapping[Quantity[Any], tuple[str, ...]], **how: bool
        ) -> Iterator[Request]:
            with preserved(structure, **how) as state, SeededRandomState(seed):
                others = tuple(more)
                yield Request(structure, first, wanted, loss_fn, forward_fn, others, state)

        if of_weights := [p.name for p in asked if any(q.needs_weights for q in p.reads)]:
            if structure.candidates:
                with asked_of({}) as request:
                    structure = weights_in_use(request)
            coverage = coverage_of(structure)
            warn_of_little(structure, coverage, ", ".join(of_weights))
        for source in dict.fromkeys(proxy.source for proxy in asked):
            readers = [proxy for proxy in asked if proxy.source == source]
            wanted = {
                key: tuple(proxy.name for proxy in readers if key in proxy.reads)
                for proxy in readers
                for key in proxy.reads
            }
            how = {"copies": source.copies_parameters, "replaced": source.replaces_values}
            with asked_of(wanted, **how) as request:
                values |= _run(source, request, readers)
        zeros = [p for p in asked if p.name in of_weights and values[p.name] == 0.0]
        if zeros:
            with asked_of({}) as request:
                warn_of_zeros(request, zeros)
    scores = Scores({proxy.name: values[proxy.name] for proxy in asked})
    scores.coverage = coverage
    return scores


def _resolve(proxies: Sequence[str | Proxy]) -> list[Proxy]:
    if isinstance(proxies, str):
        raise UnknownProxyError(
            f"proxies is the string {proxies!r}; pass a sequence of names, such as [{proxies!r}]"
        )
    found: dict[str, Proxy] = {}
    for item in proxies:
        proxy = item if isinstance(item, Proxy) else describe(item)
        if found.setdefault(proxy.name, proxy) != proxy:
            raise ProxyDefinitionError(
                f"two different proxies are called {proxy.name!r}; rename one of them"
            )
    return list(found.values())


def _run(source: Pass, request: Request, readers: Sequence[Proxy]) -> dict[str, float]:
    """Run one pass and compute the proxies that read from it."""
    try:
        values = _values(source, request, readers)
        for proxy in readers:
            if not math.isfinite(values[proxy.name]):
                raise UndefinedScoreError(
                    f"{proxy.name} came out as {values[proxy.name]} from a finite "
                    f"{source.name} pass: {proxy.summary} overflows, or is undefined, for this "
                    "network and minibatch; leave the proxy out, or reject the network",
                    not_finite=True,
                )
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise pass_failed(source, request, error) from error
        raise
    except UndefinedScoreError as error:
        if error.not_finite and (layer := first_not_finite(request)):
            message = f"{error}. The first output that is not finite is that of {layer}"
            raise UndefinedScoreError(message, not_finite=True) from error
        raise
    return values


def _values(source: Pass, request: Request, readers: Sequence[Proxy]) -> dict[str, float]:
    try:
        with torch.enable_grad():
            measured = source.run(request)
    except ProxyError:
        raise
    except Exception as error:
        raise pass_failed(source, request, error) from error
    with torch.no_grad():
        return {proxy.name: _value(proxy, measured) for proxy in readers}


def _value(proxy: Proxy, measured: Measured) -> float:
    try:
        return float(proxy.function(measured.restricted_to(proxy.reads)))
    except ProxyError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise proxy_failed(proxy, error) from error


def _inspected(network: nn.Module, asked: Sequence[Proxy]) -> Structure:
    """Return the network's structure; raise NetworkError for one that no pass could use."""
    if not isinstance(network, nn.Module):
        raise NetworkError(f"network is a {type(network).__name__}; pass a torch.nn.Module")
    structure = Structure.of(network)
    if structure.of_kind(torch.jit.ScriptModule):
        raise NetworkError(
            "the network holds a TorchScript module, whose state cannot be put back after a "
            "pass; score the Python module that it was compiled from"
        )
    for name, tensor in structure.tensors():
        if is_lazy(tensor):
            raise NetworkError(
                f"{name!r} of a lazy layer has no shape yet, and scoring leaves the network as it "
                "is; run network(inputs) once before scoring it"
            )
    if not any(proxy.source.reads_values for proxy in asked):
        return structure
    for name, tensor in structure.tensors():
        if tensor.is_meta:
            raise NetworkError(
                f"{name!r} is on the meta device and has no values; build the network on a real "
                "device, or ask only for params and flops"
            )
    for name, parameter in structure.parameters:
        if parameter.is_inference():
            raise NetworkError(
                f"parameter {name!r} was made under inference_mode and cannot be "
                "differentiated; build the network outside of it"
            )
    # A sum is finite if all terms are, but for an overflow, which the second test tells. The
    # sums of a kind leave the device together.
    sums: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    with torch.no_grad():
        for _, parameter in structure.parameters:
            kind = (parameter.dtype, parameter.device)
            value = parameter.float() if parameter.itemsize == 1 else parameter
            sums.setdefault(kind, []).append(value.sum())
    if all(bool(torch.isfinite(torch.stack(found).sum())) for found in sums.values()):
        return structure
    for name, parameter in structure.parameters:
        if wrong := int((~torch.isfinite(parameter.detach())).sum()):
            raise NetworkError(
                f"parameter {name!r} holds {wrong} values that are NaN or infinite; "
                "initialise the network again"
            )
    return structure
