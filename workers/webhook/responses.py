"""What a response means: taken, for good refused, or to be tried again, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime

from jobkit import Reject, Retry

# The same request would be answered in the same way.
_PERMANENT = {
    301: "the address has moved, and redirects are not followed",
    308: "the address has moved, and redirects are not followed",
    400: "the receiver does not take such a request",
    405: "the receiver takes no POST",
    406: "the receiver does not take such a request",
    410: "the receiver wants no more events at this address",
    411: "the receiver does not take such a request",
    413: "the event is larger than the receiver takes",
    414: "the receiver does not take so long an address",
    415: "the receiver takes no JSON",
    422: "the receiver does not take this event",
    501: "the receiver takes no POST",
}
# A receiver may ask for more, and is not waited for so long.
LONGEST_RETRY_AFTER = timedelta(hours=24)


def check(status: int, headers: Mapping[str, str], excerpt: str, now: float) -> None:
    """Return where the event was taken. Raises `Reject` for an answer that is for good, `Retry` for one that passes."""
    if 200 <= status < 300:
        return
    said = f"the receiver answered {status}" + (f": {excerpt}" if excerpt else "")
    if status in _PERMANENT:
        raise Reject(f"{_PERMANENT[status]} ({said})")
    raise Retry(said, after=_retry_after(headers.get("Retry-After"), now))


def _retry_after(text: str | None, now: float) -> timedelta | None:
    """Return how long a receiver asks to be left alone, in seconds or until a date; None where it says nothing."""
    if text is None:
        return None
    try:
        seconds = float(text) if text.strip().isdigit() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(timedelta(seconds=max(0.0, min(seconds, 1e9))), LONGEST_RETRY_AFTER)
