"""Failures of the demo that are no fault of the program."""

from __future__ import annotations

__all__ = ["DemoError"]


class DemoError(Exception):
    """The demo cannot run as asked; the message says why, and what to do."""
