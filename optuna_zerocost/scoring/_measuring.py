"""Measurements that limits limit: parameters, operations, memory and time of one network."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer

from optuna_zerocost import proxies as _proxies
from optuna_zerocost.proxies import Batch, SeededRandomState, Structure, call, preserved
from optuna_zerocost.scoring._limits import Limits

__all__ = ["NetworkMeter"]

_BYTES_PER_MB = 1e6

# Seconds: a network is run until the median is steady, between these.
_SHORTEST, _LONGEST = 0.05, 0.3


class NetworkMeter:
    """Measures what ``limits`` limit, on one minibatch. A network is left as it was.

    The loss and the forward are those of a ``ModelScorer``; ``seed`` is for what is random in a
    pass.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        loss_fn: Callable[[Any, Tensor], Tensor],
        forward_fn: Callable[[nn.Module, Any], Tensor] | None,
        seed: int,
    ) -> None:
        self.limits = limits
        self._loss_fn = loss_fn
        self._forward_fn = forward_fn
        self._seed = seed

    def measure(self, name: str, network: nn.Module, batch: Any) -> float:
        """Return one of ``params``, ``flops``, ``memory_mb`` and ``latency_ms``, or a custom one.

        The first two need shapes alone: the network may be on the meta device. The batch is a
        scorer's, or the first of several.
        """
        if name in self.limits.custom:
            return float(self.limits.custom[name][0](network))
        if name == "params":
            return float(count_parameters(network))
        if isinstance(batch, _proxies.Minibatches):
            batch = batch.batches[0]
        measures: dict[str, Callable[[nn.Module, Any], float]] = {
            "flops": self._flops,
            "memory_mb": self._memory_mb,
            "latency_ms": self._latency_ms,
        }
        return float(measures[name](network, batch))

    def _flops(self, network: nn.Module, batch: Any) -> float:
        scores = _proxies.score_network(
            network, batch, ["flops"], forward_fn=self._forward_fn, seed=self._seed
        )
        return scores["flops"]

    def _latency_ms(self, network: nn.Module, batch: Any) -> float:
        with self._ready(network, batch, training=False) as ready, torch.no_grad():
            inputs = ready.copied()
            timer = Timer(
                "forward(network, inputs)",
                globals={"forward": self._forward, "network": network, "inputs": inputs},
                num_threads=torch.get_num_threads(),
            )
            # The first runs of a network choose kernels and fill caches.
            for _ in range(2):
                self._forward(network, inputs)
            measurement = timer.adaptive_autorange(min_run_time=_SHORTEST, max_run_time=_LONGEST)
        median: float = measurement.median
        return median * 1e3

    def _memory_mb(self, network: nn.Module, batch: Any) -> float:
        trains = self.limits.backward
        with self._ready(network, batch, training=trains) as ready:
            inputs, targets = ready.copied(), ready.targets
            existing = [*network.parameters(), *network.buffers(), *tree_leaves(inputs)]
            with torch.set_grad_enabled(trains), LiveMemory(existing) as memory:
                outputs = self._forward(network, inputs)
                if trains:
                    loss = outputs.sum() if targets is None else self._loss_fn(outputs, targets)
                    loss.backward()
        peak: int = memory.peak
        return peak / _BYTES_PER_MB

    def _forward(self, network: nn.Module, inputs: Any) -> Any:
        return call(network, inputs, self._forward_fn)

    @contextlib.contextmanager
    def _ready(self, network: nn.Module, batch: Any, *, training: bool) -> Iterator[Batch]:
        """Give the samples that run; put network and random states back afterwards."""
        first = next((p.device for p in network.parameters()), torch.device("cpu"))
        structure = Structure.of(network)
        with torch.inference_mode(False), preserved(structure), SeededRandomState(self._seed):
            ready = Batch.of(batch, device=first)
            if self.limits.samples is not None and self.limits.samples < ready.size:
                ready = ready.part(0, self.limits.samples)
            structure.set_mode(training=training)
            for _, parameter in structure.parameters:
                parameter.grad = None
            yield ready


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters, as the proxy ``params`` counts them."""
    count = 0
    for name, parameter in network.named_parameters():
        if is_lazy(parameter):
            raise _proxies.NetworkError(
                f"{name!r} of a lazy layer has no shape yet, so it cannot be counted; run "
                "network(inputs) once in build_model"
            )
        count += parameter.numel() if parameter.requires_grad else 0
    return count


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are alive, and keeps the largest count."""

    def __init__(self, existing: list[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sizes: dict[int, int] = {}
        self._live = 0
        self.peak = 0
        self._count(existing)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self._count(tree_leaves(results))
        return results

    def _count(self, values: list[Any]) -> None:
        for value in values:
            if not isinstance(value, Tensor) or value.layout != torch.strided:
                continue
            storage = value.untyped_storage()
            # Views share their storage, and it counts once.
            identity = storage._cdata
            if identity in self._sizes:
                continue
            self._sizes[identity] = storage.nbytes()
            self._live += storage.nbytes()
            # The Python object lives as long as the storage: torch keeps the one for the other.
            weakref.finalize(storage, self._free, identity)
        self.peak = max(self.peak, self._live)

    def _free(self, identity: int) -> None:
        self._live -= self._sizes.pop(identity, 0)
