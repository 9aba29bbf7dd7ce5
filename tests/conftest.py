"""What holds for all tests: no clock and no disk decides about them, and no threads are needed."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from hypothesis import settings
from sqlalchemy import event
from sqlalchemy.engine import Engine

# Before torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection: Any, record: Any) -> None:
    """What a power failure would leave of a study in SQLite is not tested."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
