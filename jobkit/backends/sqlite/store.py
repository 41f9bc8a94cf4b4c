"""The store plane on SQLite: `Store`, with `Inspection` and `Schedules` from the files beside it.

It decides nothing here: each method hands one plain function of a transaction to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobkit.backends.sqlite import (
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
    unique,
)
from jobkit.backends.sqlite import open as opening
from jobkit.backends.sqlite.store_checkpoints import SqliteCheckpoints
from jobkit.backends.sqlite.store_inspection import SqliteInspection
from jobkit.backends.sqlite.store_schedules import SqliteSchedules
from jobkit.backends.sqlite.store_types import SqliteTypes
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
from jobkit.ports.notifier import job_topic
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


class SqliteStore(SqliteInspection, SqliteSchedules, SqliteTypes, SqliteCheckpoints):
    """A `Store`, and its `Inspection`, on the engine's database."""

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[SubmitAnswer]:
        return await self._plane.write(unique.submit_all, jobs)

    async def outbox(self, *, older_than: float, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        return await self._plane.read(outbox.entries, older_than=older_than, limit=limit, after=after)

    async def published(self, positions: Sequence[int]) -> None:
        if positions:
            await self._plane.write(outbox.published, positions)

    async def release_due(self, *, limit: int) -> Sequence[OutboxEntry]:
        return await self._plane.write(schedule.release_due, limit=limit)

    async def expire_due(self, *, limit: int) -> Sequence[Expired]:
        return await self._plane.write(cancel.expire_due, limit=limit)

    async def open(self, envelope: Envelope, fence: Fence) -> OpenAnswer:
        return await self._plane.write(opening.open_job, envelope, fence)

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Committed | Duplicate | Refused:
        return await self._plane.write(commit.commit_job, envelope, fence, effects)

    async def amend(
        self, type: str, key: str, fence: Fence, records: Mapping[str, bytes], *, log_length: int
    ) -> bool | Stale:
        return await self._plane.write(amend.amend, type, key, fence, records, log_length=log_length)

    async def fail(self, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float = 0.0) -> int | Refused:
        return await self._plane.write(fail.fail, envelope, fence, failure, retry_in=retry_in)

    async def interrupted(self, envelope: Envelope, fence: Fence) -> None:
        await self._plane.write(fail.interrupted, envelope, fence)

    async def suspend(
        self, envelope: Envelope, fence: Fence, *, members: Sequence[NewJob], on_failure: OnFailure
    ) -> Suspended | Refused:
        return await self._plane.write(schedule.suspend, envelope, fence, members=members, on_failure=on_failure)

    async def snooze(self, envelope: Envelope, fence: Fence, *, after: float) -> Receipt | Refused:
        return await self._plane.write(schedule.snooze, envelope, fence, after=after)

    async def bury(self, envelope: Envelope, fence: Fence, *, reason: str, detail: str = "") -> Receipt | Refused:
        return await self._plane.write(fail.bury, envelope, fence, reason=reason, detail=detail)

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
        return await self._plane.write(fail.bury_message, letter)

    async def park(self, envelope: Envelope, *, reason: str) -> Receipt:
        answer = await self._plane.write(park.park, envelope, reason=reason)
        return answer if isinstance(answer, Receipt) else await self._bury(envelope, answer)

    async def shelve(self, envelope: Envelope, partition: Partition) -> Receipt:
        answer = await self._plane.write(park.shelve, envelope, partition)
        return answer if isinstance(answer, Receipt) else await self._bury(envelope, answer)

    async def _bury(self, envelope: Envelope, reason: str) -> Receipt:
        return await self.bury_message(envelope.body, envelope, reason=reason)

    async def shelved(
        self, partition: Partition, *, limit: int, key: str | None = None, after: int = 0
    ) -> Sequence[Shelved]:
        return await self._plane.read(park.shelved, partition, limit=limit, key=key, after=after)

    async def shelved_keys(self, partition: Partition, *, limit: int, after: str = "") -> Sequence[str]:
        return await self._plane.read(park.shelved_keys, partition, limit=limit, after=after)

    async def horizon(self) -> int:
        return await self._plane.read(adrift.horizon)

    async def adrift(
        self, partition: Partition, partitions: int, *, after: int, upto: int, limit: int
    ) -> tuple[Sequence[Adrift], int | None]:
        return await self._plane.read(adrift.adrift, partition, partitions, after=after, upto=upto, limit=limit)

    async def layouts(self) -> Mapping[str, Layout]:
        return await self._plane.read(layouts.layouts)

    async def set_layout(self, type: str, before: Layout | None, after: Layout) -> bool:
        return await self._plane.write(layouts.set_layout, type, before, after)

    async def note_coordinator(self, identity: str) -> None:
        await self._plane.write(coordinators.note, identity)

    async def pauses(self) -> Sequence[Pause]:
        return await self._plane.read(pauses.pauses)

    async def cancelled(self, ids: Sequence[str]) -> Sequence[Receipt]:
        return await self._plane.read(cancel.cancelled, ids) if ids else []

    async def progress(self, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
        return await self._plane.write(fail.progress, envelope, fence, fraction=fraction, message=message)

    async def group(self, id: str) -> GroupRecord | None:
        return await self._plane.read(job_groups.group, id)

    async def members(self, id: str, *, after: int = 0, limit: int = MEMBERS_AT_ONCE) -> Sequence[GroupMember]:
        return await self._plane.read(job_groups.members, id, after=after, limit=limit)

    async def groups(self, *, below: str | None = None, limit: int = 100) -> Sequence[GroupRecord]:
        return await self._plane.read(job_groups.groups, below=below, limit=limit)

    async def groups_of(self, parent: str, *, after: str = "", limit: int = 100) -> Sequence[GroupRecord]:
        return await self._plane.read(job_groups.groups_of, parent, after=after, limit=limit)

    async def record(self, type: str, key: str, name: str) -> bytes | None:
        return await self._plane.read(inspection.record, type, key, name)

    async def wait_finished(self, ids: Sequence[str], timeout: float) -> None:
        clock = self._plane.clock
        deadline = clock.now() + timeout
        with self._plane.notifier.subscribe(*map(job_topic, ids)) as subscription:
            first = await self._plane.read(inspection.moments, ids)
            while not any(state.ended for state, *_ in first.values()):
                left = deadline - clock.now()
                if left <= 0:
                    return
                await subscription.wait(left)
                if await self._plane.read(inspection.moments, ids) != first:
                    return

    async def aclose(self) -> None:
        """Do nothing: the engine belongs to whoever opened it."""
