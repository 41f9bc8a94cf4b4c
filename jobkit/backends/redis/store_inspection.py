"""`Inspection` on Redis: the store for people and checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from jobkit.backends.redis import (
    audit,
    cancel,
    coordinators,
    inspection,
    pauses,
    priorities,
    repair,
    retention,
    submit,
    tenants,
)
from jobkit.backends.redis.calls import Calls
from jobkit.backends.redis.outbox import with_sequence
from jobkit.backends.redis.scripts import spelled
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.job_filter import JobFilter
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
from jobkit.ports.rules import COUNTED, KEYS_PER_JOB, dump_manifest


class RedisInspection(Calls):
    """`Inspection` in one database; a part of the `RedisStore`."""

    async def job(self, id: str) -> JobRecord | None:
        return (await self.records([id])).get(id)

    async def records(self, ids: Sequence[str]) -> Mapping[str, JobRecord]:
        rows = await self._scripts.run(inspection.RECORDS, *map(spelled, ids)) if ids else []
        return {job.id: job for job in map(inspection.job, rows)}

    async def states(self, ids: Sequence[str]) -> Mapping[str, JobState]:
        found: list[bytes | None] = await self._scripts.run(inspection.STATES, *ids) if ids else []
        return {id: JobState(state.decode()) for id, state in zip(ids, found, strict=True) if state is not None}

    async def envelope(self, id: str) -> Envelope | None:
        row = await self._scripts.run(inspection.ENVELOPE, id)
        return None if row is None else with_sequence(*row)

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
            number = (await self._scripts.run(inspection.NUMBER, before) or b"").decode()
            if not number:
                return []
            below = int(number)
        return await first_found(self, JobFilter(type, key, state), below=below, limit=limit)

    async def find(
        self, wanted: JobFilter, *, below: int | None = None, limit: int = 50, look_at: int = LOOKED_AT
    ) -> JobPage:
        asked = inspection.wanted_arguments(wanted)
        found: list[JobRecord] = []
        looked = 0
        while len(found) < limit and looked < look_at:
            page = min(inspection.PAGE, look_at - looked)
            numbers = ("" if below is None else str(below), str(page), str(limit - len(found)))
            following, *rows = await self._looks.run(inspection.FIND, *asked, *numbers)
            found += map(inspection.job, rows)
            looked += page
            below = int(following) if following else None
            if below is None:
                break
        return JobPage(found, below)

    async def running(self, keys: Collection[tuple[str, str]]) -> Sequence[JobRecord]:
        # Of what runs there is as much as workers have slots.
        wanted, found, below = [part for of in keys for part in of], list[JobRecord](), b"+inf"
        while below and wanted:
            below, *rows = await self._looks.run(inspection.RUNNING, below, str(inspection.PAGE), *wanted)
            found += map(inspection.job, rows)
        return found

    async def waiting_for_places(self, types: Collection[str]) -> Mapping[str, int]:
        waiting = list(types)
        counts = await self._looks.run(tenants.WAITING, *waiting) if waiting else ()
        return {type: min(int(count), COUNTED) for type, count in zip(waiting, counts, strict=True) if count}

    async def overdue(self, *, limit: int = 100) -> Sequence[JobRecord]:
        return [inspection.job(row) for row in await self._looks.run(inspection.OVERDUE, str(limit))]

    async def dead(self, *, type: str | None = None, limit: int = 100, after: int = 0) -> Sequence[DeadLetter]:
        found: list[DeadLetter] = []
        above = str(after)
        while above and len(found) < limit:
            wanted = submit.NONE if type is None else type
            following, *rows = await self._looks.run(inspection.DEAD, wanted, above, str(inspection.PAGE))
            found += map(inspection.dead_letter, rows)
            above = following.decode()
        return found[:limit]

    async def dead_letter(self, number: int) -> DeadLetter | None:
        row = await self._looks.run(inspection.LETTER, str(number))
        return None if row is None else inspection.dead_letter(row)

    async def letters(self, id: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        return [inspection.dead_letter(row) for row in await self._looks.run(inspection.LETTERS, id, str(limit))]

    async def requeue_dead(self, number: int) -> Envelope | None:
        row = await self._scripts.run(repair.ENVELOPE_OF_LETTER, str(number))
        envelope = None if row is None else repair.keyed(row)
        if envelope is None:
            return None
        row = await self._scripts.run(repair.REQUEUE, *repair.requeue_arguments(number, envelope))
        return envelope if repair.is_requeued(number, row) else None

    async def purge_dead(self, number: int) -> bool:
        row = await self._scripts.run(repair.ENVELOPE_OF_LETTER, str(number))
        if row is None:
            return False
        arguments = repair.purge_arguments(number, repair.keyed(row))
        return bool(await self._scripts.run(repair.PURGE, *arguments))

    async def republish(self, ids: Sequence[str]) -> Sequence[str]:
        found: list[str] = []
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), inspection.PAGE):
            page = await self._scripts.run(repair.REPUBLISH, *wanted[start : start + inspection.PAGE])
            found += (id.decode() for id in page)
        return found

    async def cancel(
        self, ids: Sequence[str], *, by: str, reason: str, states: Collection[JobState] = UNFINISHED
    ) -> Sequence[Cancellation]:
        found: list[Cancellation] = []
        for start in range(0, len(ids), inspection.PAGE):
            page = ids[start : start + inspection.PAGE]
            asked = cancel.arguments(page, by, reason, states)
            found += cancel.answers(page, await self._looks.run(cancel.CANCEL, *asked))
        return found

    async def reprioritize(self, ids: Sequence[str], priority: Priority) -> Sequence[PriorityChange]:
        found: list[PriorityChange] = []
        for start in range(0, len(ids), inspection.PAGE):
            found += await self._reprioritize(ids[start : start + inspection.PAGE], priority)
        return found

    async def _reprioritize(self, ids: Sequence[str], priority: Priority) -> list[PriorityChange]:
        found: dict[int, PriorityChange] = {}
        while left := [place for place in range(len(ids)) if place not in found]:
            # Those whose envelopes change in between, having found their keys, are looked at again.
            wanted = [ids[place] for place in left]
            heads = await self._looks.run(priorities.HEADS, *wanted)
            rows = await self._looks.run(priorities.REPRIORITIZE, *priorities.arguments(wanted, heads, priority))
            for place, head, row in zip(left, heads, rows, strict=True):
                if (answer := priorities.answer(ids[place], head, row, priority)) is not None:
                    found[place] = answer
        return [found[place] for place in range(len(ids))]

    async def unfinished(
        self, type: str, state: JobState, *, key: str | None = None, below: int | None = None, limit: int = 500
    ) -> tuple[Sequence[str], int | None]:
        wanted = (type, submit.NONE if key is None else key, state, "+inf" if below is None else str(below), str(limit))
        following, *ids = await self._looks.run(cancel.UNFINISHED, *wanted)
        return [id.decode() for id in ids], int(following) if following else None

    async def pause(self, scope: Scope, *, by: str, reason: str) -> Pause:
        return pauses.paused(scope, await self._scripts.run(pauses.PAUSE, *pauses.pause_arguments(scope, by, reason)))

    async def resume(self, scope: Scope) -> Pause | None:
        return pauses.resumed(scope, await self._scripts.run(pauses.RESUME, pauses.name(scope)))

    async def gaps(self, *, after: tuple[str, str] = ("", ""), limit: int = 100) -> Sequence[ParkedKey]:
        found: list[ParkedKey] = []
        while len(found) < limit:
            wanted = min(limit - len(found), inspection.PAGE)
            page = await self._looks.run(inspection.GAPS, *after, str(wanted), *inspection.GAP_BOUNDS)
            found += map(inspection.gap, page)
            if len(page) < wanted:
                break
            after = (found[-1].type, found[-1].key)
        return found

    async def gap(self, type: str, key: str) -> ParkedKey | None:
        rows = await self._looks.run(inspection.GAPS, type, key, "", *inspection.GAP_BOUNDS)
        return inspection.gap(rows[0]) if rows else None

    async def resume_gap(self, type: str, key: str) -> int:
        return int(await self._scripts.run(repair.RESUME, type, key))

    async def skip_gap(self, type: str, key: str, *, before: int) -> int:
        repair.check_skip(type, key, before)
        return repair.skipped(type, key, before, await self._scripts.run(repair.SKIP, type, key, str(before)))

    async def key(self, type: str, key: str) -> KeyRecord | None:
        row = await self._scripts.run(inspection.KEY, type, key)
        return None if row is None else inspection.key(row)

    async def keys(self, *, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[KeyRecord]:
        found: list[KeyRecord] = []
        while len(found) < limit:
            wanted = str(min(limit - len(found), inspection.PAGE))
            page = await self._looks.run(inspection.KEYS, *after, wanted)
            if not page:
                break
            found += map(inspection.key, page)
            after = (found[-1].type, found[-1].key)
        return found

    async def log(self, type: str, key: str, *, after: int = 0, limit: int = 1000) -> Sequence[LoggedEntry]:
        found: list[LoggedEntry] = []
        while len(found) < limit:
            begin, wanted = found[-1].position if found else after, min(limit - len(found), inspection.PAGE)
            first, *page = await self._looks.run(inspection.LOG, type, key, str(begin), str(wanted))
            found += [inspection.entry(position, row) for position, row in enumerate(page, start=int(first) + 1)]
            if len(page) < wanted:
                break
        return found

    async def trim_log(self, type: str, key: str, *, upto: int, older_than: float, limit: int = 1000) -> int:
        arguments = (type, key, str(upto), repr(older_than), str(limit))
        return int(await self._looks.run(retention.TRIM_LOG, *arguments))

    async def drop_files(self, type: str, key: str, files: Sequence[BlobRef]) -> bool:
        return bool(await self._looks.run(retention.DROP_FILES, type, key, dump_manifest(files)))

    async def coordinators(self, *, within: float) -> Sequence[str]:
        found = await self._looks.run(coordinators.NOTED, repr(within))
        return sorted(identity.decode() for identity in found)

    async def counts(self) -> StoreCounts:
        return inspection.counts(await self._scripts.run(inspection.COUNTS))

    async def note_action(
        self, *, by: str, what: str, subject: str, detail: str = "", keep: int = ACTIONS_KEPT
    ) -> Action:
        arguments = audit.note_arguments(keep, by, what, subject, detail)
        return audit.action(await self._scripts.run(audit.NOTE, *arguments))

    async def actions(self, *, below: int | None = None, limit: int = 100) -> Sequence[Action]:
        found: list[Action] = []
        while len(found) < limit:
            wanted = min(limit - len(found), inspection.PAGE)
            page = await self._looks.run(audit.ACTIONS, "" if below is None else str(below), str(wanted))
            found += map(audit.action, page)
            if len(page) < wanted:
                break
            below = found[-1].number
        return found

    async def prune(self, *, older_than: float, keep_at_most: int, batch: int = 1000) -> int:
        keys = batch * KEYS_PER_JOB
        arguments = map(str, (older_than, keep_at_most, batch, keys, DECLARED_WITHIN))
        return int(await self._looks.run(retention.PRUNE, *arguments))
