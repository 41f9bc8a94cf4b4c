"""Why a job has not been done yet, in words for somebody who knows none of ours.

It only looks, and at little: at the job, at what stands before it on its key, and at who could run it. A plane that is
out of reach is a reason itself, and hides no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.partition import Partition, partition_of
from jobkit.model.pause import Pause, pause_of
from jobkit.model.plane import Plane
from jobkit.ops.reason import Cause, Reason
from jobkit.ports.broker import QueueDepth
from jobkit.ports.coordinator import LeaseInfo, Member
from jobkit.ports.inspection import JobRecord, JobState, KeyRecord
from jobkit.ports.limits import LimitInfo, Waiting
from jobkit.ports.planes import Planes

T = TypeVar("T")

# A backend that takes longer is away, as far as whoever looks is concerned.
_PATIENCE_SECONDS = 5.0
# So many jobs that have not reached their queue are looked through for this one.
_OUTBOX_LOOKED_AT = 500
# What is younger than this is on its way.
_UNPUBLISHED_SECONDS = 2.0
# So many dead jobs of a key are looked through for the one that it waits for.
_DEAD_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was to be seen; None where the plane that knows is away."""

    pauses: Sequence[Pause]
    key: KeyRecord | None
    members: Sequence[Member] | None
    leader: Sequence[LeaseInfo] | None
    lease: Sequence[LeaseInfo] | None
    waiting: Sequence[Waiting] | None
    depths: Sequence[QueueDepth] | None
    away: dict[Plane, str]

    def depth(self, partition: Partition) -> QueueDepth | None:
        return next((one for one in self.depths or () if one.partition == partition), None)


async def why_late(planes: Planes, job: JobRecord, *, partitions: int, clock: Clock) -> Sequence[Reason]:
    """Return why `job` has not been done yet, what blocks it first; never nothing.

    Raises `Unavailable` where the store is away: without it nothing is known of any job.
    """
    now = clock.wall()
    if job.state.ended:
        return [_ended(job)]
    seen = await _look(planes, job, partitions)
    if job.state is JobState.SCHEDULED:
        found = await _scheduled(planes, job, seen, now)
    elif job.state is JobState.RUNNING:
        found = _running(job, seen, now)
    else:
        found = await _waits(planes, job, seen, partitions)
    return sorted(found, key=lambda reason: not reason.blocks)


async def _look(planes: Planes, job: JobRecord, partitions: int) -> _Seen:
    away: dict[Plane, str] = {}
    coordinator = planes.coordinator
    leader = Partition(job.type, partition_of(job.key, partitions)).resource

    async def told(asked: Awaitable[T], plane: Plane) -> T | None:
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                return await asked
        except (Unavailable, TimeoutError) as error:
            away.setdefault(plane, str(error) or f"no answer within {_PATIENCE_SECONDS:g} s")
            return None

    members = await told(coordinator.members(), Plane.COORDINATOR)
    up = Plane.COORDINATOR not in away
    return _Seen(
        await planes.store.pauses(),
        await planes.inspection.key(job.type, job.key),
        members,
        await told(coordinator.leases(leader), Plane.COORDINATOR) if up else None,
        await told(coordinator.leases(f"{job.type}/{job.key}"), Plane.COORDINATOR) if up else None,
        await told(coordinator.waiting(), Plane.COORDINATOR) if up else None,
        await told(planes.broker.depths(), Plane.BROKER),
        away,
    )


def _ended(job: JobRecord) -> Reason:
    match job.state:
        case JobState.COMMITTED:
            return Reason(Cause.ENDED, "It is not late: it is done, and its result is kept.")
        case JobState.DEAD:
            failed = f" after {_attempts(job.failures[-1].attempt)}" if job.failures else ""
            last = f": {job.failures[-1].error}" if job.failures else ""
            return Reason(
                Cause.ENDED,
                f"It was given up{failed}{last}",
                "Mend the cause, then try it again from the dead letters.",
                f"jobkit dead requeue {job.id}",
                blocks=True,
            )
        case JobState.CANCELLED:
            return Reason(Cause.ENDED, f"It was cancelled by {job.ended_by}: {job.reason or 'no reason given'}.")
        case _:
            return Reason(Cause.ENDED, "It had not begun in the time that it was given, and has expired.")


async def _scheduled(planes: Planes, job: JobRecord, seen: _Seen, now: float) -> list[Reason]:
    if job.waits_for_place:
        return [*_nobody(job, seen), _tenants_turn(job)]
    if job.due_at is None:
        return await _members(planes, job)
    late = now - job.due_at
    if late < 0:
        return [Reason(Cause.DUE_LATER, f"It is not due yet: it is to begin in {_span(-late)}.")]
    found = [
        *_backends(seen),
        *_nobody(job, seen),
        Reason(
            Cause.DUE_LATER,
            f"It has been due for {_span(late)}, and no worker has put it into its queue yet.",
            "Any live worker does that within seconds.",
        ),
    ]
    return [*found, *_failed_before(job)]


def _tenants_turn(job: JobRecord) -> Reason:
    text = (
        f"Tenants take turns: all places of {job.tenant!r} are taken by jobs that are in the queue or run, and this "
        "one stands in line for the next."
    )
    change = "It follows by itself as those before it end. Its type may give each tenant more places."
    return Reason(Cause.TENANT, text, change)


async def _members(planes: Planes, job: JobRecord) -> list[Reason]:
    """Say what a job waits for that has no time of its own: the members of its group."""
    tree = f"jobkit status --tree {job.id}"
    closed = await planes.store.group(job.id)
    if closed is not None and closed.declared and not closed.unended:
        return [
            Reason(
                Cause.MEMBERS,
                f"It begins once all members of its group have ended well, and {closed.dead} of {closed.members} died.",
                "Mend the cause, and try those again from the dead letters; or cancel this job.",
                tree,
                blocks=True,
            )
        ]
    if closed is not None and closed.declared:
        left = f"{closed.unended} of {closed.members} have not"
        return [Reason(Cause.MEMBERS, f"It begins once all members of its group have ended: {left}.", "", tree)]
    text = (
        f"It begins once all of its group {job.group or job.id!r} is accepted: whoever submits that is not through yet."
    )
    return [Reason(Cause.MEMBERS, text, "What is left undeclared for an hour is cancelled.", tree)]


def _running(job: JobRecord, seen: _Seen, now: float) -> list[Reason]:
    since = f" for {_span(now - job.started_at)}" if job.started_at else ""
    if seen.lease is None:
        return [*_backends(seen), Reason(Cause.RUNNING, f"It runs{since} on {job.owner}, as far as is known.")]
    holder = next((one for one in seen.lease if one.resource == f"{job.type}/{job.key}"), None)
    if holder is None:
        text = f"The worker that began it, {job.owner}, does not hold the key any more: it was killed or cut off."
        change = "The next worker takes the job over by itself within seconds, if one serves this type."
        return [*_backends(seen), *_nobody(job, seen), Reason(Cause.TAKE_OVER, text, change)]
    if holder.owner != job.owner:
        text = f"{holder.owner} holds the key now, and takes the job over from {job.owner}, which was lost."
        return [*_backends(seen), Reason(Cause.TAKE_OVER, text)]
    progress = f", {job.progress:.0%} done" if job.progress else ""
    message = f" ({job.message})" if job.message else ""
    return [
        *_backends(seen),
        *_failed_before(job),
        Reason(Cause.RUNNING, f"It runs{since} on {job.owner}{progress}{message}."),
    ]


async def _waits(planes: Planes, job: JobRecord, seen: _Seen, partitions: int) -> list[Reason]:
    partition = Partition(job.type, partition_of(job.key, partitions))
    found = [
        *_paused(job, seen, partitions),
        *await _gap(planes, job, seen),
        *await _limit(planes, job, seen),
        *_nobody(job, seen),
        *_backends(seen),
        *await _unpublished(planes, job, seen),
        *_failed_before(job),
    ]
    if not any(reason.blocks for reason in found):
        found += [*_leaderless(partition, seen), *await _earlier(planes, job, seen)]
    return found or [_in_line(partition, seen)]


def _paused(job: JobRecord, seen: _Seen, partitions: int) -> list[Reason]:
    pause = pause_of(seen.pauses, job.type, job.key, partitions)
    if pause is None:
        return []
    scope = pause.scope
    if scope.key is not None:
        what, option = f"Its key {scope.key!r} is", f" --key {scope.key!r}"
    elif scope.partition is not None:
        what, option = f"Partition {scope.partition} of {scope.type} is", f" --partition {scope.partition}"
    else:
        what, option = f"All jobs of its type, {scope.type}, are", ""
    why = f": {pause.reason}" if pause.reason else ", without a reason"
    return [
        Reason(
            Cause.PAUSED,
            f"{what} paused. {pause.by} did that{why}.",
            "Resume it when the reason is gone.",
            f"jobkit resume {scope.type}{option}",
            blocks=True,
            target={"type": scope.type, "partition": scope.partition, "key": scope.key},
        )
    ]


async def _gap(planes: Planes, job: JobRecord, seen: _Seen) -> list[Reason]:
    """Say what an ordered key waits for that will not come by itself."""
    expected = None if seen.key is None else seen.key.committed_sequence + 1
    if job.sequence is None or expected is None or job.sequence <= expected:
        return []
    dead = await planes.inspection.jobs(type=job.type, key=job.key, state=JobState.DEAD, limit=_DEAD_LOOKED_AT)
    before = next((one for one in dead if one.sequence == expected), None)
    order = f"Jobs of the key {job.key!r} are done in order. This one is number {job.sequence}"
    skip = f"jobkit gaps skip {job.type} {job.key!r} --before {expected + 1}"
    if before is not None:
        return [
            Reason(
                Cause.GAP,
                f"{order}, and number {expected}, the job {before.id}, was given up: nothing behind it can begin.",
                "Try that job again from the dead letters, or give it up for good and go on without it.",
                f"jobkit dead requeue {before.id}   or   {skip}",
                blocks=True,
                target={"id": before.id},
            )
        ]
    if job.state is JobState.PARKED:
        return [
            Reason(
                Cause.GAP,
                f"{order}, and number {expected} is missing: it never came. The key stands still until it does.",
                "If it can come no more, give it up and go on without it.",
                skip,
                blocks=True,
            )
        ]
    return []


async def _limit(planes: Planes, job: JobRecord, seen: _Seen) -> list[Reason]:
    """Say which limit keeps this job, or those before it, from beginning."""
    leader = seen.leader[0].owner if seen.leader else None
    for one in seen.waiting or ():
        ours = job.id in one.ids
        if not ours and one.owner != leader:
            continue
        info = await _limit_info(planes, one.bucket)
        used = "is used up" if info is None else f"allows {_allowed(info)}, and {_in_use(info.used)}"
        holders = f" by {', '.join(info.holders[:5])}" if info is not None and info.holders else ""
        text = f"The limit {one.bucket!r} {used}{holders}."
        if ours:
            text = f"{text} This job waits for it, with {_others(one.number - 1)}." if one.number > 1 else text
        else:
            text = f"{text} {one.number} jobs wait for it at the worker that this job waits for, too."
        change = (
            "It goes on as soon as one of those ends. Raise the limit where its type is declared, if it is too low."
        )
        return [Reason(Cause.LIMIT, text, change, f"jobkit limits --prefix {one.bucket!r}", blocks=ours)]
    return []


async def _limit_info(planes: Planes, bucket: str) -> LimitInfo | None:
    try:
        found = await planes.coordinator.limits(bucket)
    except Unavailable:
        # Who waits is known; how much is taken is only told besides.
        return None
    return next((info for info in found if info.limit.bucket == bucket), None)


def _attempts(count: int) -> str:
    return "a failed attempt" if count == 1 else f"{count} failed attempts"


def _in_use(count: int) -> str:
    return "1 is in use" if count == 1 else f"{count} are in use"


def _others(count: int) -> str:
    return "one other" if count == 1 else f"{count} others"


def _allowed(info: LimitInfo) -> str:
    limit = info.limit
    return f"{limit.count} at once" if limit.per is None else f"{limit.count} in {limit.per:g} s"


def _nobody(job: JobRecord, seen: _Seen) -> list[Reason]:
    if seen.members is None or any(job.type in member.types for member in seen.members):
        return []
    alive = len(seen.members)
    others = "No worker is alive" if not alive else "No worker that is alive serves"
    text = f"{others}{'' if alive else ', so nobody serves'} the type {job.type!r}."
    return [Reason(Cause.NO_WORKER, text, "Start one.", f"jobkit worker {job.type}", blocks=True)]


def _backends(seen: _Seen) -> list[Reason]:
    what = {
        Plane.BROKER: "The broker, which hands jobs to workers, is out of reach",
        Plane.COORDINATOR: "The coordinator, which says who may work, is out of reach",
    }
    change = "Nothing is lost: the store keeps every job, and work goes on when it is back."
    return [
        Reason(Cause.BACKEND_AWAY, f"{what[plane]}: {error}", change, "jobkit doctor", blocks=True)
        for plane, error in seen.away.items()
    ]


async def _unpublished(planes: Planes, job: JobRecord, seen: _Seen) -> list[Reason]:
    for entry in await planes.store.outbox(older_than=_UNPUBLISHED_SECONDS, limit=_OUTBOX_LOOKED_AT):
        if entry.envelope.id == job.id:
            text = "It has not reached its queue yet: the broker has not confirmed that it has it."
            change = "A live worker hands it over again, and again, until the broker does."
            return [Reason(Cause.UNPUBLISHED, text, change, blocks=Plane.BROKER in seen.away)]
    return []


def _failed_before(job: JobRecord) -> list[Reason]:
    if not job.failures:
        return []
    last = job.failures[-1]
    tries = "once" if last.attempt == 1 else f"{last.attempt} times"
    return [
        Reason(
            Cause.FAILED_BEFORE,
            f"It has failed {tries}, the last time with: {last.error}",
            "It is tried again by itself, after a while that grows with each attempt.",
        )
    ]


def _leaderless(partition: Partition, seen: _Seen) -> list[Reason]:
    if seen.leader is None or any(lease.resource == partition.resource for lease in seen.leader):
        return []
    text = f"No worker takes jobs from its queue, partition {partition}, just now."
    return [Reason(Cause.NO_LEADER, text, "One takes it within seconds; if not, look at the workers' logs.")]


async def _earlier(planes: Planes, job: JobRecord, seen: _Seen) -> list[Reason]:
    running = await planes.inspection.jobs(type=job.type, key=job.key, state=JobState.RUNNING, limit=1)
    if running:
        text = f"Jobs of the key {job.key!r} run one after another, and {running[0].id} runs now on {running[0].owner}."
        return [Reason(Cause.EARLIER_JOBS, text)]
    if job.sequence is not None and seen.key is not None and (n := job.sequence - seen.key.committed_sequence - 1) > 0:
        first = "An earlier job" if n == 1 else f"{n} earlier jobs"
        return [Reason(Cause.EARLIER_JOBS, f"{first} of the key {job.key!r} will be done first.")]
    return []


def _in_line(partition: Partition, seen: _Seen) -> Reason:
    depth = seen.depth(partition)
    leader = f", which {seen.leader[0].owner} works off" if seen.leader else ""
    waiting = "it is in line" if depth is None else f"jobs in its queue and in its worker's hands: {depth.ready}"
    text = f"Nothing is wrong with it: {waiting} (partition {partition}{leader})."
    return Reason(Cause.IN_LINE, text, "More workers, or a higher JOBKIT_CONCURRENCY, get through the queue sooner.")


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
