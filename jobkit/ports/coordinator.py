"""The coordinator plane: who may work now? Leases, leadership, membership.

It gives liveness, not safety: it may forget everything, and then grants what somebody still believes to hold.
What commits is decided by the store alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobkit.model.limit import Limit
from jobkit.model.partition import Partition
from jobkit.ports.limits import Limited, Limits


@dataclass(frozen=True, slots=True)
class Granted:
    """The resource is leased to the caller under `token`, for the asked time from when the request was *sent*."""

    token: int


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else holds the resource, for at most `remaining` seconds unless they renew."""

    owner: str
    token: int
    remaining: float


@dataclass(frozen=True, slots=True)
class LeaseRef:
    """One holding of one resource: the token it was granted under and the nonce it was claimed with."""

    resource: str
    token: int
    nonce: str


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """A live lease, for people to look at."""

    resource: str
    owner: str
    token: int
    remaining: float


@dataclass(frozen=True, slots=True)
class Member:
    """A live worker process: the job types it serves, and the seconds a round trip takes it to store or coordinator.

    People asked that it leads the partitions `assigned` to it, and, where it is `dismissed`, that it drains and ends.
    """

    owner: str
    types: tuple[str, ...]
    latency: float = 0.0
    assigned: tuple[Partition, ...] = ()
    dismissed: bool = False


class Coordinator(Limits, Protocol):
    """Where leases are kept. Every method may raise `Unavailable`: then its effect is unknown.

    All times are seconds, measured on the coordinator's own clock, which no wall-clock change moves where the
    backend can help it. A lease disappears as a whole when it expires.
    """

    async def claim(
        self,
        resource: str,
        *,
        owner: str,
        nonce: str,
        ttl: float,
        floor: int = 0,
        limits: Sequence[Limit] = (),
    ) -> Granted | Held | Limited:
        """Lease `resource` where it is free, under a token higher than `floor` and than any granted for it before.

        Where it needs `limits`, it is granted together with all of them, or not at all. Each claim says what it takes
        the limits to be. The lease has those without `per` for as long as it lives, however it ends; those with `per`
        are used for that long from now on.

        Idempotent by nonce: while the lease that a nonce was granted lives, asking again returns the same token
        and extends nothing.
        """
        ...

    async def renew(self, leases: Sequence[LeaseRef], *, ttl: float) -> frozenset[LeaseRef]:
        """Extend those leases that are still held under their token and nonce to `ttl` from now; return them.

        One round trip, however many leases.
        """
        ...

    async def release(self, lease: LeaseRef, *, unused: bool = False) -> bool:
        """Free the resource if it is still held under this token and nonce, atomically; tell whether it was.

        Its limits are free with it. Where it was `unused`, so are those on how many begin.
        """
        ...

    async def wait_change(self, resource: str, timeout: float, *, since: Collection[LeaseInfo] | None = None) -> None:
        """Return once `resource` may have become free, or after `timeout` seconds. A hint: claim to know.

        Where `resource` ends in "/", any resource below it counts. `since` are the leases that the caller saw there:
        what ended after that look ends the wait at once. Without it only what ends from now on counts.
        """
        ...

    async def heartbeat(self, member: Member, *, ttl: float) -> Sequence[Member]:
        """Count as a live worker for `ttl` seconds; return all live workers by owner, this one included.

        What people asked of a worker is no part of what it tells, and stays.
        """
        ...

    async def leave(self, owner: str) -> None:
        """Stop counting as a live worker at once; a heartbeat that was asked for before does not undo it."""
        ...

    async def assign(self, partition: Partition, owner: str) -> bool:
        """Have a live worker asked to lead a partition, in place of whoever else was; return whether it is alive.

        It holds as long as that worker counts as live. Nobody is made to: workers hear of it with their heartbeats.
        """
        ...

    async def dismiss(self, owner: str) -> bool:
        """Have a live worker asked to drain and end; return whether it is alive."""
        ...

    async def leases(self, prefix: str = "") -> Sequence[LeaseInfo]:
        """Return the live leases whose resource starts with `prefix`, ordered by resource."""
        ...

    async def members(self) -> Sequence[Member]:
        """Return all live workers, ordered by owner."""
        ...

    async def identity(self) -> str:
        """Return what tells this coordinator from any other: made with its data, and lost with it."""
        ...

    async def aclose(self) -> None:
        """Let go of connections; leases stay until they are released or expire."""
        ...
