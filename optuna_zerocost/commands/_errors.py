"""What goes wrong in a command, and what becomes of it: one line and an exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

__all__ = ["CommandError", "guarded"]

_FAILED, _INTERRUPTED = 1, 130


class CommandError(Exception):
    """A command cannot do what was asked; the message says why, and what to do."""


def guarded(
    run: Callable[[argparse.Namespace], None],
) -> Callable[[argparse.Namespace], int]:
    """Return ``run`` with an exit code instead of the errors that a user can cause."""

    def command(arguments: argparse.Namespace) -> int:
        try:
            run(arguments)
        except CommandError as error:
            print(f"optuna-zerocost: error: {error}", file=sys.stderr)
            return _FAILED
        except KeyboardInterrupt:
            print("optuna-zerocost: interrupted", file=sys.stderr)
            return _INTERRUPTED
        return 0

    return command
