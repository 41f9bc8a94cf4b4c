"""The store plane on SQLite: both halves of it, `Store` and `Inspection`.

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
    outbox,
    park,
    pauses,
    priorities,
    repair,
    retention,
    schedule,
    schedules,
    submit,
)
from jobkit.backends.sqlite import open as opening
from jobkit.backends.sqlite.engine import Engine
from jobkit.model.envelope import NOTHING_READ, Envelope, Heading
from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import Partition
from jobkit.model.pause import Pause, Scope
from jobkit.model.plane import Plane
from jobkit.model.priority import Priority
from jobkit.ports.inspection import (
    Cancellation,
    DeadLetter,
    JobRecord,
    JobState,
    KeyRecord,
    LoggedEntry,
    ParkedKey,
    PriorityChange,
    StoreCounts,
)
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import keepable_note, letter_of
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import (
    Accepted,
    Adrift,
    Committed,
    Conflict,
    Duplicate,
    Effects,
    Expired,
    Failure,
    Known,
    NewJob,
    OpenAnswer,
    OutboxEntry,
    Refused,
    Shelved,
    Stale,
)


class SqliteStore:
    """A `Store`, and its `Inspection`, on the engine's database."""

    def __init__(self, engine: Engine) -> None:
        self._plane = engine.plane(Plane.STORE)

    # ---- the way of a job ------------------------------------------------------------------------------------------

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[Accepted | Known | Conflict]:
        return await self._plane.write(submit.submit, jobs)

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

    async def note_coordinator(self, identity: str) -> None:
        await self._plane.write(coordinators.note, identity)

    async def pauses(self) -> Sequence[Pause]:
        return await self._plane.read(pauses.pauses)

    async def cancelled(self, ids: Sequence[str]) -> Sequence[Receipt]:
        return await self._plane.read(cancel.cancelled, ids) if ids else []

    async def progress(self, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
        return await self._plane.write(fail.progress, envelope, fence, fraction=fraction, message=message)

    async def record(self, type: str, key: str, name: str) -> bytes | None:
        return await self._plane.read(inspection.record, type, key, name)

    async def wait_finished(self, id: str, timeout: float) -> None:
        clock = self._plane.clock
        deadline = clock.now() + timeout
        with self._plane.notifier.subscribe(job_topic(id)) as subscription:
            first = await self._plane.read(inspection.moment, id)
            while first is None or not first[0].ended:
                left = deadline - clock.now()
                if left <= 0:
                    return
                await subscription.wait(left)
                if await self._plane.read(inspection.moment, id) != first:
                    return

    async def aclose(self) -> None:
        """Do nothing: the engine belongs to whoever opened it."""

    # ---- inspection ------------------------------------------------------------------------------------------------

    async def job(self, id: str) -> JobRecord | None:
        return await self._plane.read(inspection.job, id)

    async def jobs(
        self, *, type: str | None = None, key: str | None = None, state: JobState | None = None, limit: int = 100
    ) -> Sequence[JobRecord]:
        return await self._plane.read(inspection.jobs, type=type, key=key, state=state, limit=limit)

    async def overdue(self, *, limit: int = 100) -> Sequence[JobRecord]:
        return await self._plane.read(inspection.overdue, limit=limit)

    async def dead(self, *, type: str | None = None, limit: int = 100, after: int = 0) -> Sequence[DeadLetter]:
        return await self._plane.read(inspection.dead, type=type, limit=limit, after=after)

    async def dead_letter(self, number: int) -> DeadLetter | None:
        return await self._plane.read(inspection.dead_letter, number)

    async def requeue_dead(self, number: int) -> Envelope | None:
        return await self._plane.write(repair.requeue_dead, number)

    async def purge_dead(self, number: int) -> bool:
        return await self._plane.write(repair.purge_dead, number)

    async def republish(self, ids: Sequence[str]) -> Sequence[str]:
        return await self._plane.write(repair.republish, ids) if ids else []

    async def cancel(self, ids: Sequence[str], *, by: str, reason: str) -> Sequence[Cancellation]:
        note = {"by": keepable_note(by), "reason": keepable_note(reason)}
        return await self._plane.write(cancel.cancel, ids, **note) if ids else []

    async def reprioritize(self, ids: Sequence[str], priority: Priority) -> Sequence[PriorityChange]:
        return await self._plane.write(priorities.reprioritize, ids, priority) if ids else []

    async def unfinished(
        self, type: str, state: JobState, *, key: str | None = None, below: int | None = None, limit: int = 500
    ) -> tuple[Sequence[str], int | None]:
        return await self._plane.read(cancel.unfinished, type, state, key=key, below=below, limit=limit)

    async def pause(self, scope: Scope, *, by: str, reason: str) -> Pause:
        by, reason = keepable_note(by), keepable_note(reason)
        return await self._plane.write(pauses.pause, scope, by=by, reason=reason)

    async def resume(self, scope: Scope) -> Pause | None:
        return await self._plane.write(pauses.resume, scope)

    async def gaps(self) -> Sequence[ParkedKey]:
        return await self._plane.read(inspection.gaps)

    async def resume_gap(self, type: str, key: str) -> int:
        return await self._plane.write(park.resume, type, key)

    async def skip_gap(self, type: str, key: str, *, before: int) -> int:
        return await self._plane.write(repair.skip_gap, type, key, before=before)

    async def key(self, type: str, key: str) -> KeyRecord | None:
        return await self._plane.read(inspection.key_record, type, key)

    async def keys(self, *, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[KeyRecord]:
        return await self._plane.read(inspection.keys, after=after, limit=limit)

    async def log(self, type: str, key: str, *, after: int = 0, limit: int = 1000) -> Sequence[LoggedEntry]:
        return await self._plane.read(inspection.log, type, key, after=after, limit=limit)

    async def coordinators(self, *, within: float) -> Sequence[str]:
        return await self._plane.read(coordinators.noted, within=within)

    async def counts(self) -> StoreCounts:
        return await self._plane.read(inspection.counts)

    async def prune(self, *, older_than: float, keep_at_most: int, batch: int = 1000) -> int:
        return await self._plane.write(retention.prune, older_than=older_than, keep_at_most=keep_at_most, batch=batch)

    # ---- schedules -------------------------------------------------------------------------------------------------

    async def wall_time(self) -> float:
        return await self._plane.read(schedules.wall_time)

    async def schedules(self, *, after: str = "", limit: int = 1000) -> Sequence[KeptSchedule]:
        return await self._plane.read(schedules.schedules, after=after, limit=limit)

    async def schedule(self, name: str) -> KeptSchedule | None:
        return await self._plane.read(schedules.schedule, name)

    async def due_schedules(self, *, limit: int) -> tuple[float, Sequence[KeptSchedule]]:
        return await self._plane.read(schedules.due, limit=limit)

    async def save_schedule(
        self, schedule: KeptSchedule, jobs: Sequence[NewJob] = ()
    ) -> Sequence[Accepted | Known | Conflict] | None:
        return await self._plane.write(schedules.save, schedule, jobs)

    async def remove_schedule(self, name: str, *, revision: int) -> bool:
        return await self._plane.write(schedules.remove, name, revision=revision)

    async def see_schedules(self, names: Sequence[str]) -> Sequence[str]:
        return await self._plane.write(schedules.see, names) if names else []
