"""Limits that hold in the whole cluster: how many jobs run at once, or begin within a time. The coordinator keeps them.

`Coordinator.claim` grants a job all the limits that it needs together with its lease, in one step and by the
coordinator's own clock, or none of them. So no two jobs wait for each other, and no more is ever granted than a limit
says. One on how many run at once goes with the lease: it is renewed with it, given up with it, over with it. It is a
limit on what runs under a lease, no fence: a coordinator that loses its data has forgotten who had what, and what ran
then goes on until those leases end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jobkit.model.limit import Limit


@dataclass(frozen=True, slots=True)
class Limited:
    """The resource is free, but `limit` is used up, for `remaining` seconds unless a lease that has it is renewed."""

    limit: Limit
    remaining: float


@dataclass(frozen=True, slots=True)
class LimitInfo:
    """A limit that is in use, for people to look at, as whoever asked last declared it.

    `used` of `count` are taken, the first of them for `remaining` seconds more. `holders` are the resources of the
    leases that have it; a limit on how many begin has none.
    """

    limit: Limit
    used: int
    remaining: float
    holders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Jobs in the hand of a worker that wait for a limit: how many, and the ids of the first of them."""

    owner: str
    bucket: str
    number: int
    ids: tuple[str, ...]


class Limits(Protocol):
    """The part of the coordinator that waits for limits, and shows them. Every method may raise `Unavailable`."""

    async def wait_limit(self, limit: Limit, timeout: float) -> None:
        """Return once `limit` may have room, or after `timeout` seconds. A hint: claim to know."""
        ...

    async def limits(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Sequence[LimitInfo]:
        """Return limits in use whose bucket starts with `prefix`, ordered by bucket: `limit` of those above `after`."""
        ...

    async def note_waiting(self, owner: str, waiting: Sequence[Waiting], *, ttl: float) -> None:
        """Note for `ttl` seconds, for people to look at, what waits at `owner`, in place of what it noted before."""
        ...

    async def waiting(self) -> Sequence[Waiting]:
        """Return what was noted as waiting, ordered by owner and bucket."""
        ...
