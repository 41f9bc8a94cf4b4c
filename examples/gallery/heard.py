"""What webhooks have told this process. With several processes it would be a table of the application's."""

from __future__ import annotations

import asyncio
from typing import Any

_REMEMBERED = 1_000


class Heard:
    """The latest events, by the job that they tell of."""

    def __init__(self) -> None:
        self._events: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Condition()

    async def add(self, job: str, event: dict[str, Any]) -> None:
        """Remember an event. One that comes again, because the answer to it was lost, changes nothing."""
        async with self._changed:
            self._events.setdefault(job, event)
            if len(self._events) > _REMEMBERED:
                self._events.pop(next(iter(self._events)))
            self._changed.notify_all()

    async def of(self, job: str) -> dict[str, Any]:
        """Return the event that tells of a job, once it is there."""
        async with self._changed:
            await self._changed.wait_for(lambda: job in self._events)
            return self._events[job]
