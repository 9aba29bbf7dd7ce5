"""The settings of torch that decide in which type numbers are computed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["ordinary_numbers"]


@contextlib.contextmanager
def ordinary_numbers(network: object) -> Iterator[None]:
    """Context manager: inside, no autocast of the caller's is on, and the default type is fixed.

    It is that of the network's parameters, but float32 for those of half precision, so that a
    score is the same inside of the caller's ``autocast`` or ``set_default_dtype`` as outside.
    """
    parameters = network.parameters() if isinstance(network, nn.Module) else iter(())
    first = next((p for p in parameters if p.is_floating_point()), None)
    dtype = torch.float64 if first is not None and first.dtype == torch.float64 else torch.float32
    devices = {"cpu"} if first is None else {"cpu", first.device.type}
    before = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        for device in devices - {"meta"}:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if before != dtype:  # it belongs to the process, so it is left alone where it is right
            stack.callback(torch.set_default_dtype, before)
            torch.set_default_dtype(dtype)
        yield
