"""A fork waits until no connection of this process is at work.

SQLite notes in the memory of the process which locks it holds. A child that is forked in the midst of a transaction
inherits that note and nobody who would end it: it could never write to that file again, not even by a connection of its
own.
"""

from __future__ import annotations

import os
import threading
import weakref

# A transaction takes milliseconds; one that takes longer is stuck, and the fork is not to be.
_PATIENCE_SECONDS = 10.0


class ForkGuard:
    """Held by one connection while it is at work. Whoever ends the work lets go, in whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)

    def hold(self) -> None:
        """Keep the process from being forked; wait for a fork that is under way."""
        self._lock.acquire(timeout=_PATIENCE_SECONDS)

    def let_go(self) -> None:
        """Allow it again. Idempotent."""
        if self._lock.locked():
            self._lock.release()

    def wait(self) -> bool:
        """Hold it for a fork; return whether it came to that."""
        return self._lock.acquire(timeout=_PATIENCE_SECONDS)


_all: weakref.WeakSet[ForkGuard] = weakref.WeakSet()
_held: list[ForkGuard] = []


def _before() -> None:
    _held.extend(guard for guard in list(_all) if guard.wait())


def _after() -> None:
    while _held:
        _held.pop().let_go()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
