"""Looks at the backends that all open pages share: however many look at one thing, it is asked for once in a while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import anyio

from jobkit.model.clock import Clock

T = TypeVar("T")

# What was seen so many seconds ago is shown again.
FRESH_SECONDS = 1.5
# So many different looks are remembered, those that were asked for last.
_REMEMBERED = 512


@dataclass(slots=True)
class _Seen:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    at: float = float("-inf")
    value: Any = None


class PageCache:
    """Remembers what was seen a moment ago."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[Hashable, _Seen] = OrderedDict()

    async def look(self, name: Hashable, ask: Callable[[], Awaitable[T]], *, fresh: float = FRESH_SECONDS) -> T:
        """Return what `ask` returned within the last `fresh` seconds, or ask; who comes meanwhile waits for that."""
        seen = self._seen.setdefault(name, _Seen())
        self._seen.move_to_end(name)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        async with seen.lock:
            if self._clock.now() - seen.at > fresh:
                seen.value = await ask()
                seen.at = self._clock.now()
            return cast("T", seen.value)

    def forget(self) -> None:
        """Look anew from now on: somebody has changed something."""
        self._seen.clear()
