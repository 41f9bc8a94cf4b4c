"""What the doctor looks at on the machine itself."""

from __future__ import annotations

import platform
import sqlite3

from jobkit.distribution import installed_version
from jobkit.model.clock import Clock
from jobkit.ports.diagnosis import Finding, Status

# The wall clock decides nothing, but dates in records and logs are to be believed.
_EARLIEST_SANE_WALL = 1_735_689_600.0  # 2025-01-01


def check_versions() -> Finding:
    """Say what runs here."""
    versions = f"jobkit {installed_version()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return Finding(Status.OK, versions, part="versions")


def check_clock(clock: Clock) -> Finding:
    """See that the wall clock can be believed, and that the other one goes forward."""
    part = "clock"
    first, second = clock.now(), clock.now()
    if second < first:
        backwards = "the machine's monotonic clock went backwards"
        return Finding(Status.FAIL, backwards, "repair or replace the machine", part)
    if clock.wall() < _EARLIEST_SANE_WALL:
        early = "the wall clock is set to before 2025"
        return Finding(Status.WARN, early, "set it; dates in records are wrong", part)
    return Finding(Status.OK, "the wall clock is plausible, and the monotonic one goes forward", part=part)
