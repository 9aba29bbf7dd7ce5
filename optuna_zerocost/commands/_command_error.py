"""The end of a command that fails: one line and an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

__all__ = ["FAILED", "INTERRUPTED", "CommandError", "guarded"]

FAILED, INTERRUPTED = 1, 130


class CommandError(Exception):
    """A command cannot do what was asked; the message says why, and what to do."""


def guarded(
    run: Callable[[argparse.Namespace], None],
    *,
    error: type[Exception] = CommandError,
    interrupted: str = "interrupted",
) -> Callable[[argparse.Namespace], int]:
    """Return ``run`` with an exit code instead of the errors that a user can cause.

    Args:
        run: Does what a command is for.
        error: What it raises where it cannot do it.
        interrupted: What is said about an interrupt.
    """

    def command(arguments: argparse.Namespace) -> int:
        try:
            run(arguments)
        except error as reason:
            print(f"optuna-zerocost: error: {reason}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print(f"optuna-zerocost: {interrupted}", file=sys.stderr)
            return INTERRUPTED
        return 0

    return command
