"""One lease as its holder sees it: for how long it may be acted on, and what ends with it.

A lease is not fencing: a paused process outlives its lease without noticing, so the store checks the token of every
write.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

import anyio

from jobkit.errors import LeaseLost
from jobkit.model.clock import Clock
from jobkit.model.fence import Fence
from jobkit.ports.coordinator import LeaseRef


class Lease:
    """One lease held by this process. `deadline` is on the process's own clock; `used`: something began under it."""

    __slots__ = ("_clock", "_spaces", "deadline", "fence", "limited", "lost", "ref", "scopes", "used")

    def __init__(self, ref: LeaseRef, owner: str, deadline: float, clock: Clock, *, limited: bool = False) -> None:
        self.ref = ref
        self.fence = Fence(ref.token, ref.nonce, owner)
        self.deadline = deadline
        self.limited = limited
        self.used = False
        self.lost = ""
        # What is to end with the lease.
        self.scopes: list[anyio.CancelScope] = []
        self._clock = clock
        self._spaces = 0

    @property
    def live(self) -> bool:
        """Return whether the lease may be relied on at this instant."""
        return not self.lost and self._clock.now() < self.deadline

    def check(self) -> None:
        """Raise `LeaseLost` unless the lease is live. Called before each write: timers can be late, clocks not."""
        if not self.live:
            raise LeaseLost(f"lease {self.ref.resource} (token {self.ref.token}): {self.lost or 'past its deadline'}")

    def next_space(self) -> int:
        """Return a number that no other attempt under this lease has had."""
        self._spaces += 1
        return self._spaces

    def guarding(self) -> AbstractContextManager[anyio.CancelScope]:
        """Run the block in a cancel scope that closes the moment the lease is lost, then raise `LeaseLost`.

        Whoever else closes the scope ends the block, and no more.
        """
        return _Guard(self)

    def lose(self, reason: str) -> None:
        """Mark the lease lost and cancel what runs under it."""
        self.lost = reason
        for scope in self.scopes:
            scope.cancel()


class _Guard:
    """A cancel scope within a lease. A class, not a generator: each job goes through one."""

    __slots__ = ("_lease", "_scope")

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._scope = anyio.CancelScope()

    def __enter__(self) -> anyio.CancelScope:
        self._lease.check()
        self._lease.scopes.append(self._scope)
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        lease = self._lease
        lease.scopes.remove(self._scope)
        swallowed = self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught and lease.lost:
            raise LeaseLost(f"lease {lease.ref.resource} (token {lease.ref.token}): {lease.lost}")
        return bool(swallowed)
