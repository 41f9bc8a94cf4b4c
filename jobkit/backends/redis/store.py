"""The store plane on Redis: both halves of it, `Store` and `Inspection`.

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
from jobkit.backends.redis import open as opening
from jobkit.backends.redis.address import parse_address
from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.diagnosis import check_store
from jobkit.backends.redis.notifier import SUBSCRIBED_MILLISECONDS, Listener
from jobkit.backends.redis.scripts import Scripts, spelled
from jobkit.model.clock import Clock
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
from jobkit.ports.rules import COORDINATORS_KEPT, KEYS_PER_JOB, UNWANTED, letter_of
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


class RedisStore:
    """A `Store`, and its `Inspection`, in one database; made by `open_store`, inside a running event loop."""

    def __init__(self, connector: Connector, clock: Clock) -> None:
        self._clock = clock
        self._scripts = Scripts(connector, Plane.STORE)
        # Looks at long lists go by a way of their own, so that none keeps a commit waiting.
        self._looks = Scripts(connector, Plane.STORE)
        self._listener = Listener(connector)

    @property
    def round_trips(self) -> int:
        """How many requests were sent to the server so far."""
        return self._scripts.round_trips + self._looks.round_trips

    # ---- the way of a job ------------------------------------------------------------------------------------------

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[Accepted | Known | Conflict]:
        submit.check(jobs)
        if not jobs:
            return []
        return submit.answers(jobs, await self._scripts.run(submit.SUBMIT, *submit.arguments(jobs)))

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
        return commit.answer(envelope, await self._scripts.run(commit.COMMIT, *arguments))

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

    async def note_coordinator(self, identity: str) -> None:
        await self._scripts.run(coordinators.NOTE, identity, repr(COORDINATORS_KEPT))

    async def pauses(self) -> Sequence[Pause]:
        return pauses.pauses(await self._scripts.run(pauses.PAUSES))

    async def cancelled(self, ids: Sequence[str]) -> Sequence[Receipt]:
        return cancel.receipts(await self._scripts.run(cancel.CANCELLED, *map(spelled, ids))) if ids else []

    async def progress(self, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
        arguments = (*opening.holder(envelope, fence), repr(fraction), spelled(message))
        return bool(await self._scripts.run(fail.PROGRESS, *arguments))

    async def record(self, type: str, key: str, name: str) -> bytes | None:
        value: bytes | None = await self._scripts.run(inspection.RECORD, type, key, name)
        return value

    async def wait_finished(self, id: str, timeout: float) -> None:
        deadline = self._clock.now() + timeout
        with self._listener.subscribe(job_topic(id)) as subscription:
            first = moment = await self._watch_job(id)
            while moment == first and not (first[0] and JobState(first[0].decode()).ended):
                left = deadline - self._clock.now()
                if left <= 0 or await subscription.wait(left):
                    return
                moment = await self._watch_job(id)

    async def _watch_job(self, id: str) -> list[bytes | None]:
        found: list[bytes | None] = await self._scripts.run(inspection.WATCH_JOB, id, SUBSCRIBED_MILLISECONDS)
        return found

    async def aclose(self) -> None:
        await self._listener.aclose()
        await self._scripts.aclose()
        await self._looks.aclose()

    # ---- inspection ------------------------------------------------------------------------------------------------

    async def job(self, id: str) -> JobRecord | None:
        row = await self._scripts.run(inspection.JOB, id)
        return None if row is None else inspection.job(row)

    async def jobs(
        self, *, type: str | None = None, key: str | None = None, state: JobState | None = None, limit: int = 100
    ) -> Sequence[JobRecord]:
        filters = (submit.NONE if type is None else type, submit.NONE if key is None else key, state or "")
        found: list[JobRecord] = []
        below = "+inf"
        while below and len(found) < limit:
            wanted = (str(inspection.PAGE), str(limit - len(found)))
            following, *rows = await self._looks.run(inspection.JOBS, *filters, below, *wanted)
            found += map(inspection.job, rows)
            below = following.decode()
        return found

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

    async def requeue_dead(self, number: int) -> Envelope | None:
        row = await self._scripts.run(repair.ENVELOPE_OF_LETTER, str(number))
        envelope = None if row is None else repair.keyed(row)
        if envelope is None:
            return None
        done = await self._scripts.run(repair.REQUEUE, *repair.requeue_arguments(number, envelope))
        return envelope if done else None

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

    async def cancel(self, ids: Sequence[str], *, by: str, reason: str) -> Sequence[Cancellation]:
        found: list[Cancellation] = []
        for start in range(0, len(ids), inspection.PAGE):
            page = ids[start : start + inspection.PAGE]
            found += cancel.answers(page, await self._looks.run(cancel.CANCEL, *cancel.arguments(page, by, reason)))
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

    async def gaps(self) -> Sequence[ParkedKey]:
        found: list[ParkedKey] = []
        after = b""
        while page := await self._looks.run(inspection.GAPS, after, str(inspection.PAGE)):
            found += map(inspection.gap, page)
            after = page[-1][0]
        return sorted(found, key=lambda gap: (gap.since, gap.type, gap.key))

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
            first, wanted = after + len(found), min(limit - len(found), inspection.PAGE)
            page = await self._looks.run(inspection.LOG, type, key, str(first), str(wanted))
            found += [inspection.entry(position, row) for position, row in enumerate(page, start=first + 1)]
            if len(page) < wanted:
                break
        return found

    async def coordinators(self, *, within: float) -> Sequence[str]:
        found = await self._looks.run(coordinators.NOTED, repr(within))
        return sorted(identity.decode() for identity in found)

    async def counts(self) -> StoreCounts:
        return inspection.counts(await self._scripts.run(inspection.COUNTS))

    async def prune(self, *, older_than: float, keep_at_most: int, batch: int = 1000) -> int:
        keys = batch * KEYS_PER_JOB
        arguments = map(str, (older_than, keep_at_most, batch, keys))
        return int(await self._looks.run(retention.PRUNE, *arguments))

    # ---- schedules -------------------------------------------------------------------------------------------------

    async def wall_time(self) -> float:
        return float(await self._scripts.run(schedules.WALL_TIME))

    async def schedules(self, *, after: str = "", limit: int = 1000) -> Sequence[KeptSchedule]:
        found: list[KeptSchedule] = []
        while len(found) < limit:
            page = min(limit - len(found), inspection.PAGE)
            rows = await self._looks.run(schedules.ALL, spelled(found[-1].name if found else after), str(page))
            found += map(schedules.kept, rows)
            if len(rows) < page:
                break
        return found

    async def schedule(self, name: str) -> KeptSchedule | None:
        row = await self._scripts.run(schedules.ONE, spelled(name))
        return None if row is None else schedules.kept(row)

    async def due_schedules(self, *, limit: int) -> tuple[float, Sequence[KeptSchedule]]:
        now, *rows = await self._scripts.run(schedules.DUE, str(min(limit, inspection.PAGE)))
        return float(now), [schedules.kept(row) for row in rows]

    async def save_schedule(
        self, schedule: KeptSchedule, jobs: Sequence[NewJob] = ()
    ) -> Sequence[Accepted | Known | Conflict] | None:
        submit.check(jobs)
        arguments = schedules.save_arguments(schedule, jobs)
        return schedules.saved(jobs, await self._scripts.run(schedules.SAVE, *arguments))

    async def remove_schedule(self, name: str, *, revision: int) -> bool:
        return bool(await self._scripts.run(schedules.REMOVE, spelled(name), str(revision)))

    async def see_schedules(self, names: Sequence[str]) -> Sequence[str]:
        found = await self._scripts.run(schedules.SEE, *map(spelled, names)) if names else []
        return [name.decode() for name in found]


async def open_store(url: str, clock: Clock) -> RedisStore:
    """Open the store in the database that `url` names.

    Raises `ConfigurationError`, also where the server would throw away what must be kept, or `Unavailable`.
    """
    connector = Connector(parse_address(url))
    await check_store(connector)
    return RedisStore(connector, clock)
