"""Linear algebra in one thread: the matrices here are small, and other workers want the cores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["in_one_thread"]

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def in_one_thread(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """Let ``function`` do its linear algebra in one thread.

    Several threads wait for each other at each of thousands of small products. Where the cores are
    busy, with trainings or other workers, that took a hundred times as long.
    """

    @functools.wraps(function)
    def alone(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return alone


@functools.cache
def _controller() -> ThreadpoolController:
    # It looks for the libraries that are loaded, which takes milliseconds.
    return ThreadpoolController()
