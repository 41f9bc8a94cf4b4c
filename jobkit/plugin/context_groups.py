"""What a processor does with groups of jobs: submit one beside its own effects, wait for one, and read its members."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta

from jobkit.errors import EffectInvalid
from jobkit.model.clock import Clock
from jobkit.model.job_group import OnFailure
from jobkit.model.priority import PriorityName
from jobkit.plugin import job_groups
from jobkit.plugin.follow_ups import FollowUps
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.payload import Payload
from jobkit.ports.groups import GroupMember, group_members
from jobkit.ports.store import NewJob, Store
from jobkit.telemetry.trace_context import current_trace


class ContextGroups(ABC):
    """The part of a context that makes groups of jobs."""

    job: JobInfo
    clock: Clock
    _store: Store
    _follow_ups: FollowUps
    _jobs: list[NewJob]

    @abstractmethod
    def _check_staging(self, call: str) -> None: ...

    @abstractmethod
    async def _progress_at_once(self, fraction: float, message: str) -> None: ...

    def new_job(
        self,
        type: str,
        payload: Payload,
        *,
        key: str | None = None,
        id: str | None = None,
        expires: datetime | timedelta | None = None,
        priority: PriorityName | None = None,
        tenant: str | None = None,
    ) -> NewJob:
        """Return a job for `submit_group`; by itself it does nothing. Raises as `submit` does."""
        return self._follow_ups.new_job(
            type,
            payload,
            key=key,
            id=id,
            submitted_at=self.clock.wall(),
            trace=current_trace(),
            at=None,
            after=None,
            expires=expires,
            priority=priority,
            tenant=tenant,
            unique=None,
        )

    def submit_group(
        self, members: Iterable[NewJob | Payload], *, then: NewJob | Payload, on_failure: OnFailure = "wait"
    ) -> str:
        """Stage a group of follow-up jobs, and one that runs once all of them have ended; return the latter's id.

        That is the group's id, too. All of it is submitted if, and only if, this job commits. Give payloads where one
        type takes them, or what `new_job` returns. `on_failure` says what becomes of `then` where members die, are
        cancelled or expire: it "waits" for dead ones to be requeued, and is dead-lettered where that can help no more;
        it "runs" with what there is, once all have ended; or it is to "die" then. It reads them by `members`.

        Where this job is a member of a group itself, `then` takes its place in it. Raises `ValueError` where there are
        no members, or one has a unique name or a time of its own, and as `submit` does.
        """
        self._check_staging("ctx.submit_group")
        jobs = [self._as_job(member) for member in members]
        closing = job_groups.closing(self._as_job(then), len(jobs), on_failure)
        self._jobs += [closing, *job_groups.joined(jobs, closing.envelope.id)]
        return closing.envelope.id

    async def await_group(
        self,
        members: Iterable[NewJob | Payload],
        *,
        on_failure: OnFailure = "wait",
        until: float = 0.9,
        message: str = "",
    ) -> None:
        """Submit a group of jobs at once, and go on behind this call once all of them have ended.

        Until then the job holds no worker: this attempt ends here, and when the last member has ended the job begins
        anew, with what it kept by `step` and `checkpoint`, and passes this call. The group has the job's id, so that
        `members` tells what came of them. `on_failure` is as for `submit_group`, of the job itself. Where the job is
        cancelled meanwhile, so are they. What this attempt has staged is lost, like that of any other that did not
        commit. Its progress goes with them from 0 to `until`. Once for each job, of a type without an order. Raises
        `EffectInvalid` for another, `LeaseLost`, or `Unavailable`, and as `submit` does.
        """
        self._check_staging("ctx.await_group")
        group = await self._store.group(self.job.id)
        if group is not None and group.parent == self.job.id:
            return
        if group is not None or self.job.sequence is not None:
            what = "closes a group itself" if group is not None else "has a place in an order"
            raise EffectInvalid(f"job {self.job.id} cannot wait for a group of its own: it {what}")
        jobs = [self._as_job(member) for member in members]
        if not jobs:
            raise ValueError("a group has at least one member")
        await self._progress_at_once(until, message)
        raise job_groups.GroupAwaited(job_groups.joined(jobs, self.job.id), on_failure)

    def _as_job(self, job: NewJob | Payload) -> NewJob:
        if isinstance(job, NewJob):
            return job
        return self.new_job(self._follow_ups.type_of(job, "ctx.new_job(type, ...)"), job)

    def members(self, group: str | None = None) -> AsyncIterator[GroupMember]:
        """Return the members of a group, of the one that this job closes unless another is named, page by page.

        They come in the order of their submission, whatever became of them. Raises `Unavailable`.
        """
        return group_members(self._store, self.job.id if group is None else group)
