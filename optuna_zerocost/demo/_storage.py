"""The database that keeps the demo's studies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from optuna_zerocost.demo._failure import DemoError

__all__ = ["open_storage"]


@contextlib.contextmanager
def open_storage(url: str) -> Iterator[RDBStorage]:
    """Open the database at ``url`` for a while; make it if it is a file that does not exist.

    Raises:
        DemoError: If there can be no such database.
    """
    try:
        parsed = make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        if is_sqlite and parsed.database in (None, "", ":memory:"):
            raise ValueError("it is in memory and would be lost")
        # Several processes write to one file, and wait for each other.
        connect = {"connect_args": {"timeout": 60}} if is_sqlite else None
        storage = RDBStorage(url, engine_kwargs=connect)
    except (ImportError, RuntimeError, ValueError, SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).partition("\n")[0]
        raise DemoError(
            f"the storage {url!r} cannot be opened ({reason}). For a file, write for example "
            "sqlite:///zerocost-demo.db"
        ) from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()
