"""Groups of jobs as authors make them: members, and the job that runs once all of them have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobkit.errors import JobkitError
from jobkit.model.job_group import WHEN_RELEASED, NewGroup, OnFailure
from jobkit.ports.store import NewJob


class GroupAwaited(JobkitError):
    """Raised by `ctx.await_group`: the attempt ends here, and the job begins again once the members have ended."""

    def __init__(self, members: Sequence[NewJob], on_failure: OnFailure) -> None:
        super().__init__(f"the job waits for a group of {len(members)}: let this pass, the worker takes it from here")
        self.members = members
        self.on_failure = on_failure


def closing(then: NewJob, members: int, on_failure: OnFailure, *, held: bool = False) -> NewJob:
    """Return the job that closes a group of so many members. Raises `ValueError` where it cannot."""
    _refuse_more(then, "the job that closes a group")
    return replace(then, at=WHEN_RELEASED, closes=NewGroup(members, on_failure, held))


def joined(members: Sequence[NewJob], group: str, *, held: bool = False) -> list[NewJob]:
    """Return jobs as members of a group. Raises `ValueError` where one of them cannot be."""
    for job in members:
        _refuse_more(job, "a member of a group")
    return [replace(job, member_of=group, at=WHEN_RELEASED if held else None) for job in members]


def _refuse_more(job: NewJob, what: str) -> None:
    # A job that is kept in the place of a member would have to end in two ways; and a group says when its jobs run.
    if job.unique is not None:
        raise ValueError(f"{what} has no unique name: {job.unique.name!r}")
    if job.at is not None or job.after is not None:
        raise ValueError(f"{what} runs when its group says so, not at= a time or after= another")
