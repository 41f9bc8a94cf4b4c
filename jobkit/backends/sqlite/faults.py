"""What SQLite's errors mean for the caller: trouble that passes, or something a person must mend.

It does not retry anything. Errors of a programming mistake (bad SQL, a broken constraint) are left as they are.
"""

from __future__ import annotations

import sqlite3

from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.plane import Plane

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNREADABLE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_FORBIDDEN = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code behind `error`, or None where it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def is_busy(error: BaseException) -> bool:
    """Return whether another connection was in the way, so that the same may succeed a moment later."""
    return primary_code(error) in _BUSY


def translated(error: Exception, plane: Plane, path: str) -> Exception:
    """Return what the caller of a plane should get for `error`; errors that are not SQLite's come back unchanged."""
    code = primary_code(error)
    if not isinstance(error, sqlite3.Error) or code is None:
        return error
    found = _meaning(code, error, plane, path)
    if found is None:
        return error
    found.__cause__ = error
    return found


def locked(plane: Plane, path: str, seconds: float) -> Unavailable:
    """Return the error of a write that waited `seconds` for another process's transaction."""
    return Unavailable(
        plane,
        f"{path} is locked by another process for {seconds:g} s; look for one that holds it open in a transaction "
        "(a database tool, a stopped process)",
    )


def _meaning(code: int, error: sqlite3.Error, plane: Plane, path: str) -> Exception | None:
    if code in _BUSY:
        return Unavailable(plane, f"{path} is locked by another process")
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(plane, f"the disk of {path} is full; nothing was written, work goes on once there is room")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL):
        return Unavailable(plane, f"{path} could not be read or written: {error}")
    if code == sqlite3.SQLITE_CANTOPEN:
        return ConfigurationError(f"{path} cannot be opened: check that its directory exists and may be written to")
    if code in _FORBIDDEN:
        return ConfigurationError(
            f"{path} cannot be written: give this user write permission for the file and its directory, "
            "or choose another path"
        )
    if code in _UNREADABLE:
        return ConfigurationError(
            f"{path} is not a usable SQLite database ({error}): choose another path, or restore it from a backup"
        )
    return None
