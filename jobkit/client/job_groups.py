"""Groups of jobs, from programs: declared in pages, and cancelled in pages.

A group that needs more than one transaction is held: no member of it begins before the last is there. A program that
ends before leaves nothing behind but what workers drop after an hour; one that submits the same again goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobkit.errors import JobNotFound
from jobkit.model.job_group import OnFailure
from jobkit.plugin import job_groups
from jobkit.ports.groups import MEMBERS_AT_ONCE, GroupRecord
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import NewJob, Store


def pages(members: Sequence[NewJob], then: NewJob, on_failure: OnFailure) -> Iterator[list[NewJob]]:
    """Yield what to submit in one transaction each, `then` first. Raises `ValueError` where it makes no group."""
    held = len(members) > MEMBERS_AT_ONCE
    closing = job_groups.closing(then, len(members), on_failure, held=held)
    jobs = job_groups.joined(members, closing.envelope.id, held=held)
    for start in range(0, len(jobs), MEMBERS_AT_ONCE):
        yield [closing, *jobs[start : start + MEMBERS_AT_ONCE]]


async def found_group(store: Store, id: str) -> GroupRecord:
    """Return what the store knows of a group. Raises `JobNotFound` where no job of that id closes one."""
    group = await store.group(id)
    if group is None:
        raise JobNotFound(f"no group {id!r}: no such job closes one, or it was forgotten after its retention")
    return group


async def cancel(store: Store, inspection: Inspection, id: str, *, by: str, reason: str) -> int:
    """Cancel what is left of a group, and of the groups within it; return how many jobs. Raises `Unavailable`.

    Each page is one transaction. A member that makes a group meanwhile, and so ends, is followed by it in the order.
    """
    # First, so that the end of the last member does not release it.
    cancelled = sum(answer.cancelled for answer in await inspection.cancel([id], by=by, reason=reason))
    after = 0
    while page := await store.members(id, after=after):
        after = page[-1].number
        for member in page:
            if member.closes:
                cancelled += await cancel(store, inspection, member.id, by=by, reason=reason)
        left = [member.id for member in page if not member.closes and not member.state.ended]
        if left:
            cancelled += sum(answer.cancelled for answer in await inspection.cancel(left, by=by, reason=reason))
    return cancelled
