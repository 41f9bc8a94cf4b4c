"""The store plane on PostgreSQL: `Store`, with `Inspection` and `Schedules` from the files beside it.

It decides nothing here: each method is one call of a function in the database, and so one transaction and one round
trip. What is submitted, opened, committed and confirmed at the same time shares them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from jobkit.backends.postgres import (
    adrift,
    amend,
    cancel,
    commit,
    coordinators,
    each,
    fail,
    inspection,
    job_groups,
    layouts,
    outbox,
    park,
    pauses,
    schedule,
    submit,
    transactions,
)
from jobkit.backends.postgres import open as opening
from jobkit.backends.postgres.address import PostgresAddress, parse_address
from jobkit.backends.postgres.batching import Group
from jobkit.backends.postgres.faults import translated
from jobkit.backends.postgres.migrations import check_migrated
from jobkit.backends.postgres.notifier import Notifier
from jobkit.backends.postgres.pool import CALL_SECONDS, ConnectionPool, query
from jobkit.backends.postgres.sanitize import fit
from jobkit.backends.postgres.store_checkpoints import PostgresCheckpoints
from jobkit.backends.postgres.store_inspection import PostgresInspection
from jobkit.backends.postgres.store_schedules import PostgresSchedules
from jobkit.backends.postgres.store_types import PostgresTypes
from jobkit.errors import JobConflict
from jobkit.model.clock import Clock
from jobkit.model.envelope import NOTHING_READ, Envelope, Heading
from jobkit.model.fence import Fence, Receipt
from jobkit.model.job_group import OnFailure
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.model.pause import Pause
from jobkit.ports.adrift import Adrift
from jobkit.ports.dead_letter import letter_of
from jobkit.ports.groups import MEMBERS_AT_ONCE, GroupMember, GroupRecord
from jobkit.ports.in_flight import Shelved
from jobkit.ports.inspection import Cancellation, JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import COORDINATORS_KEPT, RELEASED, UNWANTED, key_of
from jobkit.ports.store import (
    Committed,
    Duplicate,
    Effects,
    Expired,
    Failure,
    NewJob,
    OpenAnswer,
    OutboxEntry,
    Refused,
    Stale,
    SubmitAnswer,
    Suspended,
    replaced,
)
from jobkit.ports.transactions import Participant

if TYPE_CHECKING:
    from jobkit.backends.postgres.lending import Connection

    # How a statement is sent: at once, or waiting for locks.
    _Run = Callable[[Callable[[Connection], Awaitable[list[Any]]]], Awaitable[list[Any]]]

C = TypeVar("C")
A = TypeVar("A")

# More would not be faster, and one call that fails has its whole group sent again one by one.
_LARGEST_GROUP = 64
_LARGEST_SUBMIT = 500
_LARGEST_BYTES = 1_000_000
# What a call takes besides the bytes that it carries.
_CALL_BYTES = 10_000
# Two, so that one is on its way while the other waits for the disk; one where the order of calls is kept.
_LANES = 2


def _bytes_of(call: each.Arguments) -> int:
    return _CALL_BYTES + sum(len(value) for value in call if isinstance(value, bytes))


class PostgresStore(PostgresInspection, PostgresSchedules, PostgresTypes, PostgresCheckpoints):
    """A `Store`, and its `Inspection`, in one database; made by `open_store`."""

    def __init__(self, sessions: ConnectionPool, notifier: Notifier, clock: Clock) -> None:
        super().__init__(sessions, notifier)
        self._clock = clock
        self._groups: list[Group[Any, Any]] = []
        self._submits = self._group(self._submit, apart=id, lanes=1, largest=_LARGEST_SUBMIT, size=len)
        # Those with unique names, which others may have locked, hold up none without.
        self._named_submits = self._group(self._submit, apart=id, lanes=1, largest=_LARGEST_SUBMIT, size=len)
        self._confirmations = self._group(self._confirm, apart=id, lanes=1, largest=_LARGEST_SUBMIT, size=len)
        self._openings = self._group(self._open, apart=lambda c: c.apart, lanes=_LANES, largest=_LARGEST_GROUP)
        self._shelvings = self._each(park.SHELVE)
        self._progress = self._each(fail.PROGRESS)
        self._records = self._each(inspection.RECORD, lanes=_LANES)
        self._endings = self._group(self._commit, apart=lambda c: c.apart, lanes=_LANES, largest=_LARGEST_GROUP)

    # ---- groups ----------------------------------------------------------------------------------------------------

    def _group(
        self,
        ask: Callable[[_Run, Sequence[C]], Awaitable[Sequence[A]]],
        *,
        apart: Callable[[C], Hashable],
        lanes: int,
        largest: int,
        size: Callable[[C], int] = lambda _: 1,
    ) -> Group[C, A]:
        group = Group(
            partial(ask, self._sessions.run_raw),
            wait=partial(ask, self._sessions.run_patiently),
            explain=lambda error: translated(error, self._sessions.name),
            apart=apart,
            lanes=lanes,
            largest=largest,
            size=size,
        )
        self._groups.append(group)
        return group

    def _each(self, statement: str, *, lanes: int = 1) -> Group[each.Arguments, Any]:
        """Return the calls of one function; with one lane those of a key keep the order of asking."""

        async def ask(run: _Run, calls: Sequence[each.Arguments]) -> Sequence[Any]:
            return each.answers(await run(query(statement, *each.columns(calls))))

        return self._group(ask, apart=id, lanes=lanes, largest=_LARGEST_BYTES, size=_bytes_of)

    async def _submit(self, run: _Run, calls: Sequence[Sequence[NewJob]]) -> list[list[SubmitAnswer]]:
        jobs = [job for call in calls for job in call]
        statement, arguments = submit.statement(jobs)
        rows = await run(query(statement, *arguments))
        found = submit.answers(jobs, rows)
        self._notifier.notify([job_topic(id) for id in sorted(replaced(found))])
        answers = iter(found)
        return [[next(answers) for _ in call] for call in calls]

    async def _confirm(self, run: _Run, calls: Sequence[Sequence[int]]) -> list[None]:
        await run(query(outbox.PUBLISHED, sorted({position for call in calls for position in call})))
        return [None] * len(calls)

    async def _open(self, run: _Run, calls: Sequence[opening.JobOpening]) -> list[OpenAnswer | None]:
        rows = await run(query(opening.OPEN, *opening.arguments(calls)))
        return opening.answers(calls, rows)

    async def _commit(self, run: _Run, calls: Sequence[commit.Ending]) -> list[Committed | Duplicate | Refused]:
        rows = await run(query(commit.COMMIT, *commit.arguments(calls)))
        answers = commit.answers(calls, rows)
        self._notify_committed(calls)
        return answers

    def _notify_committed(self, calls: Sequence[commit.Ending]) -> None:
        self._notifier.notify([job_topic(call.envelope.id) for call in calls])

    # ---- the way of a job ------------------------------------------------------------------------------------------

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[SubmitAnswer]:
        submit.check(jobs)
        if not jobs:
            return []
        return await (self._named_submits if submit.is_named(jobs) else self._submits).ask(jobs)

    async def outbox(self, *, older_than: float, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        rows = await self._sessions.run(query(outbox.OLDEST, older_than, limit, after))
        return [outbox.entry(row) for row in rows]

    async def published(self, positions: Sequence[int]) -> None:
        if positions:
            await self._confirmations.ask(positions)

    async def release_due(self, *, limit: int) -> Sequence[OutboxEntry]:
        entries = [outbox.entry(row) for row in await self._look(schedule.RELEASE, limit)]
        self._notifier.notify([job_topic(entry.envelope.id) for entry in entries])
        return entries

    async def expire_due(self, *, limit: int) -> Sequence[Expired]:
        jobs = cancel.expired(await self._look(cancel.EXPIRE_DUE, limit, RELEASED))
        self._notifier.notify([job_topic(job.id) for job in jobs])
        return jobs

    async def open(self, envelope: Envelope, fence: Fence) -> OpenAnswer:
        key_of(envelope)
        # This is a process that works on jobs.
        self._sessions.keep_ready(opening.OPEN, inspection.RECORD, commit.COMMIT)
        for whole in (False, True):
            answer = await self._openings.ask(opening.JobOpening(envelope, fence, whole))
            if answer is not None:
                return answer
        raise AssertionError(f"no answer to the opening of {envelope.id}")

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Committed | Duplicate | Refused:
        key_of(envelope)
        submit.check(effects.follow_ups)
        try:
            return await self._endings.ask(commit.Ending(envelope, fence, effects))
        except JobConflict as error:
            raise JobConflict(f"job {envelope.id} cannot commit: {error}") from error

    async def commit_with(
        self, envelope: Envelope, fence: Fence, effects: Effects, participants: Sequence[Participant]
    ) -> Committed | Duplicate | Refused:
        key_of(envelope)
        submit.check(effects.follow_ups)
        ending = commit.Ending(envelope, fence, effects)
        answer = await transactions.commit_with(self._sessions, ending, participants)
        self._notify_committed([ending])
        return answer

    async def submit_in(self, connection: Any, jobs: Sequence[NewJob]) -> Sequence[SubmitAnswer]:
        return await transactions.submit_in(connection, jobs, name=self._sessions.name) if jobs else []

    async def cancel_in(self, connection: Any, ids: Sequence[str], *, by: str, reason: str) -> Sequence[Cancellation]:
        return await transactions.cancel_in(connection, ids, by, reason, name=self._sessions.name) if ids else []

    async def amend(
        self, type: str, key: str, fence: Fence, records: Mapping[str, bytes], *, log_length: int
    ) -> bool | Stale:
        return amend.amended(await self._row(amend.AMEND, *amend.arguments(type, key, fence, records, log_length)))

    async def fail(self, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float = 0.0) -> int | Refused:
        row = await self._row(fail.FAIL, *fail.fail_arguments(envelope, fence, failure, retry_in))
        self._notifier.notify([job_topic(envelope.id)])
        return fail.failed(envelope, row)

    async def interrupted(self, envelope: Envelope, fence: Fence) -> None:
        await self._row(fail.INTERRUPTED, envelope.id, fence.nonce)

    async def snooze(self, envelope: Envelope, fence: Fence, *, after: float) -> Receipt | Refused:
        row = await self._row(schedule.SNOOZE, *schedule.snooze_arguments(envelope, fence, after))
        self._notifier.notify([job_topic(envelope.id)])
        return schedule.snoozed(envelope, row)

    async def suspend(
        self, envelope: Envelope, fence: Fence, *, members: Sequence[NewJob], on_failure: OnFailure
    ) -> Suspended | Refused:
        submit.check(members)
        arguments = schedule.suspend_arguments(envelope, fence, members, on_failure)
        rows = await self._sessions.run(query(schedule.SUSPEND, *arguments))
        self._notifier.notify([job_topic(envelope.id)])
        return schedule.suspended(envelope, members, rows)

    async def bury(self, envelope: Envelope, fence: Fence, *, reason: str, detail: str = "") -> Receipt | Refused:
        row = await self._row(fail.BURY, *fail.bury_arguments(envelope, fence, reason, detail))
        self._notifier.notify([job_topic(envelope.id)])
        return fail.buried(envelope, row)

    async def bury_message(
        self,
        raw: bytes,
        envelope: Envelope | None,
        *,
        reason: str,
        detail: str = "",
        heading: Heading = NOTHING_READ,
    ) -> Receipt:
        letter = letter_of(raw, envelope, heading, reason=reason, detail=detail)
        known = None
        if letter.envelope is not None and letter.envelope.key is None:
            # Its key may have been derived since it was submitted.
            known = await self.job(letter.envelope.id)
        arguments = fail.bury_message_arguments(letter, known.key if known else None)
        row = await self._row(fail.BURY_MESSAGE, *arguments)
        if letter.envelope is None:
            return Receipt("", row["answer"])
        self._notifier.notify([job_topic(letter.envelope.id)])
        return Receipt(letter.envelope.id, row["answer"])

    async def park(self, envelope: Envelope, *, reason: str) -> Receipt:
        row = await self._row(park.PARK, *park.park_arguments(envelope, reason))
        if row["answer"] in UNWANTED:
            return await self.bury_message(envelope.body, envelope, reason=UNWANTED[row["answer"]])
        self._notifier.notify([job_topic(envelope.id)])
        return park.parked(envelope, row["answer"])

    async def shelve(self, envelope: Envelope, partition: Partition) -> Receipt:
        answer = await self._shelvings.ask(park.shelve_arguments(envelope, partition))
        if answer in UNWANTED:
            return await self.bury_message(envelope.body, envelope, reason=UNWANTED[answer])
        return Receipt(envelope.id, answer)

    async def shelved(
        self, partition: Partition, *, limit: int, key: str | None = None, after: int = 0
    ) -> Sequence[Shelved]:
        asked = (partition.type, partition.index, after, limit)
        looked = query(park.SHELVED, *asked) if key is None else query(park.SHELVED_OF_KEY, *asked, fit(key))
        return [park.shelved(row) for row in await self._sessions.run(looked)]

    async def shelved_keys(self, partition: Partition, *, limit: int, after: str = "") -> Sequence[str]:
        rows = await self._sessions.run(query(park.SHELVED_KEYS, partition.type, partition.index, fit(after), limit))
        return [row["key"] for row in rows]

    async def horizon(self) -> int:
        return int((await self._look(adrift.HORIZON))[0]["number"])

    async def adrift(
        self, partition: Partition, partitions: int, *, after: int, upto: int, limit: int
    ) -> tuple[Sequence[Adrift], int | None]:
        asked = (partition.type, partitions, partition.index, after, upto, limit)
        return adrift.page(await self._look(adrift.ADRIFT, *asked), limit)

    async def layouts(self) -> Mapping[str, Layout]:
        return layouts.layouts(await self._look(layouts.LAYOUTS))

    async def set_layout(self, type: str, before: Layout | None, after: Layout) -> bool:
        return bool((await self._row(layouts.SET, *layouts.set_arguments(type, before, after)))["done"])

    async def note_coordinator(self, identity: str) -> None:
        await self._row(coordinators.NOTE, identity, COORDINATORS_KEPT)

    async def pauses(self) -> Sequence[Pause]:
        return pauses.pauses(await self._look(pauses.PAUSES))

    async def cancelled(self, ids: Sequence[str]) -> Sequence[Receipt]:
        return cancel.receipts(await self._look(cancel.CANCELLED, list(map(fit, ids)))) if ids else []

    async def progress(self, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
        noted = bool(await self._progress.ask(fail.progress_arguments(envelope, fence, fraction, message)))
        if noted:
            self._notifier.notify([job_topic(envelope.id)])
        return noted

    async def group(self, id: str) -> GroupRecord | None:
        rows = await self._look(job_groups.GROUP, id)
        return job_groups.group(rows[0]) if rows else None

    async def members(self, id: str, *, after: int = 0, limit: int = MEMBERS_AT_ONCE) -> Sequence[GroupMember]:
        return list(map(job_groups.member, await self._look(job_groups.MEMBERS, id, after, limit)))

    async def groups(self, *, below: str | None = None, limit: int = 100) -> Sequence[GroupRecord]:
        return list(map(job_groups.group, await self._look(*job_groups.groups_query(below, limit))))

    async def groups_of(self, parent: str, *, after: str = "", limit: int = 100) -> Sequence[GroupRecord]:
        return list(map(job_groups.group, await self._look(job_groups.GROUPS_OF, parent, after, limit)))

    async def record(self, type: str, key: str, name: str) -> bytes | None:
        value: bytes | None = await self._records.ask((type, key, name))
        return value

    async def wait_finished(self, ids: Sequence[str], timeout: float) -> None:
        deadline = self._clock.now() + timeout
        wanted = list(map(fit, ids))
        with self._notifier.subscribe(*map(job_topic, ids)) as subscription:
            first = await self._look(inspection.MOMENTS, wanted)
            while not any(JobState(row["state"]).ended for row in first):
                left = deadline - self._clock.now()
                if left <= 0:
                    return
                if await subscription.wait(left) or await self._look(inspection.MOMENTS, wanted) != first:
                    return

    async def aclose(self) -> None:
        for group in self._groups:
            await group.aclose()
        await self._notifier.aclose()
        await self._sessions.aclose()


async def open_store(url: str, clock: Clock, *, call_seconds: float = CALL_SECONDS) -> PostgresStore:
    """Open the store in the database that `url` names. `call_seconds` bounds each call to the server.

    Raises `ConfigurationError`, also where the database is not migrated, or `Unavailable`.
    """
    address: PostgresAddress = parse_address(url)
    sessions = await ConnectionPool(address, call_seconds=call_seconds).open()

    async def check(connection: Connection) -> None:
        await check_migrated(connection, address)

    try:
        await sessions.run(check, aside=True)
    except BaseException:
        await sessions.aclose()
        raise
    return PostgresStore(sessions, Notifier(address, clock), clock)
