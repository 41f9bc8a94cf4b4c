"""The concurrency limit of one worker process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Slots:
    """So many jobs may be worked on at once; those that only wait for time to pass give their slot back."""

    def __init__(self, count: int) -> None:
        self._free = anyio.Semaphore(count, fast_acquire=True)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Slot]:
        """Hold a slot for the block."""
        slot = Slot(self._free)
        await slot.take()
        try:
            yield slot
        finally:
            slot.give_back()


class Slot:
    """One slot, held or given back for a while."""

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free = free
        self._held = False

    async def take(self) -> None:
        """Wait for a slot."""
        await self._free.acquire()
        self._held = True

    def give_back(self) -> None:
        """Let others have it; more than once is as good as once."""
        if self._held:
            self._held = False
            self._free.release()
