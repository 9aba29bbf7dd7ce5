"""What ``explain`` returns: text, which a notebook shows as paragraphs and lists."""

from __future__ import annotations

import itertools
from html import escape
from typing import Any

__all__ = ["Explanation"]

_BULLET = "- "


class Explanation(str):
    """Lines of text; those that begin with a hyphen are a list."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Return the text for a notebook."""
        parts = []
        for is_list, lines in itertools.groupby(self.splitlines(), _is_item):
            told = [escape(line.removeprefix(_BULLET) if is_list else line) for line in lines]
            if is_list:
                parts.append("<ul>" + "".join(f"<li>{line}</li>" for line in told) + "</ul>")
            else:
                parts += [f"<p>{line}</p>" for line in told if line]
        return "\n".join(parts)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the text in IPython as ``print`` does."""
        printer.text("..." if cycle else str(self))


def _is_item(line: str) -> bool:
    return line.startswith(_BULLET)
