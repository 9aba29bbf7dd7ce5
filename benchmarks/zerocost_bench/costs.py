"""The cost of a proxy, measured relative to a forward and backward pass of training."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from optuna_zerocost import proxies
from zerocost_bench import nasbench201

__all__ = ["measure_costs", "measure_training_pass"]

_ARCHITECTURES = (
    ("nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "none", "nor_conv_3x3"),
    ("nor_conv_1x1", "skip_connect", "nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "none"),
    ("nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "skip_connect", "none", "nor_conv_1x1"),
)


def measure_costs(
    names: Sequence[str], *, batch_size: int = 64, repeats: int = 2
) -> dict[str, float]:
    """Time each proxy alone, relative to a forward and backward pass of training.

    Both are taken side by side on three networks of NAS-Bench-201, with random images of 32×32
    pixels and one thread; the result is the median of the ratios.

    Args:
        names: Proxies.
        batch_size: Samples in the minibatch.
        repeats: How often each is taken on each network; the shortest time counts.
    """
    batch = _random_batch(batch_size)
    ratios: dict[str, list[float]] = {name: [] for name in names}
    with _one_thread():
        for operations in _ARCHITECTURES:
            network = nasbench201.build_network(operations)
            training = _shortest(functools.partial(_train, network, batch), repeats)
            for name in names:
                score = functools.partial(proxies.score_network, network, batch, [name])
                ratios[name].append(_shortest(score, repeats) / training)
    return {name: statistics.median(values) for name, values in ratios.items()}


def measure_training_pass(*, batch_size: int = 64, repeats: int = 2) -> float:
    """Return the seconds of the processor for one training pass, on one thread.

    The pass that :func:`measure_costs` compares with; the median of the same three networks.
    """
    batch = _random_batch(batch_size)
    with _one_thread():
        return statistics.median(
            _shortest(
                functools.partial(_train, nasbench201.build_network(operations), batch), repeats
            )
            for operations in _ARCHITECTURES
        )


def _random_batch(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 3, 32, 32, generator=generator), torch.arange(size) % 10


def _train(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    network.train()
    network.zero_grad()
    loss = nn.functional.cross_entropy(network(batch[0]), batch[1])
    loss.backward()  # type: ignore[no-untyped-call]


def _shortest(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return min(seconds)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
