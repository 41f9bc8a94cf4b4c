"""What must be so of a database file for jobkit to rely on it, and what is: its disk, its journal, its dates."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from anyio import to_thread

from jobkit.backends.disk_space import room
from jobkit.backends.sqlite.connection import MEMORY, check_is_there, check_place, database_path
from jobkit.backends.sqlite.faults import is_busy, locked
from jobkit.model.byte_size import byte_size
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane
from jobkit.ports.diagnosis import Finding, Status

# The wall clock decides nothing, but dates in records and logs are to be believed.
_WALL_TOLERANCE_SECONDS = 5.0
_LOCK_SECONDS = 5.0


async def diagnose(url: str, clock: Clock) -> list[Finding]:
    """Return what there is to say of the database file that `url` names.

    Raises `NotThereYet`, `ConfigurationError` or `Unavailable`.
    """
    path = database_path(url)
    if path == MEMORY:
        what = "it lives in memory: no other process sees it, and it is forgotten with this one"
        return [Finding(Status.WARN, what, "name a file: sqlite:///jobkit.db")]
    file = Path(path)
    check_place(file)
    check_is_there(path)
    dated = _dated(file, clock)
    return [await to_thread.run_sync(_file, path), *dated, room(file.parent)]


def _dated(path: Path, clock: Clock) -> list[Finding]:
    if not path.is_file() or path.stat().st_mtime <= clock.wall() + _WALL_TOLERANCE_SECONDS:
        return []
    what = f"{path} was written in the future: the wall clock was set back"
    return [Finding(Status.WARN, what, "have the clock kept by NTP")]


def _file(path: str) -> Finding:
    try:
        # Through a connection of its own, so that it is the file that is asked, and not a cache.
        file = f"{Path(path).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(file, uri=True, timeout=_LOCK_SECONDS)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        bytes = Path(path).stat().st_size
    except (sqlite3.Error, OSError) as error:
        if is_busy(error):
            raise locked(Plane.STORE, path, _LOCK_SECONDS) from error
        return Finding(Status.FAIL, f"{path} cannot be read: {error}", "restore it from a backup")
    what = f"{path}: journal mode {mode}, {byte_size(bytes)}"
    if mode == "wal":
        return Finding(Status.OK, what)
    return Finding(Status.FAIL, what, "put it on a local disk, where journal mode wal works")
