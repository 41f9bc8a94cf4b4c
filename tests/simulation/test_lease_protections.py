"""What keeps those from working who may not: without any of it, some run breaks an invariant."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from jobkit.backends.sqlite import leases, limit_uses
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.leases import Keeper, Lease
from jobkit.model.ids import new_nonce
from jobkit.model.limit import Limit
from jobkit.ports.coordinator import Granted, Held, LeaseRef
from jobkit.ports.limits import Limited
from jobkit.testing.virtual_time import VirtualClock
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule

# Wall clocks that jump while leases cannot be renewed.
JUMPING_CLOCKS = Schedule(troubles=(("wall clock", 2), ("cut", 1), ("slow coordinator", 1)), every=1.0)

# A coordinator that forgets, and workers that come and go.
FORGETTING = Schedule(troubles=(("prune", 1), ("crash", 1), ("restart", 1)))

# Jobs of many keys, many of which outlive a lease.
CROWDED = Schedule(keys=6, jobs=60, long_jobs=0.5, troubles=(("pause", 1), ("restart", 1)))


def check_then_delete_release(patch: Patch) -> None:
    """`release` asks who holds the resource, and once it knows, deletes the lease of whoever holds it then."""
    rng = random.Random(1)

    def holder(transaction: Transaction, lease: LeaseRef) -> bool:
        row = transaction.execute("SELECT token, nonce FROM leases WHERE resource = ?", (lease.resource,)).fetchone()
        return bool(row == (lease.token, lease.nonce))

    def delete(transaction: Transaction, lease: LeaseRef) -> None:
        transaction.execute("DELETE FROM leases WHERE resource = ?", (lease.resource,))
        transaction.notify(leases.lease_topic(lease.resource))

    async def release(self: SqliteCoordinator, lease: LeaseRef, *, unused: bool = False) -> bool:
        plane = self._plane
        if not await plane.read(holder, lease):
            return False
        # The answer goes over the network, and so does the request to delete.
        await anyio.sleep(rng.choice((0.01, rng.uniform(0, 20))))
        await plane.write(delete, lease)
        return True

    patch.setattr(SqliteCoordinator, "release", release)


def tokens_restart_at_one(patch: Patch) -> None:
    """Each resource counts its tokens in its lease, which goes when it ends; and no floor is looked at."""

    def claim(transaction: Transaction, resource: str, *, floor: int, **rest: Any) -> Granted | Held | Limited:
        transaction.execute("DELETE FROM leases WHERE resource = ? AND expires <= ?", (resource, transaction.now))
        transaction.execute("UPDATE tokens SET highest = 0")
        return original(transaction, resource, floor=0, **rest)

    original = leases.claim
    patch.setattr(leases, "claim", claim)


def floor_ignored(patch: Patch) -> None:
    """A coordinator that lost its data counts from 1, whatever the store has seen."""
    original = leases.claim

    def claim(transaction: Transaction, resource: str, *, floor: int, **rest: Any) -> Granted | Held | Limited:
        return original(transaction, resource, floor=0, **rest)

    patch.setattr(leases, "claim", claim)


def limits_not_looked_at(patch: Patch) -> None:
    """A lease is granted whoever else has its limits."""
    patch.setattr(limit_uses, "used_up", lambda *_: None)


def limits_not_renewed(patch: Patch) -> None:
    """What a lease has of its limits ends a TTL after it was granted, however long it is renewed."""
    patch.setattr(limit_uses, "renew", lambda *_: None)


def starts_given_back(patch: Patch) -> None:
    """With its lease a job gives its start back, too, although it has begun."""
    giving = limit_uses.give_back

    def give_back(transaction: Transaction, uses: str, lease: LeaseRef, *, unused: bool) -> None:
        giving(transaction, uses, lease, unused=True)

    patch.setattr(limit_uses, "give_back", give_back)


class WallClock:
    """A clock for decisions that is the wall clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.wall = clock.wall
        self.sleep = clock.sleep

    def now(self) -> float:
        return self._clock.wall()


def nothing_patched(_: Patch) -> None:
    """The clock that the workers are given is the mutation."""


def proceed_without_lease(patch: Patch) -> None:
    """A lease that somebody else holds is taken for one's own, under the next token."""
    patient = Keeper.claim

    async def claim(
        self: Keeper, resource: str, *, floor: int = 0, limits: Sequence[Limit] = ()
    ) -> Lease | Held | Limited:
        answer = await patient(self, resource, floor=floor, limits=limits)
        if isinstance(answer, Held) and not resource.startswith("leader/"):
            ref = LeaseRef(resource, answer.token + 1, new_nonce(self._rng))
            return Lease(ref, self.owner, self._clock.now() + self.terms.trusted, self._clock)
        return answer

    patch.setattr(Keeper, "claim", claim)


def deadlines_not_enforced(patch: Patch) -> None:
    """A lease that could not be renewed is not ended, nor looked at before a write."""

    async def enforce_never(self: Keeper) -> None:
        await anyio.sleep_forever()

    patch.setattr(Keeper, "_enforce_forever", enforce_never)
    patch.setattr(Lease, "live", property(lambda self: not self.lost))


MUTATIONS = (
    Mutation("check-then-delete release", check_then_delete_release, ("no-lease-no-work",)),
    Mutation("token restarts at 1", tokens_restart_at_one, ("fencing",), seed=3),
    Mutation("floor ignored", floor_ignored, ("fencing", "progress"), FORGETTING),
    Mutation("limits not looked at", limits_not_looked_at, ("limits",), CROWDED, seed=3),
    Mutation("limits not renewed", limits_not_renewed, ("limits",), CROWDED, seed=4),
    Mutation("starts given back", starts_given_back, ("limits",), CROWDED, seed=4),
    Mutation("wall clock", nothing_patched, ("no-lease-no-work",), JUMPING_CLOCKS, WallClock, seed=3),
    Mutation("proceed without lease", proceed_without_lease, ("no-lease-no-work",), seed=4),
    Mutation("deadlines not enforced", deadlines_not_enforced, ("no-lease-no-work",), seed=4),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)
