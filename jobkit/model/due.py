"""When a job is to run, and by when it has to have begun, as programs say it and as stores are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Farther ahead nothing is kept, and no calendar could show it.
FARTHEST = timedelta(days=36_525)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def told(at: datetime | None, after: timedelta | None) -> tuple[float | None, float | None]:
    """Return a Unix time, or a number of seconds, or neither.

    Raises `ValueError` where both are given, `at` says no time zone or is after the year 8999, or `after` is negative
    or more than a hundred years.
    """
    if at is not None and after is not None:
        raise ValueError("say either at= or after=, not both")
    return _moment("at", at), _seconds("after", after)


def told_expiry(expires: datetime | timedelta | None) -> tuple[float | None, float | None]:
    """Return a Unix time, or a number of seconds, or neither. Raises `ValueError` as `told` does."""
    if isinstance(expires, timedelta):
        return None, _seconds("expires", expires)
    return _moment("expires", expires), None


def _moment(name: str, at: datetime | None) -> float | None:
    if at is not None and at.utcoffset() is None:
        raise ValueError(f"{name}={at.isoformat()} says no time zone: use an aware datetime, such as datetime.now(UTC)")
    if at is not None and at >= _LATEST:
        raise ValueError(f"{name}={at.isoformat()} is too far ahead: say a time before the year {_LATEST.year}")
    return None if at is None else at.timestamp()


def _seconds(name: str, after: timedelta | None) -> float | None:
    if after is not None and after < timedelta(0):
        raise ValueError(f"{name}={after} is negative")
    if after is not None and after > FARTHEST:
        raise ValueError(f"{name}={after} is too long: say a hundred years at most")
    return None if after is None else after.total_seconds()
