"""What a queued or parked job waits for: a pause, a gap, a limit, earlier jobs, or just its turn."""

from __future__ import annotations

from jobkit.errors import Unavailable
from jobkit.model.job_filter import JobFilter
from jobkit.model.partition import Partition, partition_of
from jobkit.model.pause import pause_of
from jobkit.model.plane import Plane
from jobkit.ops.lateness.any_job import backends_away, failed_before, nobody_serves
from jobkit.ops.lateness.reason import Cause, Reason, allowed, in_use, others
from jobkit.ops.lateness.seen import Seen
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.limits import LimitInfo
from jobkit.ports.planes import Planes

# So many jobs that have not reached their queue are looked through for this one.
_OUTBOX_LOOKED_AT = 500
# What is younger than this is on its way.
_UNPUBLISHED_SECONDS = 2.0
# So many dead jobs of a key are looked through for the one that it waits for.
_DEAD_LOOKED_AT = 100


async def why_it_waits(planes: Planes, job: JobRecord, seen: Seen, partitions: int) -> list[Reason]:
    """Return what a job that is in line, or parked, waits for; never nothing."""
    partition = Partition(job.type, partition_of(job.key, partitions))
    found = [
        *_paused(job, seen, partitions),
        *await _gap(planes, job, seen),
        *await _limit(planes, job, seen),
        *nobody_serves(job, seen),
        *backends_away(seen),
        *await _unpublished(planes, job, seen),
        *failed_before(job),
    ]
    if not any(reason.blocks for reason in found):
        found += [*_leaderless(partition, seen), *await _earlier(planes, job, seen)]
    return found or [_in_line(partition, seen)]


def _paused(job: JobRecord, seen: Seen, partitions: int) -> list[Reason]:
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


async def _gap(planes: Planes, job: JobRecord, seen: Seen) -> list[Reason]:
    """Say what an ordered key waits for that will not come by itself."""
    expected = None if seen.key is None else seen.key.committed_sequence + 1
    if job.sequence is None or expected is None or job.sequence <= expected:
        return []
    wanted = JobFilter(job.type, job.key, JobState.DEAD)
    dead = await planes.inspection.find(wanted, limit=_DEAD_LOOKED_AT)
    before = next((one for one in dead.jobs if one.sequence == expected), None)
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


async def _limit(planes: Planes, job: JobRecord, seen: Seen) -> list[Reason]:
    """Say which limit keeps this job, or those before it, from beginning."""
    leader = seen.leader[0].owner if seen.leader else None
    for one in seen.waiting or ():
        ours = job.id in one.ids
        if not ours and one.owner != leader:
            continue
        info = await _limit_info(planes, one.bucket)
        used = "is used up" if info is None else f"allows {allowed(info)}, and {in_use(info.used)}"
        holders = f" by {', '.join(info.holders[:5])}" if info is not None and info.holders else ""
        text = f"The limit {one.bucket!r} {used}{holders}."
        if ours:
            text = f"{text} This job waits for it, with {others(one.number - 1)}." if one.number > 1 else text
        else:
            text = f"{text} {one.number} jobs wait for it at the worker that this job waits for, too."
        change = (
            "It goes on as soon as one of those ends. Raise the limit where its type is declared, if it is too low."
        )
        return [Reason(Cause.LIMIT, text, change, f"jobkit limits --prefix {one.bucket!r}", blocks=ours)]
    return []


async def _limit_info(planes: Planes, bucket: str) -> LimitInfo | None:
    try:
        found = await planes.coordinator.limits(bucket, limit=1)
    except Unavailable:
        # Who waits is known; how much is taken is only told besides.
        return None
    return next((info for info in found if info.limit.bucket == bucket), None)


async def _unpublished(planes: Planes, job: JobRecord, seen: Seen) -> list[Reason]:
    for entry in await planes.store.outbox(older_than=_UNPUBLISHED_SECONDS, limit=_OUTBOX_LOOKED_AT):
        if entry.envelope.id == job.id:
            text = "It has not reached its queue yet: the broker has not confirmed that it has it."
            change = "A live worker hands it over again, and again, until the broker does."
            return [Reason(Cause.UNPUBLISHED, text, change, blocks=Plane.BROKER in seen.away)]
    return []


def _leaderless(partition: Partition, seen: Seen) -> list[Reason]:
    if seen.leader is None or any(lease.resource == partition.resource for lease in seen.leader):
        return []
    text = f"No worker takes jobs from its queue, partition {partition}, just now."
    return [Reason(Cause.NO_LEADER, text, "One takes it within seconds; if not, look at the workers' logs.")]


async def _earlier(planes: Planes, job: JobRecord, seen: Seen) -> list[Reason]:
    running = await planes.inspection.running([(job.type, job.key)])
    if running:
        text = f"Jobs of the key {job.key!r} run one after another, and {running[0].id} runs now on {running[0].owner}."
        return [Reason(Cause.EARLIER_JOBS, text)]
    if job.sequence is not None and seen.key is not None and (n := job.sequence - seen.key.committed_sequence - 1) > 0:
        first = "An earlier job" if n == 1 else f"{n} earlier jobs"
        return [Reason(Cause.EARLIER_JOBS, f"{first} of the key {job.key!r} will be done first.")]
    return []


def _in_line(partition: Partition, seen: Seen) -> Reason:
    depth = seen.depth(partition)
    leader = f", which {seen.leader[0].owner} works off" if seen.leader else ""
    waiting = "it is in line" if depth is None else f"jobs in its queue and in its worker's hands: {depth.ready}"
    text = f"Nothing is wrong with it: {waiting} (partition {partition}{leader})."
    return Reason(Cause.IN_LINE, text, "More workers, or a higher JOBKIT_CONCURRENCY, get through the queue sooner.")
