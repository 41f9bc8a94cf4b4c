"""Slots for each type: what a worker runs at once in all, and how few of some types.

A job of such a type waits for a slot of its type before it takes any that others could have: so jobs that take long
leave the rest to those that do not.
"""

from __future__ import annotations

from jobkit.model.clock import Clock
from jobkit.model.concurrency import Concurrency
from jobkit.model.priority import Priority
from jobkit.runner.slots import Slot, Slots


class TypeSlots:
    """The slots of one worker process."""

    def __init__(self, concurrency: Concurrency, clock: Clock) -> None:
        self._all = Slots(concurrency.total, clock)
        self._of_type = {type: Slots(limit, clock) for type, limit in concurrency.of_type.items()}

    @property
    def idle(self) -> bool:
        """Whether one more job would be admitted at once, unless its type has a limit."""
        return self._all.idle

    def admitted(self, type: str, *, alone: bool = False, priority: Priority = Priority.NORMAL) -> Slot:
        """Return a place for a job of `type` among those under way, or as the only one, to be held for a block."""
        own = self._of_type.get(type)
        if own is None:
            return self._all.admitted(alone=alone, priority=priority)
        return _LimitedSlot(self._all, own, alone=alone, priority=priority)


class _LimitedSlot(Slot):
    """A job's way past two limits, its type's first."""

    __slots__ = ("_own",)

    def __init__(self, slots: Slots, own: Slots, *, alone: bool, priority: Priority) -> None:
        super().__init__(slots, alone=alone, priority=priority)
        self._own = own.admitted(priority=priority)

    async def __aenter__(self) -> Slot:
        await self._own.__aenter__()
        try:
            return await super().__aenter__()
        except BaseException:
            await self._own.__aexit__()
            raise

    async def __aexit__(self, *raised: object) -> None:
        await super().__aexit__(*raised)
        await self._own.__aexit__(*raised)

    @property
    def free(self) -> bool:
        return self._own.free and super().free

    async def begin(self) -> None:
        asked = self._slots.now()
        await self._own.begin()
        # That wait is none for the wire.
        self._waited += self._slots.now() - asked
        await super().begin()

    def end(self) -> None:
        super().end()
        self._own.end()

    def give_back(self) -> None:
        super().give_back()
        self._own.give_back()
