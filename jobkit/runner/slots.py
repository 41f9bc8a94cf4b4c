"""The concurrency limit of one worker process."""

from __future__ import annotations

import anyio


class Slots:
    """So many jobs may be worked on at once; those that only wait for time to pass give their slot back."""

    def __init__(self, count: int) -> None:
        self._free = anyio.Semaphore(count, fast_acquire=True)

    def taken(self) -> Slot:
        """Return a slot to be held for a block."""
        return Slot(self._free)


class Slot:
    """One slot, which is held during a block or given back for a while."""

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free = free
        self._held = False

    async def __aenter__(self) -> Slot:
        await self.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_back()

    async def take(self) -> None:
        """Wait for a slot."""
        await self._free.acquire()
        self._held = True

    def give_back(self) -> None:
        """Let others have it; more than once is as good as once."""
        if self._held:
            self._held = False
            self._free.release()
