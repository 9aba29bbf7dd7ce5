"""Exceptions by which a scorer says that there is no score for an architecture."""

from __future__ import annotations

__all__ = [
    "CandidateRejected",
    "NetworkNotReported",
    "RepeatedArchitecture",
    "ScoringProcessError",
]


class CandidateRejected(Exception):
    """A candidate that cannot be used; the message says why."""


class RepeatedArchitecture(Exception):
    """Raised by a scorer that was told, after drawing, that the architecture is known already."""


class NetworkNotReported(TypeError):
    """Raised where an objective seems to report no network at all, for no candidate."""


class ScoringProcessError(RuntimeError):
    """Raised where the processes that score die again and again, or cannot be started."""
