"""Networks whose forward writes into what they hold, each in another place."""

from __future__ import annotations

import collections
import random
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tests.proxies.networks import CLASSES

Write = Callable[[Any, Tensor], object]


@dataclass
class Cache:
    entries: list[Tensor] = field(default_factory=list)
    hits: int = 0


class Slotted:
    __slots__ = ("scale", "unset")

    def __init__(self) -> None:
        self.scale = torch.ones(5)


class Writer(nn.Module):
    """A small network that writes before it computes, and reads what it has written."""

    shared: ClassVar[dict[str, Any]] = {}
    table: ClassVar[Tensor] = torch.ones(5)

    def __init__(self, write: Write) -> None:
        super().__init__()
        self.write = write
        self.first, self.norm = nn.Linear(5, 24), nn.BatchNorm1d(24)
        self.body, self.head = nn.Linear(24, 24), nn.Linear(24, CLASSES)
        self.code = nn.Parameter(torch.rand(5) + 0.5, requires_grad=False)
        self.register_buffer("average", torch.ones(5))
        self.counter, self.scale = 0, 1.0
        self.tensor, self.absent = torch.ones(5), None
        self.view = self.code.detach()[1:3]
        self.alias = [self.code, self.average]
        self.list, self.nested = [1.0, torch.ones(5)], {"a": [{"b": torch.ones(5)}], "n": 0}
        self.pair, self.set = (torch.ones(5), 2), {1}
        self.queue, self.counts = collections.deque([1.0], maxlen=3), collections.Counter(a=1)
        self.ordered = collections.OrderedDict(a=1.0, b=2.0)
        self.array = np.ones(5, dtype=np.float32)
        self.generator = torch.Generator().manual_seed(3)
        self.draws, self.numbers = random.Random(4), np.random.default_rng(5)
        self.cache, self.slotted = Cache(), Slotted()
        self.space = types.SimpleNamespace(step=1.0)
        self.state = (torch.ones(5, requires_grad=True) * 2,)  # with a graph
        self.hidden = [nn.Linear(5, 5)]
        self.method = self.cache.entries.append

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            factor = self.write(self, x)
        if isinstance(factor, Tensor):
            factor = factor.detach().to(x.dtype)
        return self.head(torch.relu(self.body(torch.relu(self.norm(self.first(x * factor))))))


def _grow_code(network: Any, x: Tensor) -> Tensor:
    network.code.mul_(1.5)
    return network.code


def _clamp_data(network: Any, x: Tensor) -> float:
    network.first.weight.data.clamp_(-0.2, 0.2)
    network.body.weight.data *= 1.1
    return 1.0


def _renorm(network: Any, x: Tensor) -> float:
    network.first.weight.copy_(torch.renorm(network.first.weight, 2, 0, 0.3))
    return 1.0


def _merge(network: Any, x: Tensor) -> float:
    if not network.counter:
        network.body.weight += 0.1
        network.counter = True
    return 1.0


def _table(network: Any, x: Tensor) -> Tensor:
    if network.absent is None:
        network.absent = torch.arange(1, 6, device=x.device, dtype=x.dtype).cos()
    return network.absent + network.absent.matmul(torch.eye(5, dtype=x.dtype))


def _count(network: Any, x: Tensor) -> float:
    network.counter += 1
    network.scale *= 1.25
    return network.scale


def _attribute(name: str) -> Write:
    def write(network: Any, x: Tensor) -> Tensor:
        tensor: Tensor = getattr(network, name)
        tensor.mul_(1.5).add_(0.1)
        return tensor if tensor.numel() == 5 else tensor.mean()

    return write


def _list(network: Any, x: Tensor) -> Tensor:
    network.list.append(network.list[0] + len(network.list))
    network.list[1].add_(1)
    return network.list[1] * float(network.list[-1])


def _nested(network: Any, x: Tensor) -> Tensor:
    inner = network.nested["a"][0]
    inner["b"] = inner["b"] + 1
    network.nested["n"] += 1
    network.nested[f"new {network.nested['n']}"] = x.detach()
    return inner["b"] * network.nested["n"]


def _pair(network: Any, x: Tensor) -> Tensor:
    network.pair[0].add_(network.pair[1])
    network.pair = (network.pair[0], network.pair[1] + 1)
    return network.pair[0]


def _others(network: Any, x: Tensor) -> float:
    network.set.add(len(network.set) + 1)
    network.queue.append(network.queue[-1] + 1)
    network.counts["a"] += 1
    network.ordered["c"] = network.ordered.pop("a") + 1
    network.ordered["a"] = network.ordered["c"]
    return len(network.set) + sum(network.queue) + network.counts["a"] + network.ordered["a"]


def _array(network: Any, x: Tensor) -> Tensor:
    network.array += 1
    return torch.from_numpy(network.array.copy())


def _draw(network: Any, x: Tensor) -> Tensor:
    factor = torch.rand(5, generator=network.generator) + network.draws.random()
    return factor + network.numbers.random() + network.draws.random()


def _object(network: Any, x: Tensor) -> Tensor:
    network.cache.hits += 1
    network.cache.entries.append(torch.full((5,), float(network.cache.hits), dtype=x.dtype))
    network.space.step += 1
    network.slotted.scale += network.space.step
    network.slotted.unset = x.detach()
    return network.cache.entries[-1] * len(network.cache.entries) + network.slotted.scale


def _state(network: Any, x: Tensor) -> Tensor:
    network.state = (network.state[0] + 1,)
    return network.state[0]


def _hidden(network: Any, x: Tensor) -> Tensor:
    network.hidden[0].weight.mul_(1.5)
    network.hidden[0].calls = getattr(network.hidden[0], "calls", 0) + 1
    return network.hidden[0].weight[0] * network.hidden[0].calls


def _alias(network: Any, x: Tensor) -> Tensor:
    network.view.mul_(2.0)
    network.alias[0].mul_(1.1)
    network.alias[1].mul_(1.1)
    return network.code * network.average


def _class(network: Any, x: Tensor) -> float:
    network.shared["calls"] = network.shared.get("calls", 0) + 1
    network.table.add_(1)
    return network.shared["calls"] * float(network.table[0])


def _structure(network: Any, x: Tensor) -> float:
    network.register_buffer("extra", x.detach())
    network.bias = nn.Parameter(torch.ones(5))
    network.more = nn.Linear(5, 5)
    network.eval()
    network.head.requires_grad_(True)
    network.code.note = "seen"
    network.body.register_forward_hook(lambda module, arguments, output: 1.5 * output)
    del network.scale
    return 1.0


WRITERS: dict[str, Write] = {
    "parameter": _grow_code,
    "data": _clamp_data,
    "renorm": _renorm,
    "merge once": _merge,
    "table in the type of the inputs": _table,
    "numbers": _count,
    "buffer": _attribute("average"),
    "tensor": _attribute("tensor"),
    "view of a parameter": _attribute("view"),
    "list": _list,
    "nested": _nested,
    "tuple": _pair,
    "other containers": _others,
    "array": _array,
    "generators": _draw,
    "objects": _object,
    "tensor with a graph": _state,
    "module in a list": _hidden,
    "aliases": _alias,
    "class": _class,
    "structure": _structure,
}
