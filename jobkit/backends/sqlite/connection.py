"""Opening a database file, or refusing it with a sentence that says what to do.

It does not create directories: a path that points nowhere is more often a mistake than a wish.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from jobkit.backends.sqlite.faults import is_busy, locked, translated
from jobkit.backends.sqlite.schema import ensure_schema
from jobkit.backends.sqlite.store_clock import offset_of_boot
from jobkit.backends.versions import too_old
from jobkit.errors import ConfigurationError, NotThereYet
from jobkit.model.plane import Plane

MEMORY = ":memory:"

# RETURNING came with 3.35; a transaction's statements are kept prepared.
OLDEST_VERSION = "3.35"
_CACHED_STATEMENTS = 256
_PAGE_CACHE_KIB = 16_384
_WAL_BYTES_KEPT = 64 * 1024 * 1024


def database_path(url: str) -> str:
    """Return the file that `url` names, or ":memory:". Raises `ConfigurationError` for any other form."""
    if url in ("memory:", "sqlite://:memory:"):
        return MEMORY
    prefix, path = "sqlite:///", ""
    if url.startswith(prefix):
        path = unquote(url.removeprefix(prefix))
    if not path or "\0" in path or "?" in url or "#" in url or path.endswith("/"):
        raise ConfigurationError(
            "use sqlite:///relative.db, sqlite:////absolute/path.db or sqlite://:memory: (a '?' or '#' in the path is "
            "written %3F or %23)"
        )
    return path


def path_identity(path: str) -> str:
    """Return what two names of the same database file have in common."""
    return path if path == MEMORY else os.path.realpath(path)


def open_connection(
    path: str, machine_now: Callable[[], float], boot: str, patience: float, plane: Plane
) -> tuple[sqlite3.Connection, float]:
    """Open the database at `path`, make its tables and settle its clock; return it with the clock's offset in seconds.

    Blocks for up to `patience` seconds while another process is in the way. Raises `ConfigurationError`, or
    `Unavailable` in the name of `plane`.
    """
    if (old := too_old("SQLite", sqlite3.sqlite_version, OLDEST_VERSION)) is not None:
        raise ConfigurationError(old)
    if path != MEMORY:
        check_place(Path(path))
    connection = None
    try:
        connection = sqlite3.connect(
            path,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
        offset = _prepare(connection, path, machine_now, boot, patience)
    except Exception as error:
        if connection is not None:
            connection.close()
        if is_busy(error):
            raise locked(plane, path, patience) from error
        raise translated(error, plane, path) from error
    return connection, offset


def check_is_there(path: str) -> None:
    """Raise `NotThereYet` where no database has been made yet, though it could be."""
    file = Path(path)
    if path != MEMORY and file.parent.is_dir() and not file.exists():
        raise NotThereYet(
            f"there is no database {file.absolute()}; the first submit or worker makes it. Look from the folder that "
            "those run in, or name the file by its absolute path"
        )


def check_place(path: Path) -> None:
    """Raise `ConfigurationError` where there can be no database."""
    directory = path.parent
    if not directory.is_dir():
        raise ConfigurationError(f"{path}: the directory {directory} does not exist: create it or choose another path")
    if path.is_dir():
        raise ConfigurationError(f"{path} is a directory: name a file in it")
    # SQLite keeps two more files beside the database.
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{path}: this user may not write to the directory {directory}")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(f"{path}: this user may not read and write the file")


def _prepare(
    connection: sqlite3.Connection, path: str, machine_now: Callable[[], float], boot: str, patience: float
) -> float:
    # SQLite's own busy timeout is not used: it does not cover all of this, the switch to WAL least of all.
    deadline = machine_now() + patience
    while True:
        try:
            return _try_prepare(connection, path, machine_now, boot)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or machine_now() >= deadline:
                raise
            time.sleep(random.uniform(0.002, 0.02))  # noqa: S311  (spreads contenders, no secret)


def _try_prepare(connection: sqlite3.Connection, path: str, machine_now: Callable[[], float], boot: str) -> float:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    if path != MEMORY:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        ensure_schema(connection, path)
        offset = offset_of_boot(connection, machine_now(), boot)
        connection.commit()
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
    return offset
