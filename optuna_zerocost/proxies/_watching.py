"""Calls of torch's functions and of modules, watched or replaced while a network runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

__all__ = ["Arguments", "Function", "FunctionMode", "Named", "hooked"]

Function = Callable[..., Any]
Arguments = tuple[Any, ...]
Named = dict[str, Any]


class FunctionMode(TorchFunctionMode):
    """Context manager: inside, `called` stands in for every call of a function of torch."""

    def called(self, func: Function, name: str, args: Arguments, named: Named) -> Any:
        """Return what the call is to return; ``name`` is the function's, or empty."""
        raise NotImplementedError

    def __torch_function__(
        self, func: Function, types: Any, args: Arguments = (), kwargs: Named | None = None
    ) -> Any:
        return self.called(func, getattr(func, "__name__", ""), args, dict(kwargs or {}))


@contextlib.contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Function]]) -> Iterator[None]:
    """Context manager: inside, modules have these forward hooks."""
    with contextlib.ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        yield
