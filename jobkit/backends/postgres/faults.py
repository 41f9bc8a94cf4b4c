"""What PostgreSQL's errors mean for the caller: trouble that passes, or something a person must mend.

It does not retry anything. Errors of a programming mistake (bad SQL, a broken constraint) are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from jobkit.errors import ConfigurationError, JobConflict, Unavailable
from jobkit.model.plane import Plane
from jobkit.ports.rules import not_a_group, not_in_group

# Raised by `commit_jobs`; its message is the id of the follow-up.
CONFLICTING_FOLLOW_UP = "JK001"
# Raised by `submit_grouped_jobs`; its message is the id of a job, and its detail that of a group, or empty.
REFUSED_GROUP = "JK002"

# By SQLSTATE, the longest prefix that fits.
_PASSING = {
    "08": "the connection was lost",
    "25006": "it accepts no writes (a standby, perhaps); it works again once a primary answers there",
    "40": "other transactions were in the way",
    "53": "it is short of something",
    "53100": "its disk is full; nothing was written, work goes on once there is room",
    "53300": "it has no free connection; raise max_connections, or run fewer workers",
    "55P03": "another transaction holds a lock for too long; look for one that stays open (pg_stat_activity)",
    "57": "it was told to stop or cancel",
    "57014": "a statement took too long",
    "58": "its system reports an error",
    "XX": "it reports an internal error",
}
_TO_MEND = {
    "28": "it refuses this user: check user and password in the URL, and pg_hba.conf",
    "3D000": "there is no such database: create it, or name another one",
    "3F000": "it has no tables of jobkit's: run `jobkit migrate`",
    "42501": "this user lacks a permission: grant it, or let the user who ran `jobkit migrate` do the work",
    "42P01": "a table of jobkit's is missing: run `jobkit migrate`",
    "42883": "a function of jobkit's is missing: run `jobkit migrate`, or upgrade jobkit here where a newer one did",
}


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's five-letter code behind `error`, or "" where it has none."""
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else ""


def is_overtaken(error: BaseException) -> bool:
    """Return whether the transaction was rolled back because of another one, so that the same again may succeed."""
    return sqlstate(error) in ("40001", "40P01")


def is_held_up(error: BaseException) -> bool:
    """Return whether another transaction held a lock for longer than was waited."""
    return sqlstate(error) == "55P03"


def is_about_connection(error: BaseException) -> bool:
    """Return whether `error` says that the server, or the way to it, is in trouble, whatever was asked.

    Then the connection should not be used again. A server that has become a standby is left too, since the address may
    lead to the new primary.
    """
    if isinstance(error, asyncpg.PostgresError):
        return sqlstate(error).startswith(("08", "25006", "53", "57P", "58"))
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError)


def is_out_of_reach(error: BaseException) -> bool:
    """Return whether nobody answers, so that what waits to be asked need not wait any longer."""
    return isinstance(error, OSError) or sqlstate(error) in ("57P03", "53300")


def translated(error: Exception, name: str) -> Exception:
    """Return what a caller should get for `error` from the database `name`; others come back unchanged."""
    found = _meaning(error, name)
    if found is None:
        return error
    # The driver's words about a URL may quote the password in it.
    found.__cause__ = None if isinstance(error, asyncpg.ClientConfigurationError) else error
    return found


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Raise, for what is raised within the block, what a caller should get."""
    try:
        yield
    except Exception as error:
        found = translated(error, name)
        if found is error:
            raise
        raise found from found.__cause__


@contextmanager
def explained_by_code(name: str) -> Iterator[None]:
    """Do so for the errors of other drivers, of which only the SQLSTATE is known; the rest are left as they are."""
    try:
        yield
    except Exception as error:
        # Django's errors have the driver's as their cause.
        code = sqlstate(error) or sqlstate(error.__cause__ or error)
        found = _meaning_of_code(code, error, name)
        if found is None:
            raise
        raise found from error


def _meaning(error: Exception, name: str) -> Exception | None:
    code = sqlstate(error)
    if isinstance(error, asyncpg.PostgresError):
        if code == CONFLICTING_FOLLOW_UP:
            return JobConflict(f"the follow-up {error} is known with another type, key or payload")
        if code == REFUSED_GROUP:
            return JobConflict(not_in_group(str(error), error.detail) if error.detail else not_a_group(str(error)))
        return _meaning_of_code(code, error, name)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return ConfigurationError(f"{name}: the URL, or a file that it names, cannot be used by the driver")
    if isinstance(error, TimeoutError):
        return Unavailable(Plane.STORE, f"{name} does not answer in time")
    if isinstance(error, OSError):
        return Unavailable(Plane.STORE, f"{name} cannot be reached: {error}")
    if is_about_connection(error):
        return Unavailable(Plane.STORE, f"{name}: the connection was lost ({error})")
    return None


def _meaning_of_code(code: str, error: Exception, name: str) -> Exception | None:
    to_mend = _longest(_TO_MEND, code)
    if to_mend is not None:
        return ConfigurationError(f"{name}: {to_mend} ({error})")
    passing = _longest(_PASSING, code)
    return None if passing is None else Unavailable(Plane.STORE, f"{name}: {passing} ({error})")


def _longest(meanings: dict[str, str], code: str) -> str | None:
    fitting = [prefix for prefix in meanings if code.startswith(prefix)]
    return meanings[max(fitting, key=len)] if fitting else None
