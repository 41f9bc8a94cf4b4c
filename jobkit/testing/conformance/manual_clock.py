"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio


class ManualClock:
    """A machine's clocks, moved by hand. The wall clock may be set to anything and should matter to nobody."""

    def __init__(self) -> None:
        self.wall_time = 1_700_000_000.0
        self._now = 5_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self.wall_time

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        awake = asyncio.get_running_loop().create_future()
        sleeper = (self._now + seconds, awake)
        self._sleepers.append(sleeper)
        try:
            await awake
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake who slept for no longer than that."""
        self._now += seconds
        self.wall_time += seconds
        for until, awake in self._sleepers:
            if until <= self._now and not awake.done():
                awake.set_result(None)
