"""Files that are there as a whole or not at all, so that an interrupted command can go on."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from zerocost_bench.failure import BenchmarkError

__all__ = ["UNREADABLE", "make_folder", "open_arrays", "write_whole"]

UNREADABLE = (
    OSError,
    EOFError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)
"""Exceptions of reading an ``.npz`` file that is of another kind, or lacks something."""


@contextlib.contextmanager
def open_arrays(path: str | Path) -> Iterator[Any]:
    """Open an ``.npz`` file of numbers and text; what may be raised is in :data:`UNREADABLE`.

    Arrays of objects are refused: reading them could run code.
    """
    # NumPy alone would leave a file open that it finds to be broken.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        yield arrays


def write_whole(path: Path, write: Callable[[IO[Any]], object], *, mode: str = "w") -> None:
    """Write a file beside ``path``, then put it in its place in one step.

    Args:
        path: The file; one that is there is replaced.
        write: Called with the open file.
        mode: ``"w"`` for text (UTF-8), ``"wb"`` for bytes.

    Raises:
        BenchmarkError: If the file cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            encoding = None if "b" in mode else "utf-8"
            newline = None if "b" in mode else ""
            with open(handle, mode, encoding=encoding, newline=newline) as file:
                write(file)
            os.chmod(name, 0o644)  # a temporary file is its owner's alone
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror or error}") from error


def make_folder(path: Path) -> Path:
    """Make a folder and those above it, unless they are there; return it.

    Raises:
        BenchmarkError: If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"cannot make the folder {path}: {error.strerror or error}; name another with --output"
        ) from error
    return path
