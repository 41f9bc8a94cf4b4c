"""Why a job has not been done yet, in words for somebody who knows none of ours.

It only looks, and at little: at the job, at what stands before it on its key, and at who could run it. A plane that is
out of reach is a reason itself, and hides no other.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.model.clock import Clock
from jobkit.ops.lateness.any_job import backends_away, failed_before, nobody_serves
from jobkit.ops.lateness.reason import Cause, Reason, attempts, span
from jobkit.ops.lateness.seen import Seen, look
from jobkit.ops.lateness.waits import why_it_waits
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.planes import Planes


async def why_late(planes: Planes, job: JobRecord, *, partitions: int, clock: Clock) -> Sequence[Reason]:
    """Return why `job` has not been done yet, what blocks it first; never nothing.

    Raises `Unavailable` where the store is away: without it nothing is known of any job.
    """
    now = clock.wall()
    if job.state.ended:
        return [_ended(job)]
    seen = await look(planes, job, partitions)
    if job.state is JobState.SCHEDULED:
        found = await _scheduled(planes, job, seen, now)
    elif job.state is JobState.RUNNING:
        found = _running(job, seen, now)
    else:
        found = await why_it_waits(planes, job, seen, partitions)
    return sorted(found, key=lambda reason: not reason.blocks)


def _ended(job: JobRecord) -> Reason:
    match job.state:
        case JobState.COMMITTED:
            return Reason(Cause.ENDED, "It is not late: it is done, and its result is kept.")
        case JobState.DEAD:
            failed = f" after {attempts(job.failures[-1].attempt)}" if job.failures else ""
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


async def _scheduled(planes: Planes, job: JobRecord, seen: Seen, now: float) -> list[Reason]:
    if job.due_at is None:
        return await _members(planes, job)
    late = now - job.due_at
    if late < 0:
        return [Reason(Cause.DUE_LATER, f"It is not due yet: it is to begin in {span(-late)}.")]
    found = [
        *backends_away(seen),
        *nobody_serves(job, seen),
        Reason(
            Cause.DUE_LATER,
            f"It has been due for {span(late)}, and no worker has put it into its queue yet.",
            "Any live worker does that within seconds.",
        ),
    ]
    return [*found, *failed_before(job)]


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


def _running(job: JobRecord, seen: Seen, now: float) -> list[Reason]:
    since = f" for {span(now - job.started_at)}" if job.started_at else ""
    if seen.lease is None:
        return [*backends_away(seen), Reason(Cause.RUNNING, f"It runs{since} on {job.owner}, as far as is known.")]
    holder = next((one for one in seen.lease if one.resource == f"{job.type}/{job.key}"), None)
    if holder is None:
        text = f"The worker that began it, {job.owner}, does not hold the key any more: it was killed or cut off."
        change = "The next worker takes the job over by itself within seconds, if one serves this type."
        return [*backends_away(seen), *nobody_serves(job, seen), Reason(Cause.TAKE_OVER, text, change)]
    if holder.owner != job.owner:
        text = f"{holder.owner} holds the key now, and takes the job over from {job.owner}, which was lost."
        return [*backends_away(seen), Reason(Cause.TAKE_OVER, text)]
    progress = f", {job.progress:.0%} done" if job.progress else ""
    message = f" ({job.message})" if job.message else ""
    return [
        *backends_away(seen),
        *failed_before(job),
        Reason(Cause.RUNNING, f"It runs{since} on {job.owner}{progress}{message}."),
    ]
