"""The minibatch that ``--batch`` describes: a shape, a file, or a function of the user's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optuna_zerocost.commands._command_error import CommandError
from optuna_zerocost.commands._user_code import is_reference, load, where
from optuna_zerocost.proxies import Minibatches

__all__ = ["load_batch"]

_SHAPE = re.compile(r"\d+(x\d+)+")
_FORMS = (
    "Give a shape such as 16x3x32x32 (random inputs), an .npz file with the arrays 'inputs' and "
    "'targets', a .pt file with a pair of tensors, or MODULE:NAME for a function, of nothing or "
    "of the trial, that returns (inputs, targets)."
)


def load_batch(text: str, *, classes: int, seed: int) -> Any:
    """Return what ``text`` describes, in the form that ``ModelScorer`` takes.

    Args:
        text: ``16x3x32x32`` for standard normal inputs of that shape with random labels; the path
            of an ``.npz`` or ``.pt`` file, from which only tensors are loaded, no code; or
            ``MODULE:NAME``, a pair, a function without arguments that returns it, or one of the
            trial, which is asked for each network.
        classes: Number of classes of the random labels.
        seed: Seeds what is random.

    Raises:
        CommandError: If there is no such batch.
    """
    if _SHAPE.fullmatch(text):
        generator = torch.Generator().manual_seed(seed)
        shape = [int(length) for length in text.split("x")]
        if min(shape) < 1:
            raise CommandError(f"the batch {text} is empty: every length must be at least 1.")
        inputs = torch.randn(shape, generator=generator)
        return inputs, torch.randint(classes, (shape[0],), generator=generator)
    if text.endswith((".npz", ".pt")):
        return _read(Path(text))
    if is_reference(text):
        return _made_by(text)
    raise CommandError(f"the batch {text!r} is of no known form. {_FORMS}")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise CommandError(f"there is no file {str(path)!r} with a batch. {_FORMS}")
    try:
        found: Any
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # many kinds, from zip files to pickles that are refused
        raise CommandError(
            f"{str(path)!r} cannot be read as a batch: {str(error).strip().splitlines()[0]} Only "
            "arrays and tensors are read, no other objects, since these could run code."
        ) from error
    if isinstance(found, dict) and "inputs" in found:
        return found["inputs"], found.get("targets")
    if isinstance(found, (list, tuple)) and len(found) == 2:
        return tuple(found)
    names = f" with {', '.join(map(str, found))}" if isinstance(found, dict) else ""
    raise CommandError(f"{str(path)!r} has a {type(found).__name__}{names}, no batch. {_FORMS}")


def _made_by(reference: str) -> Any:
    made = load(reference)
    if callable(made):
        if _has_argument(made):
            return made
        try:
            made = made()
        except Exception as error:
            raise CommandError(f"making the batch, {reference} failed: {where(error)}") from error
    is_pair = isinstance(made, (tuple, list)) and len(made) == 2
    if is_pair or isinstance(made, Minibatches):
        return made
    raise CommandError(
        f"{reference} gave {made!r:.60}, but a batch is a pair (inputs, targets), or "
        "(inputs, None) without targets."
    )


def _has_argument(function: Callable[..., Any]) -> bool:
    """Return whether ``function`` must be given something, which then is the trial."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a function that is not Python's
        return False
    return any(
        parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in parameters
    )
