"""`Inspection` on SQLite: the store for people and checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from jobkit.backends.sqlite import (
    audit,
    cancel,
    coordinators,
    inspection,
    job_search,
    park,
    pauses,
    priorities,
    repair,
    retention,
    tenants,
)
from jobkit.backends.sqlite.calls import Calls
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import UNFINISHED
from jobkit.model.pause import Pause, Scope
from jobkit.model.priority import Priority
from jobkit.ports.audit import ACTIONS_KEPT, Action
from jobkit.ports.inspection import (
    LOOKED_AT,
    Cancellation,
    DeadLetter,
    JobPage,
    JobRecord,
    JobState,
    KeyRecord,
    LoggedEntry,
    ParkedKey,
    PriorityChange,
    StoreCounts,
    first_found,
)
from jobkit.ports.rules import keepable_note


class SqliteInspection(Calls):
    """`Inspection` on the engine's database; a part of the `SqliteStore`."""

    async def job(self, id: str) -> JobRecord | None:
        return (await self.records([id])).get(id)

    async def records(self, ids: Sequence[str]) -> Mapping[str, JobRecord]:
        return await self._plane.read(inspection.records, ids)

    async def states(self, ids: Sequence[str]) -> Mapping[str, JobState]:
        return await self._plane.read(inspection.states, ids)

    async def envelope(self, id: str) -> Envelope | None:
        return await self._plane.read(inspection.envelope, id)

    async def jobs(
        self,
        *,
        type: str | None = None,
        key: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[JobRecord]:
        below = None
        if before is not None:
            below = await self._plane.read(inspection.number, before)
            if below is None:
                return []
        return await first_found(self, JobFilter(type, key, state), below=below, limit=limit)

    async def find(
        self, wanted: JobFilter, *, below: int | None = None, limit: int = 50, look_at: int = LOOKED_AT
    ) -> JobPage:
        return await self._plane.read(job_search.find, wanted, below=below, limit=limit, look_at=look_at)

    async def running(self, keys: Collection[tuple[str, str]]) -> Sequence[JobRecord]:
        return await self._plane.read(inspection.running, keys) if keys else []

    async def waiting_for_places(self, types: Collection[str]) -> Mapping[str, int]:
        return await self._plane.read(tenants.waiting, types)

    async def overdue(self, *, limit: int = 100) -> Sequence[JobRecord]:
        return await self._plane.read(inspection.overdue, limit=limit)

    async def dead(self, *, type: str | None = None, limit: int = 100, after: int = 0) -> Sequence[DeadLetter]:
        return await self._plane.read(inspection.dead, type=type, limit=limit, after=after)

    async def dead_letter(self, number: int) -> DeadLetter | None:
        return await self._plane.read(inspection.dead_letter, number)

    async def letters(self, id: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        return await self._plane.read(inspection.letters, id, limit=limit)

    async def requeue_dead(self, number: int) -> Envelope | None:
        return await self._plane.write(repair.requeue_dead, number)

    async def purge_dead(self, number: int) -> bool:
        return await self._plane.write(repair.purge_dead, number)

    async def republish(self, ids: Sequence[str]) -> Sequence[str]:
        return await self._plane.write(repair.republish, ids) if ids else []

    async def cancel(
        self, ids: Sequence[str], *, by: str, reason: str, states: Collection[JobState] = UNFINISHED
    ) -> Sequence[Cancellation]:
        note = {"by": keepable_note(by), "reason": keepable_note(reason)}
        return await self._plane.write(cancel.cancel, ids, **note, states=states) if ids else []

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

    async def gaps(self, *, after: tuple[str, str] = ("", ""), limit: int = 100) -> Sequence[ParkedKey]:
        return await self._plane.read(inspection.gaps, after=after, limit=limit)

    async def gap(self, type: str, key: str) -> ParkedKey | None:
        return await self._plane.read(inspection.gap, type, key)

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

    async def trim_log(self, type: str, key: str, *, upto: int, older_than: float, limit: int = 1000) -> int:
        # Of most logs nothing is old enough: no reason to wait for whoever writes.
        if not await self._plane.read(retention.old_entries, type, key, upto=upto, older_than=older_than, limit=1):
            return 0
        return await self._plane.write(retention.trim_log, type, key, upto=upto, older_than=older_than, limit=limit)

    async def drop_files(self, type: str, key: str, files: Sequence[BlobRef]) -> bool:
        return await self._plane.write(retention.drop_files, type, key, files)

    async def coordinators(self, *, within: float) -> Sequence[str]:
        return await self._plane.read(coordinators.noted, within=within)

    async def counts(self) -> StoreCounts:
        return await self._plane.read(inspection.counts)

    async def note_action(
        self, *, by: str, what: str, subject: str, detail: str = "", keep: int = ACTIONS_KEPT
    ) -> Action:
        by, what, subject, detail = map(keepable_note, (by, what, subject, detail))
        return await self._plane.write(audit.note_action, by=by, what=what, subject=subject, detail=detail, keep=keep)

    async def actions(self, *, below: int | None = None, limit: int = 100) -> Sequence[Action]:
        return await self._plane.read(audit.actions, below=below, limit=limit)

    async def prune(self, *, older_than: float, keep_at_most: int, batch: int = 1000) -> int:
        return await self._plane.write(retention.prune, older_than=older_than, keep_at_most=keep_at_most, batch=batch)
