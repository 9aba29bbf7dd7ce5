"""What interrupted a pass, or a proxy's own arithmetic, as an error that says who failed."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from optuna_zerocost.proxies._errors import (
    OutOfMemoryError,
    PassError,
    ProxyError,
    ProxyFunctionError,
    UndefinedScoreError,
)
from optuna_zerocost.proxies._pass import Pass, Request
from optuna_zerocost.proxies._registry import Proxy
from optuna_zerocost.proxies._watching import hooked

_LinAlgError: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]

__all__ = [
    "first_not_finite",
    "is_out_of_memory",
    "layer_that_raised",
    "pass_failed",
    "proxy_failed",
]


def pass_failed(source: Pass, request: Request, error: Exception) -> PassError:
    """Return the error that says which pass, for which proxies, ``error`` interrupted."""
    culprit = f"the {source.name} pass (for {request.who_reads(request.readers)})"
    reason = f"{type(error).__name__}: {error}"
    if not is_out_of_memory(error):
        layer = layer_that_raised(error, request)
        if "use_reentrant" in str(error):
            return PassError(
                f"{culprit} failed{layer}, for the network calls torch.utils.checkpoint with "
                "use_reentrant=True, which knows no gradient but that of backward(). Call it with "
                "use_reentrant=False, which computes the same"
            )
        return PassError(
            f"{culprit} failed{layer} with {reason.rstrip('.: ')}. "
            "Run network(inputs) and the loss on the same batch by hand to see it alone"
        )
    # Whoever keeps the error would keep the activations that filled the memory.
    traceback.clear_frames(error.__traceback__)
    cures = ["ask for fewer proxies at a time"]
    size = f"with one sample at a time (not the batch's {request.batch.size})"
    if source.holds_whole_batch:
        cures.insert(0, f"pass a batch of fewer than {request.batch.size} samples")
        size = f"at batch size {request.batch.size}"
    if twice := [key for key in request.readers if key.needs_second_derivatives]:
        cures.append(
            f"leave out {request.who_reads(twice)}, whose second derivatives keep all of the "
            "first's intermediate values"
        )
    return OutOfMemoryError(
        f"{culprit} ran out of memory {size}: {reason.splitlines()[0].rstrip('.: ')}. "
        f"To score this network, {', or '.join(cures)}, or use a device with more memory. The "
        "batch is never split silently: with BatchNorm the scores of its parts are others"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The allocators of the CPU (of Linux, of Windows) and of MPS raise nothing more special.
    signs = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def proxy_failed(proxy: Proxy, error: Exception) -> ProxyError:
    """Return the error that says that the function of ``proxy`` raised ``error``."""
    reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".: ")
    subject = _subject(error)
    about = f" about {subject!r}" if subject else ""
    if isinstance(error, (_LinAlgError, ArithmeticError)) or "math domain" in reason:
        return UndefinedScoreError(
            f"{proxy.name} has no value{about} ({reason}): what it computes, {proxy.summary}, "
            "does not exist for numbers that are so large, so small or not finite; check the "
            "initialisation and the scale of the inputs, leave the proxy out, or reject the "
            "network",
            not_finite=True,
        )
    return ProxyFunctionError(
        f"the function of {proxy.name} failed{about} with {reason}, once the "
        f"{proxy.source.name} pass had measured what it reads; the traceback above shows where. "
        "Leave the proxy out, or mend its function"
    )


def first_not_finite(request: Request) -> str:
    """Return the layer, in the order of the forward, whose output is the first that is not finite.

    The network runs once more on the minibatch, with the weights that the pass has given it. Empty
    if all is finite, or the run fails.
    """
    found: list[str] = []

    def note(name: str, module: nn.Module, _arguments: object, output: object) -> None:
        finite = (
            bool(torch.isfinite(value).all())
            for value in tree_leaves(output)
            if isinstance(value, Tensor) and value.is_floating_point()
        )
        if not found and not all(finite):
            found.append(f"{name!r} ({type(module).__name__})" if name else "the network itself")

    named = list(request.network.named_modules())
    with contextlib.suppress(Exception), torch.no_grad():
        with hooked((module, functools.partial(note, name)) for name, module in named):
            request.forward_in_train_mode(request.batch.copied(), samples=request.batch.size)
    return found[0] if found else ""


def layer_that_raised(error: BaseException, request: Request) -> str:
    """Return " in the layer …" for the innermost module that was running, if any was."""
    names = {id(module): name for name, module in request.network.named_modules()}
    for frame in _frames(error):
        module = frame.get("self")
        if isinstance(module, nn.Module) and names.get(id(module)):
            return f" in the layer {names[id(module)]!r} ({type(module).__name__})"
    return ""


def _subject(error: BaseException) -> str:
    """Return the name of the weight, or the stage, that a proxy's function was at."""
    for frame in _frames(error):
        for value in frame.values():
            if type(value).__module__.startswith(__package__ or "") and not isinstance(
                value, (Proxy, type)
            ):
                name = getattr(value, "name", None)
                if isinstance(name, str):
                    return name
    return ""


def _frames(error: BaseException) -> Iterator[dict[str, object]]:
    """Yield the variables of the functions that were running, the innermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        yield dict(frame.f_locals)
