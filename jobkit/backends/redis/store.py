"""The store plane on Redis: `Store`, with `Inspection` and `Schedules` from the files beside it.

It is as durable as the server that it is kept on: docs/redis.md says what that takes. It decides nothing here: each
method is one call of a script, and so one transaction and one round trip; lists are read in pages, and opening a job
that was submitted without its key takes two.

Sequences and tokens end at 2 ** 53, since scripts count in doubles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobkit.backends.redis import (
    adrift,
    amend,
    cancel,
    commit,
    coordinators,
    fail,
    inspection,
    job_groups,
    layouts,
    outbox,
    park,
    pauses,
    schedule,
    submit,
)
from jobkit.backends.redis import open as opening
from jobkit.backends.redis.address import parse_address
from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.diagnosis import check_store
from jobkit.backends.redis.notifier import SUBSCRIBED_MILLISECONDS, Listener
from jobkit.backends.redis.scripts import spelled
from jobkit.backends.redis.store_checkpoints import RedisCheckpoints
from jobkit.backends.redis.store_inspection import RedisInspection
from jobkit.backends.redis.store_schedules import RedisSchedules
from jobkit.backends.redis.store_types import RedisTypes
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
from jobkit.ports.inspection import JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import COORDINATORS_KEPT, UNWANTED
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
)


class RedisStore(RedisInspection, RedisSchedules, RedisTypes, RedisCheckpoints):
    """A `Store`, and its `Inspection`, in one database; made by `open_store`, inside a running event loop."""

    def __init__(self, connector: Connector, clock: Clock) -> None:
        super().__init__(connector)
        self._clock = clock
        self._listener = Listener(connector)

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[SubmitAnswer]:
        submit.check(jobs)
        if not jobs:
            return []
        return submit.answers(jobs, await self._scripts.run(submit.SUBMIT.of(jobs), *submit.arguments(jobs)))

    async def outbox(self, *, older_than: float, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        found: list[OutboxEntry] = []
        while True:
            after = found[-1].position if found else after
            page = min(limit - len(found), inspection.PAGE)
            flat = await self._scripts.run(outbox.READ, repr(older_than), str(after), str(page))
            found += outbox.entries(flat)
            if len(flat) < 3 * page or len(found) >= limit:
                return found

    async def published(self, positions: Sequence[int]) -> None:
        if positions:
            await self._scripts.run(outbox.PUBLISHED, *map(str, positions))

    async def release_due(self, *, limit: int) -> Sequence[OutboxEntry]:
        return [outbox.entry(*row) for row in await self._scripts.run(schedule.RELEASE, str(limit))]

    async def expire_due(self, *, limit: int) -> Sequence[Expired]:
        return cancel.expired(await self._scripts.run(cancel.EXPIRE_DUE, str(limit)))

    async def open(self, envelope: Envelope, fence: Fence) -> OpenAnswer:
        opening.key_of(envelope)
        answer = None
        for whole in (False, True):
            arguments = opening.arguments(envelope, fence, whole=whole)
            answer = opening.answer(envelope, await self._scripts.run(opening.OPEN, *arguments))
            if answer is not None:
                return answer
        raise AssertionError(f"no answer to the opening of {envelope.id}")

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Committed | Duplicate | Refused:
        arguments = commit.arguments(envelope, fence, effects)
        return commit.answer(envelope, await self._scripts.run(commit.COMMIT.of(effects.follow_ups), *arguments))

    async def amend(
        self, type: str, key: str, fence: Fence, records: Mapping[str, bytes], *, log_length: int
    ) -> bool | Stale:
        arguments = amend.arguments(type, key, fence, records, log_length)
        return amend.amended(await self._scripts.run(amend.AMEND, *arguments))

    async def fail(self, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float = 0.0) -> int | Refused:
        arguments = fail.fail_arguments(envelope, fence, failure, retry_in)
        return fail.failed(envelope, await self._scripts.run(fail.FAIL, *arguments))

    async def interrupted(self, envelope: Envelope, fence: Fence) -> None:
        await self._scripts.run(fail.INTERRUPTED, envelope.id, fence.nonce)

    async def snooze(self, envelope: Envelope, fence: Fence, *, after: float) -> Receipt | Refused:
        arguments = (*opening.holder(envelope, fence), repr(after))
        return schedule.snoozed(envelope, await self._scripts.run(schedule.SNOOZE, *arguments))

    async def suspend(
        self, envelope: Envelope, fence: Fence, *, members: Sequence[NewJob], on_failure: OnFailure
    ) -> Suspended | Refused:
        submit.check(members)
        arguments = (*opening.holder(envelope, fence), on_failure, *submit.arguments(members))
        row = await self._scripts.run(schedule.suspend_script(members), *arguments)
        return schedule.suspended(envelope, members, row)

    async def bury(self, envelope: Envelope, fence: Fence, *, reason: str, detail: str = "") -> Receipt | Refused:
        arguments = fail.bury_arguments(envelope, fence, reason, detail)
        return fail.buried(envelope, await self._scripts.run(fail.BURY, *arguments))

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
        (answer,) = await self._scripts.run(fail.BURY_MESSAGE, *arguments)
        id = "" if letter.envelope is None else letter.envelope.id
        return Receipt(id, "duplicate" if answer == b"ended" else "dead")

    async def park(self, envelope: Envelope, *, reason: str) -> Receipt:
        arguments = park.park_arguments(envelope, reason)
        answer = await self._scripts.run(park.PARK, *arguments)
        if (unwanted := UNWANTED.get(answer.decode())) is not None:
            return await self.bury_message(envelope.body, envelope, reason=unwanted)
        return park.parked(envelope, answer)

    async def shelve(self, envelope: Envelope, partition: Partition) -> Receipt:
        answer = await self._scripts.run(park.SHELVE, *park.shelve_arguments(envelope, partition))
        if (unwanted := UNWANTED.get(answer.decode())) is not None:
            return await self.bury_message(envelope.body, envelope, reason=unwanted)
        return Receipt(envelope.id, answer.decode())

    async def shelved(
        self, partition: Partition, *, limit: int, key: str | None = None, after: int = 0
    ) -> Sequence[Shelved]:
        asked = (partition.type, str(partition.index), str(limit), str(after), submit.NONE if key is None else key)
        return park.shelved(await self._scripts.run(park.SHELVED, *asked))

    async def shelved_keys(self, partition: Partition, *, limit: int, after: str = "") -> Sequence[str]:
        asked = (partition.type, str(partition.index), after, str(limit))
        return [key.decode() for key in await self._scripts.run(park.SHELVED_KEYS, *asked)]

    async def horizon(self) -> int:
        return int(await self._looks.run(adrift.HORIZON))

    async def adrift(
        self, partition: Partition, partitions: int, *, after: int, upto: int, limit: int
    ) -> tuple[Sequence[Adrift], int | None]:
        found: list[Adrift] = []
        ends: list[int] = []
        for state in adrift.STATES:
            asked = (partition.type, state, str(after), str(upto), str(limit))
            following, *rows = await self._looks.run(adrift.ADRIFT, *asked)
            found += adrift.jobs(rows, state, partition, partitions)
            if following:
                ends.append(int(following))
        # Each state has a page of its own: what lies beyond the shorter one comes with the next.
        end = min(ends, default=None)
        found.sort(key=lambda job: job.number)
        return [job for job in found if end is None or job.number <= end], end

    async def layouts(self) -> Mapping[str, Layout]:
        return layouts.layouts(await self._looks.run(layouts.LAYOUTS))

    async def set_layout(self, type: str, before: Layout | None, after: Layout) -> bool:
        return bool(await self._scripts.run(layouts.SET, *layouts.set_arguments(type, before, after)))

    async def note_coordinator(self, identity: str) -> None:
        await self._scripts.run(coordinators.NOTE, identity, repr(COORDINATORS_KEPT))

    async def pauses(self) -> Sequence[Pause]:
        return pauses.pauses(await self._scripts.run(pauses.PAUSES))

    async def cancelled(self, ids: Sequence[str]) -> Sequence[Receipt]:
        return cancel.receipts(await self._scripts.run(cancel.CANCELLED, *map(spelled, ids))) if ids else []

    async def progress(self, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
        arguments = (*opening.holder(envelope, fence), repr(fraction), spelled(message))
        return bool(await self._scripts.run(fail.PROGRESS, *arguments))

    async def group(self, id: str) -> GroupRecord | None:
        row = await self._looks.run(job_groups.GROUP, id)
        return None if row is None else job_groups.group(row)

    async def members(self, id: str, *, after: int = 0, limit: int = MEMBERS_AT_ONCE) -> Sequence[GroupMember]:
        rows = await self._looks.run(job_groups.MEMBERS, id, str(after), str(limit))
        return list(map(job_groups.member, rows))

    async def groups(self, *, below: str | None = None, limit: int = 100) -> Sequence[GroupRecord]:
        rows = await self._looks.run(job_groups.GROUPS, "+" if below is None else f"({below}", str(limit))
        return list(map(job_groups.group, rows))

    async def groups_of(self, parent: str, *, after: str = "", limit: int = 100) -> Sequence[GroupRecord]:
        rows = await self._looks.run(job_groups.GROUPS_OF, parent, after, str(limit))
        return list(map(job_groups.group, rows))

    async def record(self, type: str, key: str, name: str) -> bytes | None:
        value: bytes | None = await self._scripts.run(inspection.RECORD, type, key, name)
        return value

    async def wait_finished(self, ids: Sequence[str], timeout: float) -> None:
        deadline = self._clock.now() + timeout
        wanted = list(map(spelled, ids))
        with self._listener.subscribe(*map(job_topic, ids)) as subscription:
            first = moments = await self._watch_jobs(wanted)
            while moments == first and not any(state and JobState(state.decode()).ended for state, *_ in first):
                left = deadline - self._clock.now()
                if left <= 0 or await subscription.wait(left):
                    return
                moments = await self._watch_jobs(wanted)

    async def _watch_jobs(self, ids: Sequence[bytes]) -> list[list[bytes | None]]:
        found: list[list[bytes | None]] = await self._looks.run(inspection.WATCH_JOBS, SUBSCRIBED_MILLISECONDS, *ids)
        return found

    async def aclose(self) -> None:
        await self._listener.aclose()
        await self._scripts.aclose()
        await self._looks.aclose()


async def open_store(url: str, clock: Clock) -> RedisStore:
    """Open the store in the database that `url` names.

    Raises `ConfigurationError`, also where the server would throw away what must be kept, or `Unavailable`.
    """
    connector = Connector(parse_address(url))
    await check_store(connector)
    return RedisStore(connector, clock)
