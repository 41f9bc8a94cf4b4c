"""The coordinator plane on SQLite: leases that end by the store's own clock.

Unlike a distributed coordinator it forgets nothing, except at a reboot of the machine, which ended all holders.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jobkit.backends.sqlite import leases, limit_uses, members
from jobkit.backends.sqlite.engine import Engine
from jobkit.model.limit import Limit
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.coordinator import Granted, Held, LeaseInfo, LeaseRef, Member
from jobkit.ports.limits import Limited, LimitInfo, Waiting
from jobkit.ports.notifier import lease_topic, limit_topic

# Expired leases cost only space, so they are removed now and then, not by each claim.
_SWEEP_SECONDS = 10.0


class SqliteCoordinator:
    """A `Coordinator` on the engine's database."""

    def __init__(self, engine: Engine) -> None:
        self._plane = engine.plane(Plane.COORDINATOR)
        self._next_sweep = float("-inf")

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
        await self._sweep_sometimes()
        return await self._plane.write(
            leases.claim, resource, owner=owner, nonce=nonce, ttl=ttl, floor=floor, limits=limits
        )

    async def renew(self, leases_held: Sequence[LeaseRef], *, ttl: float) -> frozenset[LeaseRef]:
        return await self._plane.write(leases.renew, leases_held, ttl=ttl) if leases_held else frozenset()

    async def release(self, lease: LeaseRef, *, unused: bool = False) -> bool:
        return await self._plane.write(leases.release, lease, unused=unused)

    async def wait_change(self, resource: str, timeout: float, *, since: Collection[LeaseInfo] | None = None) -> None:
        clock = self._plane.clock
        deadline = clock.now() + timeout
        with self._plane.notifier.subscribe(lease_topic(resource)) as subscription:
            reached, ends_in = await self._plane.read(leases.reached, resource)
            seen = reached if since is None else {(lease.resource, lease.token) for lease in since}
            # A single resource that is free is what is waited for; below a prefix, something nearly always is.
            while seen <= reached and (reached or resource.endswith("/")):
                left = deadline - clock.now()
                if left <= 0:
                    return
                await subscription.wait(min(left, ends_in))
                reached, ends_in = await self._plane.read(leases.reached, resource)

    async def wait_limit(self, limit: Limit, timeout: float) -> None:
        deadline = self._plane.clock.now() + timeout
        with self._plane.notifier.subscribe(limit_topic(limit.bucket)) as subscription:
            while (refused := await self._plane.read(limit_uses.used_up, (limit,))) is not None:
                left = deadline - self._plane.clock.now()
                if left <= 0:
                    return
                await subscription.wait(min(left, refused.remaining))

    async def limits(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Sequence[LimitInfo]:
        return await self._plane.read(limit_uses.in_use, prefix, after=after, limit=limit)

    async def note_waiting(self, owner: str, waiting: Sequence[Waiting], *, ttl: float) -> None:
        await self._plane.write(limit_uses.note_waiting, owner, waiting, ttl=ttl)

    async def waiting(self) -> Sequence[Waiting]:
        return await self._plane.read(limit_uses.waiting)

    async def heartbeat(self, member: Member, *, ttl: float) -> Sequence[Member]:
        return await self._plane.write(members.heartbeat, member, ttl=ttl)

    async def leave(self, owner: str) -> None:
        await self._plane.write(members.leave, owner)

    async def assign(self, partition: Partition, owner: str) -> bool:
        return await self._plane.write(members.assign, partition, owner)

    async def dismiss(self, owner: str) -> bool:
        return await self._plane.write(members.dismiss, owner)

    async def leases(self, prefix: str = "") -> Sequence[LeaseInfo]:
        return await self._plane.read(leases.live_leases, prefix)

    async def members(self) -> Sequence[Member]:
        return await self._plane.read(members.members)

    async def identity(self) -> str:
        return await self._plane.read(leases.identity)

    async def aclose(self) -> None:
        """Do nothing: the engine belongs to whoever opened it."""

    async def _sweep_sometimes(self) -> None:
        now = self._plane.clock.now()
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_SECONDS
            await self._plane.write(leases.sweep)
