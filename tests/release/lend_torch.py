"""Lend the PyTorch of this environment to another one, for which fetching its own takes minutes.

``python lend_torch.py FOLDER`` makes a folder with links to torch and what it requires, and to
nothing else. A line with that folder in a ``.pth`` file of the other environment's
``site-packages`` does the rest; pip finds there that torch is installed.
"""

from __future__ import annotations

import pathlib
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution


def required_by(name: str) -> set[str]:
    """Return the names of a package and of all that it requires, as far as they are installed."""
    found: set[str] = set()
    left = [name]
    while left:
        name = left.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:  # for another platform, or an extra
            continue
        found.add(name)
        needed = [text for text in requirements if "extra ==" not in text]
        left += [re.match(r"[\w.-]+", text)[0] for text in needed]  # type: ignore[index]
    return found


def lend(names: set[str], folder: pathlib.Path) -> None:
    """Link to all files of these packages in ``folder``."""
    folder.mkdir(parents=True)
    for name in sorted(names):
        own = distribution(name)
        home = pathlib.Path(str(own.locate_file("")))
        for top in {file.parts[0] for file in own.files or () if file.parts[0] != ".."}:
            link = folder / top
            if not link.is_symlink():
                link.symlink_to(home / top)


if __name__ == "__main__":
    lend(required_by("torch"), pathlib.Path(sys.argv[1]).resolve())
