"""When a job is to run, as programs say it and as stores are told."""

from __future__ import annotations

from datetime import datetime, timedelta


def told(at: datetime | None, after: timedelta | None) -> tuple[float | None, float | None]:
    """Return a Unix time, or a number of seconds, or neither.

    Raises `ValueError` where both are given, `at` says no time zone, or `after` is negative.
    """
    if at is not None and after is not None:
        raise ValueError("say either at= or after=, not both")
    if at is not None and at.utcoffset() is None:
        raise ValueError(f"at={at.isoformat()} says no time zone: use an aware datetime, such as datetime.now(UTC)")
    if after is not None and after < timedelta(0):
        raise ValueError(f"after={after} is negative")
    return None if at is None else at.timestamp(), None if after is None else after.total_seconds()
