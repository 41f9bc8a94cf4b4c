"""Each protection is needed, and the checker sees that it is: without it, some schedule breaks an invariant.

A protection is taken away by patching the code that has it; nothing in that code knows of this. The same schedule
with the protection in place breaks nothing, which `make campaign` looks at, too.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest

from jobkit.backends.sqlite import (
    cancel,
    commit,
    ending,
    fail,
    job_groups,
    leases,
    limit_uses,
    schedule,
    schedules,
    schema,
    tenants,
    turns,
    unique,
)
from jobkit.backends.sqlite import open as opening
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.leases import Keeper, Lease
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.ids import new_nonce
from jobkit.model.layout import Layout
from jobkit.model.limit import Limit
from jobkit.model.schedule import Missed
from jobkit.plugin.checkpoints import KeptWork
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.coordinator import Granted, Held, LeaseRef
from jobkit.ports.limits import Limited
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import Committed, Duplicate, Effects, Failure, Refused
from jobkit.runner.decode import Job
from jobkit.runner.lane import Lane
from jobkit.runner.led_partition import LedPartition
from jobkit.runner.pauses import Pauses
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.testing.virtual_time import VirtualClock
from jobkit.worker.maintenance import ticking
from jobkit.worker.maintenance.republishing import Republisher
from simulation.schedule import DEFAULT, Schedule, simulate

# Within so many seeds a schedule is found that needs the protection.
MOST_SEEDS = 60
# More than it takes without both.
SEEDS_WITH_ONE_WALL = 5

Patch = pytest.MonkeyPatch


# ---- the store ---------------------------------------------------------------------------------------------------


def _force_mark(transaction: Transaction, envelope: Envelope, fence: Fence) -> None:
    transaction.execute(
        "UPDATE keys SET token = ?, nonce = ? WHERE type = ? AND key = ?",
        (fence.token, fence.nonce, envelope.type, envelope.key),
    )


def no_fence_check_in_open(patch: Patch) -> None:
    """`open` makes any fence the mark, higher or not."""
    checked = opening.open_job

    def unchecked(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        _force_mark(transaction, envelope, fence)
        return checked(transaction, envelope, fence)

    patch.setattr(opening, "open_job", unchecked)


def commit_without_verify(patch: Patch) -> None:
    """`commit` does not compare the mark."""
    verified = commit.commit_job

    def unverified(
        transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects
    ) -> Committed | Duplicate | Refused:
        _force_mark(transaction, envelope, fence)
        transaction.execute(
            "UPDATE jobs SET token = ?, nonce = ? WHERE id = ? AND state <> 'committed'",
            (fence.token, fence.nonce, envelope.id),
        )
        return verified(transaction, envelope, fence, effects)

    patch.setattr(commit, "commit_job", unverified)


def no_fence_check_at_all(patch: Patch) -> None:
    """Neither looks."""
    no_fence_check_in_open(patch)
    commit_without_verify(patch)
    patch.setattr(fail, "refusal", lambda *_: None)


def finished_ids_forgotten(patch: Patch) -> None:
    """Nobody asks whether an id is finished already."""
    asking, verified = opening.open_job, commit.commit_job

    def unfinish(transaction: Transaction, envelope: Envelope) -> None:
        row = transaction.execute(
            "UPDATE jobs SET state = 'queued' WHERE id = ? AND state = 'committed' RETURNING sequence", (envelope.id,)
        ).fetchone()
        if row is not None and row[0] is not None:
            transaction.execute(
                "UPDATE keys SET committed = ? WHERE type = ? AND key = ?", (row[0] - 1, envelope.type, envelope.key)
            )

    def open_job(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        unfinish(transaction, envelope)
        return asking(transaction, envelope, fence)

    def commit_job(transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        unfinish(transaction, envelope)
        return verified(transaction, envelope, fence, effects)

    patch.setattr(opening, "open_job", open_job)
    patch.setattr(commit, "commit_job", commit_job)


def gaps_ignored(patch: Patch) -> None:
    """A sequence that is too high is taken for the next one."""
    asking = opening.open_job

    def open_job(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        if envelope.sequence is not None:
            transaction.execute(
                "UPDATE keys SET committed = max(committed, ?) WHERE type = ? AND key = ?",
                (envelope.sequence - 1, envelope.type, envelope.key),
            )
        return asking(transaction, envelope, fence)

    patch.setattr(opening, "open_job", open_job)


def cancelled_ids_forgotten(patch: Patch) -> None:
    """`commit` does not look whether the job was cancelled meanwhile."""
    verified = commit.commit_job

    def commit_job(transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        row = transaction.execute(
            "UPDATE jobs SET state = 'running' WHERE id = ? AND state = 'cancelled' AND token = ? AND nonce = ? "
            "RETURNING sequence",
            (envelope.id, fence.token, fence.nonce),
        ).fetchone()
        if row is not None and row[0] is not None:
            transaction.execute(
                "UPDATE keys SET committed = ? WHERE type = ? AND key = ?", (row[0] - 1, envelope.type, envelope.key)
            )
        return verified(transaction, envelope, fence, effects)

    patch.setattr(commit, "commit_job", commit_job)


def failures_cost_what_is_kept(patch: Patch) -> None:
    """What a job keeps goes with its first failed attempt."""
    keeping = fail.fail

    def forgetful(
        transaction: Transaction, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float
    ) -> int | Refused:
        transaction.execute(
            "DELETE FROM checkpoints WHERE job = (SELECT number FROM jobs WHERE id = ?)", (envelope.id,)
        )
        return keeping(transaction, envelope, fence, failure, retry_in=retry_in)

    patch.setattr(fail, "fail", forgetful)


def kept_work_stays_behind(patch: Patch) -> None:
    """What a job keeps does not go with its end."""
    patch.setattr(ending, "drop_checkpoints", lambda *_: None)


def nothing_looked_for(patch: Patch) -> None:
    """An attempt takes it that nothing is kept."""

    async def kept(self: KeptWork, *, again: bool = False) -> dict[str, Checkpoint]:
        self._found = self._found or {}
        return self._found

    patch.setattr(KeptWork, "_kept", kept)


def cancelled_turns_kept(patch: Patch) -> None:
    """A job that is cancelled does not give up its turn."""
    patch.setattr(turns, "give_up", lambda *_: 0)


def messages_of_another_priority_good(patch: Patch) -> None:
    """Whatever message of a job comes first begins it, though its priority was changed since."""
    asking = opening.open_job

    def open_job(transaction: Transaction, envelope: Envelope, fence: Fence) -> Any:
        transaction.execute("UPDATE jobs SET priority = NULL WHERE id = ?", (envelope.id,))
        return asking(transaction, envelope, fence)

    patch.setattr(opening, "open_job", open_job)


def due_three_seconds_early(patch: Patch) -> None:
    """The store releases what is not due yet."""
    patch.setattr(schedule, "_DUE", schedule._DUE.replace("j.due <= ?", "j.due - 3 <= ?"))


def revisions_not_compared(patch: Patch) -> None:
    """A schedule's next state is written whoever has changed it meanwhile, a person or another leader."""
    patch.setattr(schedules, "_UPDATE", schedules._UPDATE.replace("revision = ?", "? > 0"))


def names_held_by_many(patch: Patch) -> None:
    """Nobody looks whether a unique name is held, and no index refuses it."""
    patch.setattr(unique, "holder_of", lambda *_: None)
    patch.setattr(schema, "_STORE", [line for line in schema._STORE if "jobs_unique" not in line])


def replaced_jobs_go_on(patch: Patch) -> None:
    """A job that is replaced gives up its name, and nothing else."""

    def make_way(transaction: Transaction, id: str, successor: str) -> None:
        transaction.execute("UPDATE jobs SET unique_name = NULL WHERE id = ?", (id,))

    patch.setattr(cancel, "make_way", make_way)


def places_not_counted(patch: Patch) -> None:
    """Whoever asks for a place gets one."""

    def take_place(transaction: Transaction, number: int, *_: Any) -> bool:
        transaction.execute("UPDATE jobs SET placed = 1 WHERE number = ?", (number,))
        return True

    patch.setattr(tenants, "take_place", take_place)


def places_kept_by_the_dead(patch: Patch) -> None:
    """Only a commit gives a place up."""
    giving = tenants.give_places

    def give_places(transaction: Transaction, type: str, line: str | None, source: str | None = None) -> Any:
        return giving(transaction, type, line, source) if source else []

    patch.setattr(tenants, "give_places", give_places)


# ---- the coordinator ---------------------------------------------------------------------------------------------


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


# ---- the worker --------------------------------------------------------------------------------------------------


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


def nothing_published_again(patch: Patch) -> None:
    """Nobody looks for jobs whose messages are lost."""

    async def watch(self: Republisher, led: LedPartition) -> None:
        await anyio.sleep_forever()

    patch.setattr(Republisher, "watch", watch)


def ticks_without_ids(patch: Patch) -> None:
    """Each leader gives the job of a tick an id of its own."""
    numbers = itertools.count()
    tick_id = ticking.tick_id
    patch.setattr(ticking, "tick_id", lambda name, tick: f"{tick_id(name, tick)}.{next(numbers)}")


def revisions_and_tick_ids_missing(patch: Patch) -> None:
    """Neither wall stands between two leaders and a second job."""
    revisions_not_compared(patch)
    ticks_without_ids(patch)


def due_by_the_workers_clock(patch: Patch) -> None:
    """A leader decides by the wall clock of its own machine which ticks are due."""

    async def look(self: ticking.Ticker) -> int:
        now, _ = await self._inspection.due_schedules(limit=1)
        for kept in await self._inspection.schedules():
            found = ticking.schedule_of(kept)
            # Of the other schedule an hour's ticks would fire, which takes long and shows no more.
            by = self._clock.wall() if found.missed is Missed.LATEST else now
            await self._decide(kept, found, by)
        return 0

    patch.setattr(ticking.Ticker, "_look", look)


def pauses_not_heard_of(patch: Patch) -> None:
    """A worker looks for pauses as it starts, and no more."""
    looking = Pauses.look

    async def look(self: Pauses) -> None:
        if not self.__dict__.get("looked"):
            self.__dict__["looked"] = True
            await looking(self)
        else:
            await self._store.pauses()

    patch.setattr(Pauses, "look", look)


def pauses_not_heeded(patch: Patch) -> None:
    """A worker knows of pauses, and takes up paused work all the same."""
    patch.setattr(Pauses, "hold", lambda *_: False)
    patch.setattr(Pauses, "keys", lambda *_: frozenset())


def paused_attempts_go_on_failing(patch: Patch) -> None:
    """What is stopped waits for its next attempt in its place, and makes it."""

    def set_working(self: Lane, working: bool) -> None:
        self.working = working

    patch.setattr(Lane, "_set_working", set_working)


def ack_before_commit(patch: Patch) -> None:
    """A delivery is acked as soon as work on it begins, and nobody misses it."""
    nothing_published_again(patch)
    careful = Lane._take

    async def take(self: Lane, pending: PendingDelivery) -> None:
        if isinstance(pending.job, Job):
            await pending.settle(Receipt(pending.job.envelope.id, "early"))
        await careful(self, pending)

    patch.setattr(Lane, "_take", take)


def ended_jobs_stay_where_they_were(patch: Patch) -> None:
    """What ends a job leaves its entries to the relay and to the partition's leader, as it once was."""

    def leave(transaction: Transaction, id: str, number: int, entry: int | None) -> None:
        transaction.notify(job_topic(id))

    patch.setattr(ending, "leave", leave)


def delays_kept_by_the_worker(patch: Patch) -> None:
    """The store does not keep when a failed job is due again, so a delay ends with the worker that waits for it."""
    keeping = fail.fail

    def forgetful(
        transaction: Transaction, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float
    ) -> int | Refused:
        return keeping(transaction, envelope, fence, failure, retry_in=0.0)

    patch.setattr(fail, "fail", forgetful)


def changes_not_announced(patch: Patch) -> None:
    """Another number of partitions is begun with at once: some publish by the old one, some not at all."""
    patch.setattr(Layout, "announced", Layout.changed)


def opened_without_looking(patch: Patch) -> None:
    """After a change, all publish as soon as nobody has left anything in the outbox, as far as one can see."""

    def swept(self: Layout, index: int) -> Layout:
        return replace(self, gathered=self.gathered - {index})

    patch.setattr(Layout, "swept", swept)


# ---- the proof ---------------------------------------------------------------------------------------------------


# ---- groups ------------------------------------------------------------------------------------------------------


def settled_one_member_early(patch: Patch) -> None:
    """A group does not wait for its last member."""
    closing = job_groups._close

    def close(transaction: Transaction, id: str, *args: Any, **kwargs: Any) -> None:
        closing(transaction, id, *args, **kwargs)
        transaction.execute("UPDATE job_groups SET unended = unended - 1 WHERE id = ? AND unended > 1", (id,))

    patch.setattr(job_groups, "_close", close)


def _uncounted(patch: Patch, becomes: str) -> None:
    counting = job_groups.count

    def count(transaction: Transaction, group: str | None, was: str | None, state: str, *source: Any) -> Any:
        return [] if state == becomes else counting(transaction, group, was, state, *source)

    patch.setattr(job_groups, "count", count)


def dead_members_not_counted(patch: Patch) -> None:
    """Whoever dies says nothing to its group."""
    _uncounted(patch, "dead")


def cancelled_members_not_counted(patch: Patch) -> None:
    """Whoever is cancelled says nothing to its group."""
    _uncounted(patch, "cancelled")


def groups_that_failed_run(patch: Patch) -> None:
    """What the author wants done where members fail is not asked."""
    closing = job_groups._close

    def close(transaction: Transaction, id: str, *args: Any, **kwargs: Any) -> None:
        closing(transaction, id, *args, **kwargs)
        transaction.execute("UPDATE job_groups SET on_failure = 'run' WHERE id = ?", (id,))

    patch.setattr(job_groups, "_close", close)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A protection taken away, and the invariants of which at least one must then be seen to break.

    `seed` is where it was seen last: the search begins there, so that it costs no more than two schedules.
    """

    name: str
    remove: Callable[[Patch], None]
    breaks: Sequence[str]
    schedule: Schedule = DEFAULT
    clock_of: Callable[[VirtualClock], Clock] | None = None
    seed: int = 0


# Writes that come when somebody else has begun, and takes long.
STALE_WRITES = Schedule(troubles=(("late write", 1),), every=2.0, long_jobs=0.7)

# Wall clocks that jump while leases cannot be renewed.
JUMPING_CLOCKS = Schedule(troubles=(("wall clock", 2), ("cut", 1), ("slow coordinator", 1)), every=1.0)
# A coordinator that forgets, and workers that come and go.
FORGETTING = Schedule(troubles=(("prune", 1), ("crash", 1), ("restart", 1)))

# Much that is cancelled, and much of it while it runs.
CANCELLING = Schedule(cancels=0.5, long_jobs=0.5)

# Loose jobs of two tenants, of whom each has few places.
TENANTED = Schedule(storm=20.0, jobs=30, keys=6, tenanted=1.0, every=10.0, cancels=0.4, unique=0.0)

# Many loose jobs, many of which are given another priority while they wait.
REPRIORITIZING = Schedule(jobs=60, every=10.0, storm=30.0, reprioritized=0.9)

# Much that is paused, on a network that is well.
PAUSING = Schedule(troubles=(("pause work", 3), ("restart", 1)), every=2.0, heard_within=3.0)
# Leaders that stop at a tick, and go on when others have taken over; people who pause the schedule meanwhile.
TICKING = Schedule(
    troubles=(("pause a schedule", 3), ("late write", 2), ("crash at a step", 1), ("bad weather", 1)),
    every=2.0,
    jobs=10,
    ticking=1.0,
)
# Jobs of many keys, many of which outlive a lease.
CROWDED = Schedule(keys=6, jobs=60, long_jobs=0.5, troubles=(("pause", 1), ("restart", 1)))

# Jobs most of which make groups, of whose members some are cancelled.
FANNING_OUT = Schedule(groups=0.6, cancels=0.3, unique=0.0, jobs=12, storm=20.0)
# Much that is submitted while numbers of partitions change, and nothing else that would put it out of order.
CHANGING = Schedule(plain=True, jobs=300, troubles=(("change partitions", 1),), every=12.0, cancels=0.0)
# Jobs that keep what they have done, and workers that stop.
KEEPING = Schedule(
    storm=20.0,
    jobs=8,
    keys=2,
    keeping=1.0,
    long_jobs=0.5,
    unique=0.0,
    ticking=0.0,
    troubles=(("pause at a step", 1), ("crash", 1)),
    every=2.0,
)

MUTATIONS = (
    Mutation("no fence check", no_fence_check_at_all, ("fencing",), seed=2),
    Mutation("no fence check in open", no_fence_check_in_open, ("fencing",), seed=2),
    Mutation("commit without verify", commit_without_verify, ("fencing",), STALE_WRITES, seed=2),
    Mutation("finished ids forgotten", finished_ids_forgotten, ("single-effect",)),
    Mutation("cancelled ids forgotten", cancelled_ids_forgotten, ("cancelled",), CANCELLING, seed=14),
    Mutation("failures cost what is kept", failures_cost_what_is_kept, ("kept",), KEEPING),
    Mutation("kept work stays behind", kept_work_stays_behind, ("bounded",), KEEPING),
    Mutation("nothing looked for", nothing_looked_for, ("kept",), KEEPING),
    Mutation("cancelled turns kept", cancelled_turns_kept, ("progress",), CANCELLING),
    Mutation("messages of another priority", messages_of_another_priority_good, ("priority",), REPRIORITIZING, seed=6),
    Mutation("due three seconds early", due_three_seconds_early, ("later",), seed=1),
    Mutation("revisions not compared", revisions_not_compared, ("paused",), TICKING),
    Mutation("neither revisions nor tick ids", revisions_and_tick_ids_missing, ("ticks",), TICKING),
    Mutation("due by the worker's clock", due_by_the_workers_clock, ("later",), TICKING),
    Mutation("names held by many", names_held_by_many, ("unique",)),
    Mutation("replaced jobs go on", replaced_jobs_go_on, ("unique",), seed=1),
    Mutation("places not counted", places_not_counted, ("tenants",), TENANTED),
    Mutation("places kept by the dead", places_kept_by_the_dead, ("tenants",), TENANTED),
    Mutation("gaps ignored", gaps_ignored, ("order",), seed=1),
    Mutation("check-then-delete release", check_then_delete_release, ("no-lease-no-work",)),
    Mutation("token restarts at 1", tokens_restart_at_one, ("fencing",)),
    Mutation("floor ignored", floor_ignored, ("fencing", "progress"), FORGETTING),
    Mutation("limits not looked at", limits_not_looked_at, ("limits",), CROWDED, seed=3),
    Mutation("limits not renewed", limits_not_renewed, ("limits",), CROWDED, seed=3),
    Mutation("starts given back", starts_given_back, ("limits",), CROWDED, seed=4),
    Mutation("wall clock", nothing_patched, ("no-lease-no-work",), JUMPING_CLOCKS, WallClock),
    Mutation("proceed without lease", proceed_without_lease, ("no-lease-no-work",), seed=2),
    Mutation("deadlines not enforced", deadlines_not_enforced, ("no-lease-no-work",), seed=4),
    Mutation("ended jobs stay where they were", ended_jobs_stay_where_they_were, ("ended",)),
    Mutation("nothing published again", nothing_published_again, ("nothing-lost",), seed=1),
    Mutation("delays kept by the worker", delays_kept_by_the_worker, ("backoff",), seed=3),
    Mutation("pauses not heard of", pauses_not_heard_of, ("paused",), PAUSING),
    Mutation("pauses not heeded", pauses_not_heeded, ("paused",), PAUSING),
    Mutation("paused attempts go on failing", paused_attempts_go_on_failing, ("paused",), PAUSING, seed=4),
    Mutation("groups settled one member early", settled_one_member_early, ("groups",), FANNING_OUT, seed=3),
    Mutation("dead members not counted", dead_members_not_counted, ("progress", "nothing-lost"), FANNING_OUT),
    Mutation(
        "cancelled members not counted",
        cancelled_members_not_counted,
        ("progress", "nothing-lost"),
        FANNING_OUT,
        seed=13,
    ),
    Mutation("groups that failed run", groups_that_failed_run, ("nothing-lost",), FANNING_OUT),
    Mutation("changes not announced", changes_not_announced, ("order",), CHANGING, seed=3),
    Mutation("opened without looking", opened_without_looking, ("order",), CHANGING, seed=1),
    Mutation("ack before commit", ack_before_commit, ("nothing-lost",)),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    changes: dict[str, Any] = {} if mutation.clock_of is None else {"clock_of": mutation.clock_of}
    for seed in itertools.chain([mutation.seed], range(MOST_SEEDS)):
        with monkeypatch.context() as patch:
            mutation.remove(patch)
            without = simulate(seed, mutation.schedule, **changes)
        if without.broken & set(mutation.breaks):
            if "CAMPAIGN" in os.environ:
                sound = simulate(seed, mutation.schedule)
                assert not sound.broken, sound.report()
            return
    pytest.fail(f"{MOST_SEEDS} schedules without this protection ({mutation.name}) broke none of {mutation.breaks}")


@pytest.mark.parametrize("remove", [revisions_not_compared, ticks_without_ids], ids=lambda remove: remove.__name__)
def test_a_tick_fires_once_where_one_of_its_two_walls_is_left(remove: Callable[[Patch], None]) -> None:
    for seed in range(SEEDS_WITH_ONE_WALL):
        with pytest.MonkeyPatch.context() as patch:
            remove(patch)
            outcome = simulate(seed, TICKING)
        assert "ticks" not in outcome.broken, outcome.report()
