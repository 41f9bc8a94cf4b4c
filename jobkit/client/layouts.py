"""The layouts in force, as this process last saw them: in the store, one for each type.

The setting is what a type begins with. What a process publishes by is at most `FRESH_SECONDS` old, as long as the
store answers; who changes a number counts on that. A message that went to another partition than its key's all the
same is moved on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.ports.store import Store

FRESH_SECONDS = 1.0
# Only who lost a race asks again, and only as many race as there are queues and commands.
_MOST_TRIES = 2_000


class Layouts:
    """Reads layouts, makes those of new types, with `initial` partitions, and changes them."""

    def __init__(self, store: Store, initial: int, clock: Clock) -> None:
        self._store = store
        self._initial = Layout.first(initial)
        self._clock = clock
        self._known: Mapping[str, Layout] = {}
        self._generation = 0
        self._read_at = float("-inf")

    @property
    def known(self) -> Mapping[str, Layout]:
        """The layouts as they were read last."""
        return self._known

    @property
    def generation(self) -> int:
        """A number that is another one as soon as it is known here that keys may belong to other partitions."""
        return self._generation

    def of(self, type: str) -> Layout:
        """Return the layout of a type, as far as is known here."""
        return self._known.get(type, self._initial)

    def partition(self, type: str, key: str | None) -> Partition:
        """Return the partition that a key of the type belongs to, as far as is known here."""
        return self.of(type).partition(type, key)

    def fresh(self, types: Collection[str]) -> bool:
        """Return whether those of the types are known, and new enough to publish by."""
        return self._clock.now() - self._read_at < FRESH_SECONDS and all(type in self._known for type in types)

    async def refresh(self, types: Collection[str] = ()) -> None:
        """Read all layouts, and make those of `types` that have none. Raises `Unavailable`."""
        asked_at = self._clock.now()
        known = await self._store.layouts()
        if missing := sorted(type for type in types if type not in known):
            for type in missing:
                # Whoever else makes it at the same time may be set to another number: what counts is what is there.
                await self._store.set_layout(type, None, self._initial)
            known = await self._store.layouts()
        self._learn(known)
        self._read_at = asked_at

    def _learn(self, known: Mapping[str, Layout]) -> None:
        before = {type: self.of(type) for type in known}
        if any(
            (now.version, now.partitions) != (before[type].version, before[type].partitions)
            for type, now in known.items()
        ):
            self._generation += 1
        self._known = known

    async def refresh_beside(self, types: Collection[str]) -> None:
        """Refresh while something else is asked of the store; what goes wrong is found by who needs it."""
        if not self.fresh(types):
            try:
                await self.refresh(types)
            except Unavailable:
                return

    async def change(self, type: str, how: Callable[[Layout], Layout | None]) -> Layout | None:
        """Replace a type's layout by what `how` makes of it, and return that; None, and no change, where it says so.

        Raises `Unavailable`.
        """
        for _ in range(_MOST_TRIES):
            await self.refresh([type])
            before = self.of(type)
            after = how(before)
            if after is None or await self._store.set_layout(type, before, after):
                if after is not None:
                    self._learn({**self._known, type: after})
                return after
            await asyncio.sleep(0)
        raise AssertionError(f"the layout of {type} never stays as it was read")
