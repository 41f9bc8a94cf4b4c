"""Time, as decisions see it: a clock that never jumps and counts the time a machine was suspended.

The wall clock is for people to read and decides nothing here.
"""

from __future__ import annotations

import time
from typing import Protocol

import anyio

# CLOCK_MONOTONIC stands still while a Linux machine is suspended, a lease on another machine does not.
# Where CLOCK_BOOTTIME is missing (macOS), CLOCK_MONOTONIC already counts the time asleep.
_CLOCK_ID: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def machine_time() -> float:
    """Return seconds since boot, suspended time included; the same for every process of the machine."""
    return time.clock_gettime(_CLOCK_ID)


class Clock(Protocol):
    """What a process knows of time. Injected everywhere, so tests run in virtual time."""

    def now(self) -> float:
        """Return seconds on a clock that only goes forward and counts suspended time."""
        ...

    def wall(self) -> float:
        """Return Unix time in seconds, for people and logs only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for at least `seconds` (not negative)."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # No frame of its own: each job asks a dozen times.
    now = staticmethod(machine_time)

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
