"""Whose turn it is among jobs of different priorities: the most urgent first, and none is passed over for ever.

Of what waits, the most urgent is next, and of those that are as urgent the one that came first. While jobs of a lower
priority wait as well, a share of the turns is theirs: one of `LOW_SHARE` belongs to low ones, one of `NORMAL_SHARE` to
normal ones. Turns are counted, not the time that jobs take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from jobkit.model.priority import Priority

T = TypeVar("T")

# While they wait, one of so many turns, at least.
NORMAL_SHARE = 5
LOW_SHARE = 10
# So often each may be passed over. Both can be due at once, and low is first then: so normal is due one turn earlier.
_PASSED_AT_MOST = {Priority.LOW: LOW_SHARE - 1, Priority.NORMAL: NORMAL_SHARE - 2}


class Turns(Generic[T]):
    """What waits, by priority."""

    def __init__(self) -> None:
        self._waiting: dict[Priority, deque[T]] = {priority: deque() for priority in Priority}
        self._normal = self._waiting[Priority.NORMAL]
        # How many turns were others' since each of these had one, while it waited.
        self._passed = dict.fromkeys(_PASSED_AT_MOST, 0)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        """Yield what waits, the most urgent first."""
        for waiting in self._waiting.values():
            yield from waiting

    def add(self, one: T, priority: Priority) -> None:
        """Have one more wait."""
        self._waiting[priority].append(one)
        self._count += 1

    def remove(self, one: T, priority: Priority) -> None:
        """Have one wait no longer."""
        self._waiting[priority].remove(one)
        self._count -= 1
        if not self._waiting[priority] and priority in self._passed:
            self._passed[priority] = 0

    def next(self) -> T:
        """Take out whose turn it is, of at least one that waits."""
        self._count -= 1
        if len(self._normal) > self._count:
            # All that wait are normal ones: so it is wherever nobody uses priorities.
            return self._normal.popleft()
        chosen = self._choose()
        for priority in self._passed:
            others = self._waiting[priority]
            self._passed[priority] = self._passed[priority] + 1 if others and priority is not chosen else 0
        return self._waiting[chosen].popleft()

    def _choose(self) -> Priority:
        waiting = [priority for priority in Priority if self._waiting[priority]]
        for priority, most in _PASSED_AT_MOST.items():
            if priority in waiting and self._passed[priority] >= most:
                return priority
        return waiting[0]
