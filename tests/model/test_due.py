"""When a job is to run: either at a moment with its zone, or after so long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobkit.model.due import told, told_expiry


def test_a_moment_is_a_unix_time_whatever_its_zone() -> None:
    at = datetime(2026, 12, 24, 18, tzinfo=timezone(timedelta(hours=1)))
    assert told(at, None) == (at.timestamp(), None) == (datetime(2026, 12, 24, 17, tzinfo=UTC).timestamp(), None)
    assert told(None, timedelta(minutes=2)) == (None, 120.0)
    assert told(None, None) == (None, None)


@pytest.mark.parametrize(
    ("at", "after", "told_of"),
    [
        (datetime(2026, 1, 1), None, "no time zone"),
        (None, timedelta(seconds=-1), "negative"),
        (None, timedelta.max, "a hundred years at most"),
        (datetime.max.replace(tzinfo=UTC), None, "too far ahead"),
        (datetime(2026, 1, 1, tzinfo=UTC), timedelta(0), "not both"),
    ],
)
def test_what_is_not_clear_is_refused(at: datetime | None, after: timedelta | None, told_of: str) -> None:
    with pytest.raises(ValueError, match=told_of):
        told(at, after)


def test_an_expiry_is_a_moment_or_so_long() -> None:
    at = datetime(2026, 12, 24, 18, tzinfo=UTC)
    assert told_expiry(at) == (at.timestamp(), None)
    assert told_expiry(timedelta(minutes=2)) == (None, 120.0)
    assert told_expiry(None) == (None, None)


@pytest.mark.parametrize(
    ("expires", "told_of"),
    [
        (datetime(2026, 1, 1), "no time zone"),
        (timedelta(seconds=-1), "negative"),
        (timedelta.max, "a hundred years at most"),
        (datetime.max.replace(tzinfo=UTC), "too far ahead"),
    ],
)
def test_an_expiry_that_is_not_clear_is_refused(expires: datetime | timedelta, told_of: str) -> None:
    with pytest.raises(ValueError, match=told_of):
        told_expiry(expires)
