"""The coordinator plane on Redis: leases on the server's clock, in scripts.

It is not fencing, and it may forget: replication is asynchronous, and a restart without data takes tokens back. The
store's marks are the floor that tokens rise from again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from jobkit.backends.redis.address import parse_address
from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.notifier import SUBSCRIBED_MILLISECONDS, Listener
from jobkit.backends.redis.scripts import Script, Scripts, load_script
from jobkit.model.clock import Clock
from jobkit.model.ids import new_nonce
from jobkit.model.limit import Limit
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.coordinator import Granted, Held, LeaseInfo, LeaseRef, Member
from jobkit.ports.limits import Limited, LimitInfo, Waiting
from jobkit.ports.notifier import lease_topic, limit_topic


def _lease_script(name: str) -> Script:
    return load_script("coordinator/leases", f"coordinator/{name}")


def _limit_script(name: str) -> Script:
    return load_script("coordinator/leases", "coordinator/limits", f"coordinator/{name}")


_LIST, _WATCH = map(_lease_script, ("list", "watch"))
_CLAIM, _RENEW, _RELEASE = map(_limit_script, ("claim", "renew", "release"))
_LIST_LIMITS, _WATCH_LIMIT = map(_limit_script, ("list_limits", "watch_limit"))
_NOTE_WAITING, _WAITING = (load_script(f"coordinator/{name}") for name in ("note_waiting", "waiting"))
_HEARTBEAT = load_script("coordinator/leases", "coordinator/limits", "coordinator/members", "coordinator/heartbeat")
_IDENTITY = load_script("coordinator/identity")
_LEAVE, _PRESENT, _ASSIGN, _DISMISS = (
    load_script("coordinator/members", f"coordinator/{name}") for name in ("leave", "present", "assign", "dismiss")
)


class RedisCoordinator:
    """A `Coordinator` on Redis 6.2 or newer. Made inside a running event loop."""

    def __init__(self, connector: Connector, clock: Clock) -> None:
        self._clock = clock
        self._scripts = Scripts(connector, Plane.COORDINATOR)
        # Renewals go by a way of their own: nothing that jobs ask for can hold them up.
        self._renewals = Scripts(connector, Plane.COORDINATOR)
        self._listener = Listener(connector)

    @property
    def round_trips(self) -> int:
        """How many requests were sent to the server so far."""
        return self._scripts.round_trips + self._renewals.round_trips

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
        needed = [text for limit in limits for text in (limit.bucket, str(limit.count), _lasts(limit))]
        answer = await self._scripts.run(_CLAIM, resource, owner, nonce, _milliseconds(ttl), str(floor), *needed)
        if answer[0] == 1:
            return Granted(int(answer[1]))
        if answer[0] == 2:
            return Limited(limits[answer[1] - 1], answer[2] / 1000)
        return Held(answer[1].decode(), int(answer[2]), max(0, answer[3]) / 1000)

    async def renew(self, leases: Sequence[LeaseRef], *, ttl: float) -> frozenset[LeaseRef]:
        if not leases:
            return frozenset()
        arguments = [_milliseconds(ttl)]
        for lease in leases:
            arguments += (lease.resource, str(lease.token), lease.nonce)
        kept = await self._renewals.run(_RENEW, *arguments)
        return frozenset(leases[place - 1] for place in kept)

    async def release(self, lease: LeaseRef, *, unused: bool = False) -> bool:
        more = ("unused",) if unused else ()
        return bool(await self._scripts.run(_RELEASE, lease.resource, str(lease.token), lease.nonce, *more))

    async def wait_change(self, resource: str, timeout: float, *, since: Collection[LeaseInfo] | None = None) -> None:
        deadline = self._clock.now() + timeout
        with self._listener.subscribe(lease_topic(resource)) as subscription:
            reached = await self._watch(resource)
            seen = _held(reached if since is None else since)
            # A single resource that is free is what is waited for; below a prefix, something nearly always is.
            while seen <= _held(reached) and (reached or resource.endswith("/")):
                left = deadline - self._clock.now()
                if left <= 0:
                    return
                ends_in = min((lease.remaining for lease in reached), default=left)
                # A millisecond more, so that a lease that ends is found to have ended.
                if await subscription.wait(min(left, ends_in + 0.001)):
                    return
                reached = await self._watch(resource)

    async def _watch(self, resource: str) -> list[LeaseInfo]:
        return _leases(await self._scripts.run(_WATCH, resource, SUBSCRIBED_MILLISECONDS))

    async def wait_limit(self, limit: Limit, timeout: float) -> None:
        deadline = self._clock.now() + timeout
        with self._listener.subscribe(limit_topic(limit.bucket)) as subscription:
            while True:
                used, ends_in = await self._scripts.run(_WATCH_LIMIT, limit.bucket, SUBSCRIBED_MILLISECONDS)
                left = deadline - self._clock.now()
                if used < limit.count or left <= 0:
                    return
                # A millisecond more, so that a use that ends is found to have ended.
                await subscription.wait(min(left, ends_in / 1000 + 0.001))

    async def limits(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Sequence[LimitInfo]:
        found: list[LimitInfo] = []
        while len(found) < limit:
            above, *page = await self._scripts.run(_LIST_LIMITS, prefix, after, str(limit - len(found)))
            found += [_limit_info(*one) for one in page]
            after = above.decode()
            if not after:
                break
        return found

    async def note_waiting(self, owner: str, waiting: Sequence[Waiting], *, ttl: float) -> None:
        told = json.dumps([(one.bucket, one.number, one.ids) for one in waiting])
        await self._scripts.run(_NOTE_WAITING, owner, told, _milliseconds(ttl))

    async def waiting(self) -> Sequence[Waiting]:
        flat = await self._scripts.run(_WAITING)
        return [
            Waiting(owner, bucket, number, tuple(ids))
            for owner, told in sorted((flat[at].decode(), flat[at + 1]) for at in range(0, len(flat), 2))
            for bucket, number, ids in sorted(json.loads(told))
        ]

    async def heartbeat(self, member: Member, *, ttl: float) -> Sequence[Member]:
        told = json.dumps([member.types, member.latency])
        return _members(await self._renewals.run(_HEARTBEAT, member.owner, told, _milliseconds(ttl)))

    async def leave(self, owner: str) -> None:
        # The way that heartbeats go, so that none that is still on it arrives afterwards.
        await self._renewals.run(_LEAVE, owner)

    async def assign(self, partition: Partition, owner: str) -> bool:
        return bool(await self._scripts.run(_ASSIGN, f"{partition.type}\0{partition.index}", owner))

    async def dismiss(self, owner: str) -> bool:
        return bool(await self._scripts.run(_DISMISS, owner))

    async def leases(self, prefix: str = "") -> Sequence[LeaseInfo]:
        return _leases(await self._scripts.run(_LIST, prefix))

    async def members(self) -> Sequence[Member]:
        return _members(await self._scripts.run(_PRESENT))

    async def identity(self) -> str:
        found: bytes = await self._scripts.run(_IDENTITY, new_nonce())
        return found.decode()

    async def aclose(self) -> None:
        await self._listener.aclose()
        await self._scripts.aclose()
        await self._renewals.aclose()


async def open_coordinator(url: str, clock: Clock) -> RedisCoordinator:
    """Open the coordinator in the database that `url` names. Raises `ConfigurationError` or `Unavailable`."""
    coordinator = RedisCoordinator(Connector(parse_address(url)), clock)
    try:
        await coordinator.members()
    except BaseException:
        await coordinator.aclose()
        raise
    return coordinator


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _lasts(limit: Limit) -> str:
    """Return for how many milliseconds a start counts, "0" where it is the lease that does."""
    return "0" if limit.per is None else _milliseconds(limit.per)


def _limit_info(bucket: bytes, count: bytes, lasts: bytes, used: int, ends_in: int, *holders: bytes) -> LimitInfo:
    limit = Limit(bucket.decode(), int(count), int(lasts) / 1000 or None)
    return LimitInfo(limit, used, ends_in / 1000, tuple(sorted(holder.decode() for holder in holders)))


def _held(reached: Collection[LeaseInfo]) -> frozenset[tuple[str, int]]:
    return frozenset((lease.resource, lease.token) for lease in reached)


def _leases(flat: Sequence[Any]) -> list[LeaseInfo]:
    found = []
    for at in range(0, len(flat), 4):
        resource, owner, token, remaining = flat[at : at + 4]
        found.append(LeaseInfo(resource.decode(), owner.decode(), int(token), max(0, remaining) / 1000))
    return found


def _members(flat: Sequence[Any]) -> list[Member]:
    # Sorted here: the server compares text by the locale that it happens to run in.
    found = [_member(*flat[at : at + 4]) for at in range(0, len(flat), 4)]
    return sorted(found, key=lambda member: member.owner)


def _member(owner: bytes, told: bytes, dismissed: bytes, assigned: Sequence[bytes]) -> Member:
    types, latency = json.loads(told)
    partitions = (one.decode().rsplit("\0", 1) for one in assigned)
    led = sorted(Partition(type, int(index)) for type, index in partitions)
    return Member(owner.decode(), tuple(types), latency, tuple(led), dismissed == b"1")
