"""Types of arguments and the form of the help, for all parsers of the command line."""

from __future__ import annotations

import argparse
from typing import TypeAlias

__all__ = ["HelpFormatter", "Subparsers", "names", "natural", "positive"]

# Parsers are generic in typeshed, but not when the program runs.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def positive(text: str) -> int:
    """Return an integer of at least 1."""
    return _integer(text, 1)


def natural(text: str) -> int:
    """Return an integer of at least 0."""
    return _integer(text, 0)


def names(text: str) -> tuple[str, ...]:
    """Return names that are separated by commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _integer(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least {least}")
    return number


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells a default only where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)
