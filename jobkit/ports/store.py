"""The store plane: what is true? Fence marks, finished ids, sequences, results, logs, the outbox.

The store alone decides what commits. Each method below is one transaction: all of it, or nothing, and durable when
it returns. Every method may raise `Unavailable`: then its effect is unknown, and asking again is safe.

A key's *mark* is the highest (token, nonce) that ever opened a job on it. A write is accepted only under the mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jobkit.model.blob import BlobRef
from jobkit.model.envelope import NOTHING_READ, Envelope, Heading
from jobkit.model.failure import Failure as Failure
from jobkit.model.fence import Fence, Receipt
from jobkit.model.job_group import NewGroup, OnFailure
from jobkit.model.layout import Layout
from jobkit.model.pause import Pause
from jobkit.model.tenancy import Tenancy
from jobkit.model.unique import Unique
from jobkit.ports.adrift import MessageLoss
from jobkit.ports.checkpoints import Checkpoints
from jobkit.ports.groups import Groups
from jobkit.ports.in_flight import InFlight
from jobkit.ports.store_answers import Accepted as Accepted
from jobkit.ports.store_answers import Committed as Committed
from jobkit.ports.store_answers import Conflict as Conflict
from jobkit.ports.store_answers import Duplicate as Duplicate
from jobkit.ports.store_answers import Early as Early
from jobkit.ports.store_answers import Expired as Expired
from jobkit.ports.store_answers import Gap as Gap
from jobkit.ports.store_answers import Kept as Kept
from jobkit.ports.store_answers import Known as Known
from jobkit.ports.store_answers import NotOpened as NotOpened
from jobkit.ports.store_answers import OpenAnswer as OpenAnswer
from jobkit.ports.store_answers import Opened as Opened
from jobkit.ports.store_answers import OutboxEntry as OutboxEntry
from jobkit.ports.store_answers import Refused as Refused
from jobkit.ports.store_answers import Skipped as Skipped
from jobkit.ports.store_answers import Stale as Stale
from jobkit.ports.store_answers import SubmitAnswer as SubmitAnswer
from jobkit.ports.store_answers import Superseded as Superseded
from jobkit.ports.store_answers import Suspended as Suspended
from jobkit.ports.store_answers import replaced as replaced


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to accept. `ordered` ones are given their key's next sequence; their envelope must carry a key.

    One that is to run later says either when, `at` a Unix time, or so many seconds `after` it is accepted, both by the
    store's wall clock. It gets its sequence then. One that is good only for so long says by when it has to have
    begun, in the same two ways. Of those of its type with the same `unique` name only one at a time holds it.

    One that `closes` a group is the group's `then`, and is `at` no time until the group's members have ended. One that
    is a `member_of` a group names that job. See `jobkit.ports.groups`.

    One of a tenant's waits until that has a place for it, in a line for each priority. It must not be `ordered`.
    """

    envelope: Envelope
    ordered: bool
    at: float | None = None
    after: float | None = None
    expires_at: float | None = None
    expires_after: float | None = None
    unique: Unique | None = None
    closes: NewGroup | None = None
    member_of: str | None = None
    tenancy: Tenancy | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry for the key's append-only log. `data` is JSON."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Effects:
    """All that one job changes; written together, or not at all. `result` and the records' values are JSON.

    `blobs`, where there are any, replace the key's manifest as a whole; who adds to it gives those that stay, too.
    """

    result: bytes = b"null"
    records: Mapping[str, bytes] = field(default_factory=dict)
    entries: Sequence[LogEntry] = ()
    follow_ups: Sequence[NewJob] = ()
    blobs: Sequence[BlobRef] = ()


class Store(InFlight, MessageLoss, Checkpoints, Groups, Protocol):
    """Where the truth is kept: the part of it that the way of a job needs. See `jobkit.ports.inspection` too.

    The envelope of every job is kept until the job has ended. One that has ended is nowhere else any more: whatever
    ends it (`commit`, `bury`, `bury_message`, `expire_due`, `Inspection.cancel`) takes it out of the outbox, the
    in-flight table and the parked jobs in the same transaction and wakes who waits for it, and nothing puts it back but
    `Inspection.requeue_dead`.

    A tenant's job takes a place when it is to go to the outbox for the first time, or waits for one; and gives it up
    when it ends or is put back with `snooze`. In the same transaction who has waited longest goes to the outbox.
    """

    async def submit(self, jobs: Sequence[NewJob]) -> Sequence[SubmitAnswer]:
        """Accept jobs in this order: give out sequences and fill the outbox. One answer for each job.

        Where the unique name of one is held by a job that has neither begun nor expired, that one is cancelled if the
        new one is to `replace` it, as by `Inspection.cancel`; else the new one is not accepted. A job holds its name
        from when it is accepted until it begins for the first time, or until it has ended: no call frees it.

        Raises `JobConflict`, with nothing written, where a group or a member of one is known as something else, or a
        member's group takes no more.
        """
        ...

    async def outbox(self, *, older_than: float, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        """Return the oldest outbox entries that were made more than `older_than` seconds ago (store's clock).

        Only those behind the position `after`, so that entries which cannot leave now hide no others.
        """
        ...

    async def published(self, positions: Sequence[int]) -> None:
        """Delete outbox entries: the broker has confirmed them."""
        ...

    async def release_due(self, *, limit: int) -> Sequence[OutboxEntry]:
        """Move scheduled jobs that are due to the outbox, `limit` at most, those first that were due first.

        Then members of groups that were held until all were declared, and are by now. An ordered one gets its key's
        next sequence now; one whose tenant has no place for it goes on waiting. Jobs that are not due cost nothing.

        Last come outbox entries whose makers were not told of them, as `commit` tells of its own: what a job that was
        cancelled, expired, died or snoozed let go, and what was republished, requeued, resumed or skipped. Each is told
        once, so that it is published at once.
        """
        ...

    async def expire_due(self, *, limit: int) -> Sequence[Expired]:
        """End jobs that were to have begun by now and have not, `limit` at most, those first whose time was over first.

        On an ordered key each gives up its turn. Jobs that have begun, or have time left, cost nothing.
        """
        ...

    async def open(self, envelope: Envelope, fence: Fence) -> OpenAnswer:
        """Make `fence` the mark of the envelope's key and tell what to do with the job.

        One that was to have begun by now ends here, as by `expire_due`; one that begins does not expire any more.
        The mark is set for all answers but `Duplicate` and `Stale`; it never falls. A job that was never submitted here
        (a foreign publisher's, or one that a failover of the store lost) becomes known now, and its sequence is not
        given out again; but where another job has that sequence already, it is `Superseded` by that one and stays
        unknown. The envelope must carry its key. Opening again under the same fence changes nothing and answers the
        same.
        """
        ...

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Committed | Duplicate | Refused:
        """End an opened job: verify the mark, the id and the sequence, and write its effects, in one step.

        Jobs of the key that were parked for this sequence go to the outbox with it, as many as `rules.RELEASED` at a
        time: each of them brings the next. Committing again under the same
        fence answers `Committed` again, so that a lost answer can be asked for. `Duplicate`: it had ended otherwise.
        Raises `JobConflict`, with nothing written, where a follow-up's id is known with another body.
        """
        ...

    async def amend(
        self, type: str, key: str, fence: Fence, records: Mapping[str, bytes], *, log_length: int
    ) -> bool | Stale:
        """Write records of a key outside of any job: what is derived from its log. Their values are JSON.

        Sets the mark as `open` does. Nothing is written, and False returned, where the key's log has not `log_length`
        entries, or the store knows nothing of the key. Idempotent.
        """
        ...

    async def fail(self, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float = 0.0) -> int | Refused:
        """Add a failed attempt to the job's history; return how many it has now. Idempotent by attempt number.

        The job is queued then, and not opened again for `retry_in` seconds, whoever asks. `Refused` where it has ended,
        too.
        """
        ...

    async def interrupted(self, envelope: Envelope, fence: Fence) -> None:
        """Note that the worker which opened the job under `fence` has lived to stop working on it, without an outcome.

        So that start is not counted as `silent`. Whoever holds the key's mark by now; idempotent. Nothing is noted of
        a job that has ended, or that was not opened under that fence.
        """
        ...

    async def snooze(self, envelope: Envelope, fence: Fence, *, after: float) -> Receipt | Refused:
        """Put an opened job without an order back, verifying the mark: it is scheduled, due in `after` seconds.

        That it was opened counts for nothing. `Refused` where it has ended, too. Idempotent. Raises `ValueError` where
        the job has a sequence.
        """
        ...

    async def suspend(
        self, envelope: Envelope, fence: Fence, *, members: Sequence[NewJob], on_failure: OnFailure
    ) -> Suspended | Refused:
        """Accept a group's members, and put the opened job without an order aside as its `then`, verifying the mark.

        The group has the job's id, and the job for its `parent`. What the job keeps of its work stays, and that it was
        opened counts for nothing. Where it is cancelled before the group has settled, workers cancel what is left of
        the members. Asking again under the same fence changes nothing. `Refused` where the job has ended, too. Raises
        `ValueError` where it has a sequence, `JobConflict` where it has had a group or a member's id is known.
        """
        ...

    async def bury(self, envelope: Envelope, fence: Fence, *, reason: str, detail: str = "") -> Receipt | Refused:
        """Dead-letter an opened job, verifying the mark; `detail` is a traceback. Its history goes with it.

        On an ordered key the jobs behind it are parked as they come, until it is requeued or skipped.
        """
        ...

    async def bury_message(
        self,
        raw: bytes,
        envelope: Envelope | None,
        *,
        reason: str,
        detail: str = "",
        heading: Heading = NOTHING_READ,
    ) -> Receipt:
        """Dead-letter a message that cannot be worked on: malformed, invalid, unknown, conflicting, skipped.

        Where it is the message of a job that has yet to end, the job ends with it, as by `bury` but without a fence: it
        is for whoever holds one to find out. A job of that id that differs is left alone. The letter keeps what is
        legible: `heading` where there is no envelope. The same message makes one letter, however often it comes.
        """
        ...

    async def park(self, envelope: Envelope, *, reason: str) -> Receipt:
        """Set an ordered job aside until the gap before it closes; where it has closed meanwhile, to the outbox.

        One that has ended is left as it is; the message of one that is superseded (see `open`) is dead-lettered.
        """
        ...

    async def layouts(self) -> Mapping[str, Layout]:
        """Return the layout of each type that has one."""
        ...

    async def set_layout(self, type: str, before: Layout | None, after: Layout) -> bool:
        """Replace a type's layout if it is `before`, None where it has none; tell whether it was."""
        ...

    async def note_coordinator(self, identity: str) -> None:
        """Note that a worker on this store keeps its leases, just now, at the coordinator with this identity."""
        ...

    async def pauses(self) -> Sequence[Pause]:
        """Return all that is paused, by type, partition and key; never more than `rules.PAUSES_AT_MOST`."""
        ...

    async def cancelled(self, ids: Sequence[str]) -> Sequence[Receipt]:
        """Return a receipt for each of these jobs that was cancelled, whoever runs it."""
        ...

    async def progress(self, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
        """Note how far a job is (0 to 1), if `fence` is the mark; tell whether it was."""
        ...

    async def record(self, type: str, key: str, name: str) -> bytes | None:
        """Return a committed record of a key as JSON, or None."""
        ...

    async def wait_finished(self, ids: Sequence[str], timeout: float) -> None:
        """Return once one of these jobs may have ended or progressed, or after `timeout` seconds.

        A hint: look to know. However many there are, the store is asked once for all of them.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
