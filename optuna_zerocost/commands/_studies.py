"""Studies by their name and the storage they are in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from optuna_zerocost.commands._command_error import CommandError

__all__ = ["open_study"]

_FORMS = (
    "A storage is a database's URL, such as sqlite:///nas.db or "
    "postgresql://user:password@host/database, or a journal's file, such as nas.log."
)

# module → the package that has it
_DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}


@contextlib.contextmanager
def open_study(
    name: str, url: str, *, direction: str | None = None, may_make: str = ""
) -> Iterator[optuna.Study]:
    """Open a study for a while.

    Args:
        name: The study's name.
        url: A database's URL, or the path of a journal's file, which ends in ``.log``.
        direction: If the study does not exist, it is made with this direction; ``None`` makes
            nothing, no file either.
        may_make: What is said besides where there is no such study: how to have one made.

    Raises:
        CommandError: If there is no such study or storage, or the storage fails meanwhile.
    """
    # One process: what Optuna says about its studies would be in the way of the output.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _open_storage(url, direction is not None, may_make)
    try:
        yield _study(name, url, storage, direction, may_make)
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unusable(url, error) from error
    finally:
        if isinstance(storage, RDBStorage):
            storage.remove_session()
            storage.engine.dispose()


def _open_storage(url: str, may_create: bool, may_make: str) -> BaseStorage:
    if url.endswith(".log") and "://" not in url:
        _require_file(url, may_create, may_make)
        return _open_journal(url)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise CommandError(f"the storage {url!r} is of no known form. {_FORMS}") from error
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise CommandError(f"the storage {url!r} is in memory and empty. {_FORMS}")
        if "uri" not in parsed.query:
            _require_file(str(parsed.database), may_create, may_make)
    try:
        return RDBStorage(url)
    except NoSuchModuleError as error:
        raise CommandError(
            f"the storage {_without_password(url)!r} is of no known kind: SQLAlchemy has no "
            f"database called {parsed.drivername!r}. {_FORMS}"
        ) from error
    except (ImportError, RuntimeError, ValueError, SQLAlchemyError, StorageInternalError) as error:
        raise _unusable(url, error) from error


def _open_journal(path: str) -> BaseStorage:
    try:
        _require_journal(Path(path))
        return JournalStorage(JournalFileBackend(path))
    except OSError as error:
        raise CommandError(f"the journal {path!r} cannot be used: {error.strerror}.") from error


def _require_journal(file: Path) -> None:
    # Many a log is called .log: Optuna would append to any.
    if not file.exists():
        return
    with file.open("rb") as lines:
        first = lines.readline()
    try:
        is_journal = not first or "op_code" in json.loads(first)
    except (TypeError, ValueError):
        is_journal = False
    if not is_journal:
        raise CommandError(f"the file {str(file)!r} is no journal of Optuna's. {_FORMS}")


def _require_file(path: str, may_create: bool, may_make: str) -> None:
    # Optuna would make an empty one.
    file = Path(path)
    if may_create and not file.parent.is_dir():
        raise CommandError(
            f"there is no folder {str(file.parent)!r} for {path!r}, seen from {Path.cwd()}. "
            "Make it first."
        )
    if not may_create and not file.is_file():
        raise CommandError(
            f"there is no file {path!r}, seen from {Path.cwd()}. {_FORMS} {may_make}".rstrip()
        )


def _study(
    name: str, url: str, storage: BaseStorage, direction: str | None, may_make: str
) -> optuna.Study:
    if direction is not None:
        return optuna.create_study(
            study_name=name,
            storage=storage,
            direction=StudyDirection[direction.upper()],
            load_if_exists=True,
        )
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        there = sorted(optuna.get_all_study_names(storage))
        has = ", ".join(map(repr, there[:10])) + ", …" * (len(there) > 10)
        raise CommandError(
            f"there is no study {name!r} in {_without_password(url)}. It has {has or 'no study'}. "
            f"{may_make}".rstrip()
        ) from error


def _unusable(url: str, error: Exception) -> CommandError:
    # Drivers quote SQL and a link in further lines; what failed is in the first. Optuna wraps it.
    cause = error.__cause__ or error
    reason = str(cause).strip().partition("\n")[0]
    missing = cause.name if isinstance(cause, ImportError) else None
    if missing:
        driver = _DRIVERS.get(missing, missing)
        reason += f'. Install the driver: pip install "{driver}"'
    return CommandError(
        f"the storage {_without_password(url)!r} cannot be used: {reason.rstrip('.')}. {_FORMS}"
    )


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
