"""`Inspection` on PostgreSQL: the store for people and checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jobkit.backends.postgres import (
    audit,
    cancel,
    coordinators,
    inspection,
    job_search,
    pauses,
    priorities,
    repair,
    retention,
)
from jobkit.backends.postgres.calls import Calls
from jobkit.backends.postgres.outbox import with_sequence
from jobkit.backends.postgres.sanitize import fit
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.job_filter import CLOCKS_APART, JobFilter
from jobkit.model.job_state import UNFINISHED
from jobkit.model.pause import Pause, Scope
from jobkit.model.priority import Priority
from jobkit.ports.audit import ACTIONS_KEPT, Action
from jobkit.ports.groups import DECLARED_WITHIN
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
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import (
    COUNTED,
    KEYS_PER_JOB,
    OPEN_LOOKED_AT,
    PARKED_COUNTED,
    PARKED_LOOKED_AT,
    RELEASED,
    dump_manifest,
)


class PostgresInspection(Calls):
    """`Inspection` in one database; a part of the `PostgresStore`."""

    async def job(self, id: str) -> JobRecord | None:
        return (await self.records([id])).get(id)

    async def records(self, ids: Sequence[str]) -> Mapping[str, JobRecord]:
        return {row["id"]: inspection.job(row) for row in await self._look(inspection.RECORDS, list(map(fit, ids)))}

    async def states(self, ids: Sequence[str]) -> Mapping[str, JobState]:
        return {row["id"]: JobState(row["state"]) for row in await self._look(inspection.STATES, list(ids))}

    async def envelope(self, id: str) -> Envelope | None:
        rows = await self._look(inspection.ENVELOPE, id)
        return with_sequence(rows[0]["envelope"], rows[0]["sequence"]) if rows else None

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
            rows = await self._look(inspection.NUMBER, before)
            if not rows:
                return []
            below = int(rows[0]["number"])
        return await first_found(self, JobFilter(type, key, state), below=below, limit=limit)

    async def find(
        self, wanted: JobFilter, *, below: int | None = None, limit: int = 50, look_at: int = LOOKED_AT
    ) -> JobPage:
        if below is None:
            below = job_search.LAST if wanted.until is None else await self._submitted_after(wanted.until)
        types = None if wanted.type is None else [wanted.type]
        if not job_search.leads_with_type(wanted):
            types = None
        elif types is None:
            types = [row["type"] for row in await self._look(job_search.TYPES)]
        statement, args = job_search.last_query(wanted, types, below, look_at)
        last = next(iter(await self._look(statement, *args)), None)
        statement, args = job_search.page_query(wanted, types, below, 0 if last is None else last["number"], limit)
        rows = [dict(row) for row in await self._look(statement, *args)]
        numbers = [row.pop("number") for row in rows]
        found = [inspection.job(row) for row in rows]
        if len(found) == limit:
            return JobPage(found, numbers[-1])
        return JobPage(found, None if last is None or job_search.ends(wanted, last) else last["number"])

    async def _submitted_after(self, at: float) -> int:
        return int((await self._look(job_search.SUBMITTED_AFTER, at + CLOCKS_APART))[0]["high"])

    async def running(self, keys: Collection[tuple[str, str]]) -> Sequence[JobRecord]:
        types, names = zip(*keys, strict=True) if keys else ((), ())
        rows = await self._look(inspection.RUNNING, list(types), list(map(fit, names)), OPEN_LOOKED_AT) if keys else []
        return [inspection.job(row) for row in rows]

    async def waiting_for_places(self, types: Collection[str]) -> Mapping[str, int]:
        rows = await self._look(inspection.WAITING_FOR_PLACES, list(types), COUNTED) if types else []
        return {row["type"]: row["waiting"] for row in rows}

    async def overdue(self, *, limit: int = 100) -> Sequence[JobRecord]:
        return [inspection.job(row) for row in await self._look(inspection.OVERDUE, limit)]

    async def dead(self, *, type: str | None = None, limit: int = 100, after: int = 0) -> Sequence[DeadLetter]:
        if type is None:
            rows = await self._look(inspection.DEAD, after, limit)
        else:
            rows = await self._look(inspection.DEAD_OF_TYPE, after, limit, type)
        return [inspection.dead_letter(row) for row in rows]

    async def dead_letter(self, number: int) -> DeadLetter | None:
        rows = await self._look(inspection.DEAD_LETTER, number)
        return inspection.dead_letter(rows[0]) if rows else None

    async def letters(self, id: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        return [inspection.dead_letter(row) for row in await self._look(inspection.LETTERS, id, limit)]

    async def requeue_dead(self, number: int) -> Envelope | None:
        rows = await self._look(repair.ENVELOPE_OF_LETTER, number)
        envelope = repair.keyed(rows[0]) if rows else None
        if envelope is None:
            return None
        row = await self._row(repair.REQUEUE, *repair.requeue_arguments(number, envelope), aside=True)
        self._notifier.notify([job_topic(envelope.id)])
        return envelope if repair.is_requeued(number, row) else None

    async def purge_dead(self, number: int) -> bool:
        rows = await self._look(repair.ENVELOPE_OF_LETTER, number)
        if not rows:
            return False
        row = await self._row(repair.PURGE, *repair.purge_arguments(number, repair.keyed(rows[0])), aside=True)
        return bool(row["done"])

    async def republish(self, ids: Sequence[str]) -> Sequence[str]:
        rows = await self._look(repair.REPUBLISH, list(map(fit, ids)))
        return [row["id"] for row in rows]

    async def cancel(
        self, ids: Sequence[str], *, by: str, reason: str, states: Collection[JobState] = UNFINISHED
    ) -> Sequence[Cancellation]:
        if not ids:
            return []
        answers = cancel.answers(ids, await self._look(cancel.CANCEL, *cancel.arguments(ids, by, reason, states)))
        self._notifier.notify([job_topic(answer.id) for answer in answers if answer.cancelled])
        return answers

    async def reprioritize(self, ids: Sequence[str], priority: Priority) -> Sequence[PriorityChange]:
        wanted: dict[str, priorities.Wish] = {}
        rows: dict[str, Any] = {}
        left = list(dict.fromkeys(map(fit, ids)))
        while left:
            # Those whose envelopes change in between, having found their keys, are looked at again.
            seen = priorities.wishes(await self._look(priorities.LOOK, left), priority)
            wanted |= {one.id: one for one in seen}
            found = await self._look(priorities.REPRIORITIZE, *priorities.arguments(seen, priority))
            rows |= {row["id"]: row for row in found}
            left = [row["id"] for row in found if row["answer"] == "again"]
        moved = [id for id, row in rows.items() if row["position"] is not None]
        envelopes = await self._look(priorities.ENVELOPES, moved) if moved else []
        packed = {row["id"]: row["envelope"] for row in envelopes}
        return priorities.answers(ids, wanted, rows, packed, priority)

    async def unfinished(
        self, type: str, state: JobState, *, key: str | None = None, below: int | None = None, limit: int = 500
    ) -> tuple[Sequence[str], int | None]:
        statement, args = cancel.page_query(type, state, below, limit)
        return cancel.page(await self._look(statement, *args), state, key, limit)

    async def pause(self, scope: Scope, *, by: str, reason: str) -> Pause:
        return pauses.paused(await self._look(pauses.PAUSE, *pauses.pause_arguments(scope, by, reason)))

    async def resume(self, scope: Scope) -> Pause | None:
        return pauses.resumed(await self._look(pauses.RESUME, *pauses.name(scope)))

    async def gaps(self, *, after: tuple[str, str] = ("", ""), limit: int = 100) -> Sequence[ParkedKey]:
        rows = await self._look(inspection.GAPS, *after, limit, PARKED_COUNTED, PARKED_LOOKED_AT)
        return [inspection.gap(row) for row in rows]

    async def gap(self, type: str, key: str) -> ParkedKey | None:
        rows = await self._look(inspection.GAP, type, key, PARKED_COUNTED, PARKED_LOOKED_AT)
        return inspection.gap(rows[0]) if rows else None

    async def resume_gap(self, type: str, key: str) -> int:
        row = await self._row(repair.RESUME, type, key, RELEASED, aside=True)
        return int(row["released"])

    async def skip_gap(self, type: str, key: str, *, before: int) -> int:
        repair.check_skip(type, key, before)
        row = await self._row(repair.SKIP, type, key, before, RELEASED, aside=True)
        return repair.skipped(type, key, before, row)

    async def key(self, type: str, key: str) -> KeyRecord | None:
        rows = await self._look(inspection.KEY, type, key)
        return inspection.key(rows[0]) if rows else None

    async def keys(self, *, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[KeyRecord]:
        return [inspection.key(row) for row in await self._look(inspection.KEYS, *after, limit)]

    async def log(self, type: str, key: str, *, after: int = 0, limit: int = 1000) -> Sequence[LoggedEntry]:
        return [inspection.entry(row) for row in await self._look(inspection.LOG, type, key, after, limit)]

    async def trim_log(self, type: str, key: str, *, upto: int, older_than: float, limit: int = 1000) -> int:
        row = await self._row(retention.TRIM_LOG, type, key, upto, older_than, limit, aside=True)
        return int(row["gone"])

    async def drop_files(self, type: str, key: str, files: Sequence[BlobRef]) -> bool:
        row = await self._row(retention.DROP_FILES, type, key, dump_manifest(files), aside=True)
        return bool(row["dropped"])

    async def coordinators(self, *, within: float) -> Sequence[str]:
        return [row["identity"] for row in await self._look(coordinators.NOTED, within)]

    async def counts(self) -> StoreCounts:
        return inspection.counts((await self._look(inspection.COUNTS))[0])

    async def note_action(
        self, *, by: str, what: str, subject: str, detail: str = "", keep: int = ACTIONS_KEPT
    ) -> Action:
        arguments = audit.note_arguments(keep, by, what, subject, detail)
        return audit.action(await self._row(audit.NOTE, *arguments, aside=True))

    async def actions(self, *, below: int | None = None, limit: int = 100) -> Sequence[Action]:
        return [audit.action(row) for row in await self._look(audit.ACTIONS, *audit.below_arguments(below, limit))]

    async def prune(self, *, older_than: float, keep_at_most: int, batch: int = 1000) -> int:
        keys = batch * KEYS_PER_JOB
        asked = (older_than, keep_at_most, batch, keys, DECLARED_WITHIN, RELEASED)
        return int((await self._row(retention.PRUNE, *asked, aside=True))["gone"])
