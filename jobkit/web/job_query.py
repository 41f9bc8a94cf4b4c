"""Which jobs somebody asks for in the URL, as the list and the changes to all of its jobs read it."""

from __future__ import annotations

from datetime import UTC, datetime

from jobkit.errors import JobkitError
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import JobState
from jobkit.web.page import View

NAMES = ("type", "key", "state", "worker", "error", "since", "until", "tag")


class NotATime(JobkitError):
    """What was said is not a time."""


def asked(view: View) -> dict[str, str | None]:
    """Return what was said of the jobs, by its name in the URL."""
    return {name: view.said(name) for name in NAMES}


def wanted(view: View) -> JobFilter:
    """Return which jobs are asked for; a state that there is not is any. Raises `NotATime`."""
    state = view.said("state")
    return JobFilter(
        view.said("type"),
        view.said("key"),
        next((one for one in JobState if one.value == state), None),
        view.said("worker"),
        view.said("error"),
        _time(view, "since"),
        _time(view, "until"),
        view.said("tag"),
    )


def _time(view: View, name: str) -> float | None:
    said = view.said(name)
    if said is None:
        return None
    try:
        at = datetime.fromisoformat(said)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise NotATime(f"{said!r} is not a time: say 2026-11-27T16:30, which is read as UTC.") from error


def in_words(sought: JobFilter) -> str:
    """Return which jobs these are, in words."""
    said = [
        None if sought.type is None else f"of type {sought.type}",
        None if sought.key is None else f"of key {sought.key}",
        None if sought.worker is None else f"of worker {sought.worker}",
        None if sought.tag is None else f"with the tag {sought.tag}",
        None if sought.error is None else f"with {sought.error!r} in an error",
        None if sought.since is None else f"submitted after {_shown(sought.since)}",
        None if sought.until is None else f"submitted before {_shown(sought.until)}",
    ]
    return ", ".join(one for one in said if one) or "of all types"


def _shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
