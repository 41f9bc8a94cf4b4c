"""The client: submits jobs and watches them.

A job is accepted once the store has it, in one transaction with its sequence and its outbox entry. Publishing
follows at once; where the broker does not take the job, a worker does it later, so an accepted job is never lost.

Submitted in a transaction of the caller's (`connection=`), a job is accepted when that commits, and published by a
worker's relay afterwards; where it is rolled back, the job never was.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

from opentelemetry.trace import Span
from pydantic import JsonValue
from pydantic_core import from_json

from jobkit.client import job_groups
from jobkit.client.group_progress import with_members
from jobkit.client.job_watch import JobWatch, unknown_job
from jobkit.client.layouts import Layouts
from jobkit.client.notices import Notices
from jobkit.client.published_types import PublishedTypes
from jobkit.client.published_types import new_job as published_job
from jobkit.client.relay import Relay
from jobkit.client.schedules import ScheduleBook, entries_of
from jobkit.client.steering import Steering
from jobkit.client.submission import Submission, submissions
from jobkit.client.submit_within import submit_within
from jobkit.errors import PayloadInvalid, Unavailable, UnknownType
from jobkit.files.file_set import CommittedFile, FileReader, FileSet, OpenFile
from jobkit.handles.handle import Handle, ResultType, still
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.job_group import OnFailure
from jobkit.model.priority import PriorityName
from jobkit.model.side_by_side import side_by_side
from jobkit.model.tags import tagged
from jobkit.model.unique import OnConflict, Unique, While, told_unique
from jobkit.plugin.new_job import new_job
from jobkit.plugin.notification import Notification
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import Processor, SubmitOptions
from jobkit.plugin.registry import Registry
from jobkit.plugin.type_definition import TypeDefinition, definition_in
from jobkit.ports.blobs import Blobs
from jobkit.ports.groups import MEMBERS_AT_ONCE, GroupMember, GroupRecord, group_members
from jobkit.ports.inspection import Inspection, JobRecord, JobState
from jobkit.ports.planes import Planes
from jobkit.ports.store import NewJob
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry
from jobkit.telemetry.spans import Current, batch_span, producer_span
from jobkit.telemetry.trace_context import current_trace

P = TypeVar("P", bound=Payload)
R = TypeVar("R")

_ANY_RESULT: ResultType[Any] = ResultType(None, json.loads)


class Client(Steering):
    """Submits jobs through the given planes."""

    def __init__(
        self,
        planes: Planes,
        registry: Registry,
        settings: Settings,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._planes = planes
        self._registry = registry
        self._clock = clock or SystemClock()
        self._telemetry = telemetry or Telemetry()
        self._layouts = Layouts(planes.store, settings.partitions, self._clock)
        self._files = FileReader(planes.inspection, planes.blobs)
        self._jobs = JobWatch(planes.store, planes.inspection, self._clock)
        self._published = PublishedTypes(planes.inspection, self._clock)
        self._notices = Notices(registry, self._published)
        self._relay = Relay(
            planes.store,
            planes.broker,
            layouts=self._layouts,
            clock=self._clock,
            telemetry=self._telemetry,
        )

    @property
    def schedules(self) -> ScheduleBook:
        """The schedules: jobs that are submitted by the calendar."""
        return ScheduleBook(self._planes.inspection, self._registry, self._relay)

    def job(
        self,
        type: str,
        payload: Payload | Mapping[str, Any] | bytes,
        *,
        key: str | None = None,
        id: str | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
        expires: datetime | timedelta | None = None,
        priority: PriorityName | None = None,
        tenant: str | None = None,
        tags: Collection[str] = (),
        unique: str | None = None,
        while_: While = "queued",
        on_conflict: OnConflict = "keep",
        notify: Sequence[Notification] = (),
    ) -> NewJob:
        """Return a validated job for `submit_many`. Raises `UnknownType`, `PayloadInvalid` or `ValueError`."""
        name = told_unique(unique, while_, on_conflict)
        with self._creating("create", type) as span:
            job = self._new_job(
                span, self._with_code(type, payload), key, id, at, after, expires, priority, tenant, name, tags
            )
            return self._publishable(self._notices.with_code(job, notify))

    async def submit(
        self,
        type: str,
        payload: Payload | Mapping[str, Any] | bytes,
        *,
        key: str | None = None,
        id: str | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
        expires: datetime | timedelta | None = None,
        priority: PriorityName | None = None,
        tenant: str | None = None,
        tags: Collection[str] = (),
        unique: str | None = None,
        while_: While = "queued",
        on_conflict: OnConflict = "keep",
        notify: Sequence[Notification] = (),
        connection: Any = None,
    ) -> Submission:
        """Accept one job; without an id it gets a UUIDv7. Submitting the same id and payload again changes nothing.

        It is to run at once, or not before `at`, or so long `after` it is accepted, by the store's clock. An ordered
        job gets its sequence when it is due. Where it has not begun when it `expires`, a time or so long after it is
        accepted, it never runs. Without a `priority` it has that of its type. Where the tenants of its type take turns,
        it is that of its payload, unless another `tenant` is given. People find it by its `tags`, words without blanks.

        Under a `unique` name, which is one of the type's, it is accepted only if no other job holds that name: each
        does so `while_` it is "queued" (until it begins for the first time), or "unfinished" (until it has ended).
        `on_conflict` says what becomes of the one that does: "keep" it, or "replace" it by this one if it has not
        begun. The submission tells what has: it is that of the job that is kept, where one is.

        Each of `notify` is submitted by the transaction that ends the job in one of the ways that it names, its commit
        unless told otherwise, and by no other: so there is an event if, and only if, that came about.

        With a `connection` (an asyncpg connection to the store's database) it is part of the transaction that is open
        there: accepted when that commits. Until then other submitters on the key of an ordered job, or under the same
        unique name, wait.

        A type whose code is not here is checked against what its workers have published. Without a key its job gets
        one from the worker; one of an ordered type needs it, and one of a type with tenants a `tenant`.

        Raises `UnknownType`, `PayloadInvalid`, `ValueError` where a time says no zone, a name is none or the type does
        not know that priority, or tenants, `JobConflict` where the id is known with other contents, or `Unavailable`
        where the store does not answer: then submit again under the same id to be sure. With a connection also
        `NotTransactional`, or `ConfigurationError` where it is in no transaction or leads elsewhere.
        """
        name = told_unique(unique, while_, on_conflict)
        with self._creating("send", type) as span:
            known = type in self._registry.processors
            make = self._with_code(type, payload) if known else await self._without_code(type, payload)
            job = self._new_job(span, make, key, id, at, after, expires, priority, tenant, name, tags)
            job = self._publishable(await self._notices.added(job, notify))
            (submission,) = await self._submit([job], connection)
        return submission

    async def submit_to(self, processor: Processor[P, R], payload: P, **options: Unpack[SubmitOptions]) -> Handle[R]:
        """Accept a job of a processor; what `processor.submit(client, payload)` calls. Errors as for `submit`."""
        name = told_unique(options.get("unique"), options.get("while_", "queued"), options.get("on_conflict", "keep"))
        times = (options.get("at"), options.get("after"), options.get("expires"))
        with self._creating("send", processor.name) as span:
            make = partial(new_job, processor, payload, max_bytes=self._registry.max_payload_bytes)
            whose, tags = (options.get("priority"), options.get("tenant")), options.get("tags", ())
            job = self._new_job(span, make, options.get("key"), options.get("id"), *times, *whose, name, tags)
            job = self._publishable(await self._notices.added(job, options.get("notify", ())))
            (submission,) = await self._submit([job], options.get("connection"))
        return Handle(self, submission.id, processor.result_type)

    def _with_code(self, type: str, payload: Payload | Mapping[str, Any] | bytes) -> Callable[..., NewJob]:
        """Return what makes a job of a type whose code is here."""
        return partial(self._registry.new_job, type, payload)

    async def _without_code(self, type: str, payload: Payload | Mapping[str, Any] | bytes) -> Callable[..., NewJob]:
        """Return what makes a job of a type whose code is not here. Raises as the registry does, or `Unavailable`."""
        try:
            return self._with_code(self._registry.get(type).name, payload)
        except UnknownType as error:
            published = await self._published.get(type)
            if published is None:
                raise UnknownType(f"{error}. Nor has a worker published it: `jobkit types list`") from error
        published, values = await self._published.passed(published, payload)
        return partial(published_job, published, values, max_bytes=self._registry.max_payload_bytes)

    async def submit_many(self, jobs: Sequence[NewJob], *, connection: Any = None) -> Sequence[Submission]:
        """Accept jobs in this order, in one transaction; errors as for `submit`, after those accepted are published."""
        if not self._telemetry.traced:
            return await self._submit(jobs, connection)
        with batch_span(self._telemetry.tracer, "send", [job.envelope for job in jobs]):
            return await self._submit(jobs, connection)

    async def submit_group(
        self,
        members: Iterable[NewJob | Payload],
        *,
        then: NewJob | Payload,
        on_failure: OnFailure = "wait",
        id: str | None = None,
    ) -> Submission:
        """Accept a group of jobs, and one that runs once all of them have ended; return the latter's submission.

        Its id is the group's, too. Give payloads where one type takes them, or what `job` returns. `on_failure` says
        what becomes of `then` where members fail, as for `Context.submit_group`. Either all are accepted or none is,
        however many: a large group goes in pages, and none of it begins before the last is there.

        With an `id`, submitting the same again changes nothing, and completes what was broken off: payloads get ids
        that follow from it, jobs need some of their own. Raises as `submit` does, and `ValueError` where there are no
        members, or one has a unique name or a time of its own.
        """
        jobs = [self._as_job(one, None if id is None else f"{id}.{place}") for place, one in enumerate(members, 1)]
        if id is not None and isinstance(then, NewJob):
            raise ValueError("the group has the id of its `then` job: give it to that")
        pages = job_groups.pages(jobs, self._as_job(then, id), on_failure)
        submissions = [(await self.submit_many(page))[0] for page in pages]
        with suppress(Unavailable):
            # It is accepted: what of it is not published here is a worker's to publish.
            for _ in submissions if len(submissions) > 1 else ():
                await self._publish(await self._planes.store.release_due(limit=MEMBERS_AT_ONCE))
        return submissions[0]

    def _as_job(self, job: NewJob | Payload, id: str | None) -> NewJob:
        if isinstance(job, NewJob):
            return job
        return self.job(self._registry.type_of(job, "client.job(type, ...)"), job, id=id)

    async def group(self, id: str) -> GroupRecord:
        """Return a group: how far its members are. Raises `JobNotFound` where no job of that id closes one."""
        return await job_groups.found_group(self._planes.store, id)

    def members(self, id: str) -> AsyncIterator[GroupMember]:
        """Return the members of a group in the order of their submission, page by page. Raises `Unavailable`."""
        return group_members(self._planes.store, id)

    def _creating(self, operation: str, type: str) -> AbstractContextManager[Span]:
        """Return a span that creates a message, with the ids alone where nobody records more."""
        tracer = self._telemetry.tracer
        return producer_span(tracer, operation, type) if self._telemetry.traced else Current(tracer.start_span(type))

    def _new_job(
        self,
        span: Span,
        make: Callable[..., NewJob],
        key: str | None,
        id: str | None,
        at: datetime | None,
        after: timedelta | None,
        expires: datetime | timedelta | None,
        priority: str | None,
        tenant: str | None,
        unique: Unique | None,
        tags: Collection[str],
    ) -> NewJob:
        """Return a job whose message was created by `span`, the current one."""
        job = make(
            key=key,
            id=id,
            submitted_at=self._clock.wall(),
            trace=tagged(current_trace(), tags),
            at=at,
            after=after,
            expires=expires,
            priority=priority,
            tenant=tenant,
            unique=unique,
        )
        span.set_attributes({"messaging.message.id": job.envelope.id, "jobkit.key": job.envelope.key or ""})
        return job

    def _publishable(self, job: NewJob) -> NewJob:
        """Return a job that the broker can carry. Raises `PayloadInvalid`."""
        if (objection := self._planes.broker.objection(job.envelope)) is not None:
            raise PayloadInvalid(f"a job of type {job.envelope.type!r} cannot be published: {objection}")
        return job

    async def _submit(self, jobs: Sequence[NewJob], connection: Any) -> Sequence[Submission]:
        if not self._registry.around.submits:
            return await self._accept(jobs, connection)
        return await submit_within(self._registry.around.submits, jobs, partial(self._accept, jobs, connection))

    async def _accept(self, jobs: Sequence[NewJob], connection: Any) -> Sequence[Submission]:
        if connection is not None:
            answers = await self._transactions("submitting").submit_in(connection, jobs)
            return submissions(jobs, answers, published=())
        types = {job.envelope.type for job in jobs}
        if self._layouts.fresh(types):
            answers = await self._planes.store.submit(jobs)
        else:
            looking = partial(self._layouts.refresh_beside, types)
            calls: list[Callable[[], Awaitable[Any]]] = [partial(self._planes.store.submit, jobs), looking]
            answers, _ = await side_by_side(calls)
        return submissions(jobs, answers, published=await self._publish(entries_of(answers)))

    @property
    def blobs(self) -> Blobs:
        """Where the files' bytes lie."""
        return self._planes.blobs

    async def files(self, type: str, key: str) -> FileSet:
        """Return the files that were committed last for a key: none where none ever were.

        Raises `Unavailable`, and `UnknownType` for one type of a group: files are kept by the group's name.
        """
        self._registry.refuse_member(type)
        return await self._files.files(type, key)

    def open(
        self, type: str, key: str, name: str, *, start: int = 0, stop: int | None = None
    ) -> AbstractAsyncContextManager[OpenFile]:
        """Open a committed file for a block: its bytes from `start` up to but without `stop`, in chunks.

        Raises `FileMissing` where there is none of that name, `ValueError` for a range that is none, `UnknownType` as
        `files` does, or `Unavailable`.
        """
        self._registry.refuse_member(type)
        return self._files.open(type, key, name, start=start, stop=stop)

    async def download(self, type: str, key: str, name: str, to: Path) -> CommittedFile:
        """Write a committed file to the path `to`, where it is whole or what was there before; return what it is.

        Raises as `open` does, `OSError` where it cannot be written, or `FileReplaced` where it was replaced meanwhile.
        """
        return await (await self.files(type, key)).download(name, to)

    async def types(self) -> Sequence[TypeDefinition]:
        """Return the job types that workers have published, in order of names. Raises `TypeUnreadable`."""
        return [definition_in(type) for type in await self._planes.inspection.types()]

    @overload
    def handle(self, id: str) -> Handle[Any]: ...

    @overload
    def handle(self, id: str, processor: Processor[P, R]) -> Handle[R]: ...

    def handle(self, id: str, processor: Processor[Any, Any] | None = None) -> Handle[Any]:
        """Return a handle of a job that was submitted here or elsewhere, without asking for it.

        Its result is typed as the processor declares it; without one it is what JSON makes of it.
        """
        return Handle(self, id, _ANY_RESULT if processor is None else processor.result_type)

    async def status(self, id: str) -> JobRecord:
        """Return what is known of a job. Raises `JobNotFound`."""
        return await with_members(self._planes.store, await found_job(self._planes.inspection, id))

    async def payload(self, id: str) -> JsonValue:
        """Return what a job was given, which is kept until it has ended: None from then on. Raises `JobNotFound`."""
        envelope = await self._planes.inspection.envelope(id)
        if envelope is None:
            await found_job(self._planes.inspection, id)
            return None
        found: JsonValue = from_json(envelope.body)
        return found

    async def watch(self, id: str, timeout: float | None = None) -> AsyncIterator[JobRecord]:
        """Yield the job's record now and at each change, until it has ended or is parked.

        Raises `JobNotFound`, or `WaitTimeout` once `timeout` seconds have passed.
        """
        async for record in self.changes(id, timeout):
            yield record
            if record.state.ended or record.state is JobState.PARKED:
                return
        raise still(record, timeout)

    async def changes(self, id: str, timeout: float | None = None) -> AsyncIterator[JobRecord]:
        """Yield the job's record now and at each change, until it has ended or `timeout` seconds have passed.

        All jobs that are waited for in this process are looked at together. Raises `JobNotFound` or `Unavailable`.
        """
        deadline = math.inf if timeout is None else self._clock.now() + timeout
        record = None
        while True:
            seen, record = record, await self._jobs.change(id, record, deadline)
            if record != seen:
                yield record
            if record.state.ended or self._clock.now() >= deadline:
                return


async def found_job(inspection: Inspection, id: str) -> JobRecord:
    """Return what the store knows of a job. Raises `JobNotFound`."""
    record = await inspection.job(id)
    if record is None:
        raise unknown_job(id)
    return record
