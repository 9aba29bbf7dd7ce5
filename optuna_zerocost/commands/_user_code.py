"""Functions of the user's own, by the name of their module or the path of its file.

Importing a module executes it. Nothing is imported but what the command line names.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from optuna_zerocost.commands._command_error import CommandError

__all__ = ["is_reference", "load", "load_function", "where"]

# What is imported passes through here, and what is built through this package.
_PASSED = ("<frozen ", importlib.__file__, str(Path(__file__).resolve().parents[1]))


def is_reference(text: str) -> bool:
    """Return whether ``text`` has the form ``MODULE:NAME``."""
    module, _, name = text.rpartition(":")
    return bool(module) and all(part.isidentifier() for part in name.split("."))


def load(reference: str) -> Any:
    """Import ``MODULE:NAME`` and return what it names.

    The folder of a file, or the present one for a dotted module, becomes the first in which
    Python looks for modules, as when a script is started. So the module has its usual name, and
    the processes that ``--jobs`` starts find it too.

    Raises:
        CommandError: If there is no such module or name, or the module raises.
    """
    place, _, name = reference.rpartition(":")
    module = _module_of_file(Path(place)) if _is_file_name(place) else _module(place, Path.cwd())
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
            raise CommandError(
                f"{place} has no {name!r}. It has {', '.join(public[:12]) or 'no functions'}. "
                "Name one as MODULE:NAME."
            ) from None
    return found


def load_function(reference: str) -> Callable[..., Any]:
    """Import ``MODULE:NAME`` and return the function that it names.

    Raises:
        CommandError: As :func:`load`, and if it names something else.
    """
    found = load(reference)
    if not callable(found):
        raise CommandError(f"{reference} is {found!r:.60}, but it must be a function.")
    return found  # type: ignore[no-any-return]


def where(error: BaseException) -> str:
    """Return an error in one line, with the place in the code where it was raised.

    Places in this package and in Python's import machinery tell a user nothing.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_PASSED)
    ]
    said = " ".join(str(error).split()) or "no message"
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {said}{place}"


def _is_file_name(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise CommandError(
            f"there is no file {str(path)!r}. Give the path of a .py file, seen from "
            f"{Path.cwd()}, or the dotted name of a module."
        )
    if not path.stem.isidentifier() or path.suffix != ".py":
        raise CommandError(
            f"{str(path)!r} cannot be imported: a module's file is called NAME.py, where NAME has "
            "letters, digits and _ only. Rename it."
        )
    module = _module(path.stem, path.resolve().parent)
    file = getattr(module, "__file__", None)
    if file is None or Path(file).resolve() != path.resolve():
        raise CommandError(
            f"{str(path)!r} has the name of another module, {path.stem!r} "
            f"({file or 'built into Python'}). Rename the file."
        )
    return module


def _module(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    # A file that was written a moment ago may not be in the cached listing of its folder.
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{name}.".startswith(f"{missing}."):
            raise CommandError(
                f"there is no module {name!r} in {folder} or among the installed packages. Give "
                "a dotted name such as package.module, or the path of a .py file."
            ) from error
        raise CommandError(
            f"the module {name!r} imports {missing!r}, which is not installed."
        ) from error
    except Exception as error:
        raise CommandError(f"importing {name!r} failed: {where(error)}") from error
    except SystemExit as error:
        raise CommandError(
            f"importing {name!r} ended the program. Put what the script does under "
            'if __name__ == "__main__":'
        ) from error
