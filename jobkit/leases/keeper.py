"""The keeper: it claims the leases of one process, renews them in one call, and ends them in time.

A lease is not fencing: a paused process outlives its lease without noticing, so the store checks the token of
every write. What is promised here is that a process that runs stops its own work before its lease can have ended.

How long a holder trusts a lease is in `deadline.py`. An answer that comes after that is worth nothing, and an answer
that does not come moves nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import overload

import anyio

from jobkit.errors import Unavailable
from jobkit.leases.deadline import LeaseTerms
from jobkit.leases.lease import Lease
from jobkit.model.clock import Clock
from jobkit.model.ids import new_nonce
from jobkit.model.limit import Limit
from jobkit.model.plane import Plane
from jobkit.ports.coordinator import Coordinator, Granted, Held, LeaseRef
from jobkit.ports.limits import Limited
from jobkit.telemetry import Telemetry

# How long the release of a lease may hold up a job's outcome, or a cancellation; then the lease expires by itself.
_RELEASE_SECONDS = 2.0


class Keeper:
    """Holds all leases of one process: claims them, renews them in one call, and ends them in time."""

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        owner: str,
        terms: LeaseTerms,
        clock: Clock,
        rng: random.Random,
        telemetry: Telemetry,
    ) -> None:
        self.owner = owner
        self.terms = terms
        self.last_answer = clock.now()
        self._coordinator = coordinator
        self._clock = clock
        self._rng = rng
        self._telemetry = telemetry
        self._held: dict[LeaseRef, Lease] = {}

    @property
    def resources(self) -> Collection[str]:
        """What is held, by name."""
        return [ref.resource for ref in self._held]

    @property
    def healthy(self) -> bool:
        """Return whether the coordinator answered recently enough for leases to be kept."""
        return self._clock.now() - self.last_answer < self.terms.trusted

    def heard(self) -> None:
        """Record that the coordinator has just answered, to any caller."""
        self.last_answer = self._clock.now()

    @overload
    async def claim(self, resource: str, *, floor: int = 0) -> Lease | Held: ...

    @overload
    async def claim(self, resource: str, *, floor: int = 0, limits: Sequence[Limit]) -> Lease | Held | Limited: ...

    async def claim(self, resource: str, *, floor: int = 0, limits: Sequence[Limit] = ()) -> Lease | Held | Limited:
        """Claim `resource` once. Raises `Unavailable` where no answer came while it could still be trusted.

        An unanswered claim is repeated under the same nonce, so that what an earlier one was granted is not lost. What
        one that is cancelled was granted is released.
        """
        nonce = new_nonce(self._rng)
        deadline = self.terms.deadline(sent=self._clock.now())
        try:
            answer = await self._claim_until(resource, nonce, floor, limits, deadline)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._undo_claim(resource, nonce, floor, limits)
            raise
        if not isinstance(answer, Granted):
            self._telemetry.claimed("held" if isinstance(answer, Held) else "limited")
            return answer
        ref = LeaseRef(resource, answer.token, nonce)
        lease = Lease(ref, self.owner, deadline, self._clock, limited=bool(limits))
        if not lease.live:
            self._telemetry.claimed("late")
            await self._coordinator.release(ref, unused=lease.limited)
            raise Unavailable(Plane.COORDINATOR, f"the grant of {resource} came too late to be trusted")
        self._telemetry.claimed("granted")
        self._held[ref] = lease
        return lease

    async def _claim_until(
        self, resource: str, nonce: str, floor: int, limits: Sequence[Limit], deadline: float
    ) -> Granted | Held | Limited:
        pause = self.terms.ttl / 60
        while True:
            try:
                answer = await self._coordinator.claim(
                    resource, owner=self.owner, nonce=nonce, ttl=self.terms.ttl, floor=floor, limits=limits
                )
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, f"claiming {resource}", error)
                if self._clock.now() + pause >= deadline:
                    self._telemetry.claimed("unanswered")
                    raise
                await self._clock.sleep(pause * (0.5 + self._rng.random()))
                pause *= 2
            else:
                self.heard()
                return answer

    async def _undo_claim(self, resource: str, nonce: str, floor: int, limits: Sequence[Limit]) -> None:
        """Release what may have been granted unheard: nobody else could have it until it expires."""
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                # Under the same nonce it is the same grant.
                answer = await self._coordinator.claim(
                    resource, owner=self.owner, nonce=nonce, ttl=self.terms.ttl, floor=floor, limits=limits
                )
                if isinstance(answer, Granted):
                    await self._coordinator.release(LeaseRef(resource, answer.token, nonce), unused=bool(limits))
        except (Unavailable, TimeoutError) as error:
            self._telemetry.connection_lost(Plane.COORDINATOR, f"giving {resource} back", error)

    async def release(self, lease: Lease) -> None:
        """Give the lease up now, even where this is cancelled.

        It takes a few seconds at most: where the coordinator cannot be told by then, the lease expires by itself.
        """
        if self._held.pop(lease.ref, None) is None:
            return
        unused = lease.limited and not lease.used
        try:
            await self._tell_of_release(lease.ref, unused)
        except asyncio.CancelledError:
            # Whether it was sent is unknown; it may be said twice.
            with anyio.CancelScope(shield=True):
                await self._tell_of_release(lease.ref, unused)
            raise

    async def _tell_of_release(self, ref: LeaseRef, unused: bool) -> None:
        try:
            # At a third of the time that a cancel scope takes; each job goes through this.
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._coordinator.release(ref, unused=unused)
        except (Unavailable, TimeoutError) as error:
            self._telemetry.connection_lost(Plane.COORDINATOR, f"releasing {ref.resource}", error)

    async def run(self) -> None:
        """Renew and enforce, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew_forever)
            tasks.start_soon(self._enforce_forever)

    async def _renew_forever(self) -> None:
        while True:
            # Jitter keeps many workers from renewing in step.
            await self._clock.sleep(self.terms.renew_every * (0.8 + 0.2 * self._rng.random()))
            while not await self._renew():
                await self._clock.sleep(self.terms.renew_every / 5)

    async def _renew(self) -> bool:
        """Renew everything once; return whether the coordinator answered."""
        held = dict(self._held)
        if not held:
            return True
        started = self._clock.now()
        try:
            # Bounded, so that one answer that never comes leaves time to ask again before the first lease ends.
            with anyio.fail_after(self.terms.trusted / 2):
                kept = await self._coordinator.renew(list(held), ttl=self.terms.ttl)
        except (Unavailable, TimeoutError) as error:
            self._telemetry.renewal_failed(len(held), error)
            return False
        self.heard()
        for ref, lease in held.items():
            if ref in kept:
                lease.deadline = max(lease.deadline, self.terms.deadline(sent=started))
            elif ref in self._held:
                self._lose(lease, "the coordinator says that it is no longer held")
        return True

    async def _enforce_forever(self) -> None:
        """End each lease at its deadline, at the latest half a guard after it.

        A grant that took long to arrive can end before the leases that this sleeps for, so it never sleeps longer.
        """
        while True:
            now = self._clock.now()
            for lease in [held for held in self._held.values() if held.deadline <= now]:
                self._lose(lease, "it could not be renewed in time")
            earliest = min((held.deadline for held in self._held.values()), default=now + self.terms.guard)
            await self._clock.sleep(min(max(earliest - now, 0.001), self.terms.guard / 2))

    def _lose(self, lease: Lease, reason: str) -> None:
        del self._held[lease.ref]
        self._telemetry.lease_lost(lease.ref.resource, lease.ref.token, reason)
        lease.lose(reason)
