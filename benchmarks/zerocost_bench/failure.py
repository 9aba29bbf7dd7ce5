"""Failures of an experiment that are no fault of the program."""

from __future__ import annotations

__all__ = ["BenchmarkError"]


class BenchmarkError(Exception):
    """An experiment cannot run as asked; the message says why, and what to do."""
