"""What people and checks look at in the store, and the few repairs that only a command may do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import UNFINISHED
from jobkit.model.job_state import JobState as JobState
from jobkit.model.pause import Pause, Scope
from jobkit.model.priority import Priority
from jobkit.model.tags import tags_in
from jobkit.ports.audit import Audit
from jobkit.ports.schedules import Schedules
from jobkit.ports.store import Failure, OutboxEntry
from jobkit.ports.take_over import TakeOver
from jobkit.ports.types import Types

# Of so many jobs at most the records or states are asked for at once.
STATES_AT_ONCE = 1000
# So many jobs are looked at for one page of those that match.
LOOKED_AT = 5_000


@dataclass(frozen=True, slots=True)
class JobRecord:
    """All that is known of one job. Times are Unix seconds, for people; `result` is JSON.

    `ended_by` and `reason` say who ended it without its having run to an end, and why; a dead one has a `reason`, too.
    `due_at` is when a scheduled one is due, `expires_at` when one ends that has not begun by then. `unique` is the name
    that it was accepted with. `priority` is told of those that have yet to end. It is a member of `group`, which the
    commit of its `parent` made, unless a client did. It is its `tenant`'s, and `waits_for_place` where it is scheduled,
    for no time, until that one has a place for it. `trace` is the trace context that it was submitted in, with its
    `tags`. `take_overs` are those of it since it was submitted, or tried again, the last few.
    """

    id: str
    type: str
    key: str
    sequence: int | None
    state: JobState
    owner: str | None
    token: int | None
    opens: int
    failures: tuple[Failure, ...]
    progress: float
    message: str
    result: bytes | None
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    ended_by: str | None = None
    reason: str | None = None
    due_at: float | None = None
    expires_at: float | None = None
    unique: str | None = None
    priority: Priority | None = None
    group: str | None = None
    parent: str | None = None
    tenant: str | None = None
    waits_for_place: bool = False
    trace: Mapping[str, str] = field(default_factory=dict, hash=False)
    take_overs: tuple[TakeOver, ...] = ()

    @property
    def tags(self) -> tuple[str, ...]:
        """The words that it is to be found by."""
        return tags_in(self.trace)


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs that match, the latest submitted first, and the number to go on `below`: None where all were looked at."""

    jobs: Sequence[JobRecord]
    below: int | None


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What came of cancelling one job. `cancelled`: it has ended by this call, and will never commit.

    Where it had ended before, `state` says how, and `result` is that of a committed one. Without a state, no such job
    is known.
    """

    id: str
    cancelled: bool
    state: JobState | None
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class PriorityChange:
    """What came of changing one job's priority. `changed`: it has the priority by this call, and is to be published.

    Where nothing was changed, `state` says why: it runs, or it has ended; or `priority`, which it has now: that is the
    one it was to get, or another where it has a place in the order of its key. Without a state, no such job is known.
    """

    id: str
    changed: bool
    state: JobState | None
    priority: Priority | None = None
    entry: OutboxEntry | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `number` names it in commands; `raw` is the body as it came.

    Of a message that was no job, `headers` are what else it said and could be read.
    """

    number: int
    id: str | None
    type: str | None
    key: str | None
    sequence: int | None
    reason: str
    detail: str
    failures: tuple[Failure, ...]
    raw: bytes
    died_at: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """An ordered key that stands still: it waits for `expected`; `parked` jobs from `first` on wait behind it.

    Of those, `rules.PARKED_COUNTED` are counted at most.
    """

    type: str
    key: str
    expected: int
    first: int
    parked: int
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key as the store sees it: its mark, its sequences and its log. `committed_sequence` counts skips too.

    Of its log's `log_length` entries the first `log_trimmed` were dropped by `Inspection.trim_log`.
    """

    type: str
    key: str
    token: int
    nonce: str
    owner: str
    submitted_sequence: int
    committed_sequence: int
    log_length: int
    manifest: tuple[BlobRef, ...]
    log_trimmed: int = 0


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """One entry of a key's log: `position` counts from 1 without holes; `token` never falls along it."""

    position: int
    kind: str
    data: bytes
    job_id: str
    sequence: int | None
    token: int
    at: float


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """How many of each there are, now."""

    jobs: dict[JobState, int]
    outbox: int
    shelved: int
    parked: int
    dead: int
    keys: int


class Inspection(Schedules, Types, Audit, Protocol):
    """The other half of a store, with its schedules, types and audit log. Every method may raise `Unavailable`."""

    async def job(self, id: str) -> JobRecord | None:
        """Return one job, or None where its id is not known."""
        ...

    async def records(self, ids: Sequence[str]) -> Mapping[str, JobRecord]:
        """Return jobs by id; those that are not known are left out. At most `STATES_AT_ONCE`."""
        ...

    async def states(self, ids: Sequence[str]) -> Mapping[str, JobState]:
        """Return how far jobs have come, by id; those that are not known are left out. At most `STATES_AT_ONCE`."""
        ...

    async def envelope(self, id: str) -> Envelope | None:
        """Return the envelope of a job that has yet to end; None where it has, or its id is not known."""
        ...

    async def jobs(
        self,
        *,
        type: str | None = None,
        key: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[JobRecord]:
        """Return jobs, the latest submitted first: of those before the job of the id `before`, where it is given.

        None where that job is not known. It looks at as many as it takes, a page at a time: `find` does not.
        """
        ...

    async def running(self, keys: Collection[tuple[str, str]]) -> Sequence[JobRecord]:
        """Return the jobs that run of keys, each a type and a key, in any order.

        Of each key the first `rules.OPEN_LOOKED_AT` that have yet to end are looked at, or all that run.
        """
        ...

    async def find(
        self, wanted: JobFilter, *, below: int | None = None, limit: int = 50, look_at: int = LOOKED_AT
    ) -> JobPage:
        """Return up to `limit` jobs that match, the latest first: of those with a number below `below`.

        About `look_at` jobs are looked at, however many there are and whatever is found: a page may be empty before
        the end. Those in any state but `COMMITTED` are in an order of their own, in which no others are looked at;
        where they have yet to end, that is one of the jobs of their type in all such states.
        """
        ...

    async def waiting_for_places(self, types: Collection[str]) -> Mapping[str, int]:
        """Count the jobs of types that wait for a place of their tenants', `rules.COUNTED` of each at most.

        Types without any may be left out.
        """
        ...

    async def overdue(self, *, limit: int = 100) -> Sequence[JobRecord]:
        """Return jobs that are due and that nobody has released yet, those first that were due first."""
        ...

    async def dead(self, *, type: str | None = None, limit: int = 100, after: int = 0) -> Sequence[DeadLetter]:
        """Return dead letters with a number above `after`, lowest first."""
        ...

    async def dead_letter(self, number: int) -> DeadLetter | None:
        """Return one dead letter, or None."""
        ...

    async def letters(self, id: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return the dead letters of a job, and of messages under its id, lowest number first."""
        ...

    async def requeue_dead(self, number: int) -> Envelope | None:
        """Move a dead letter to the outbox with a fresh count of attempts, and return its envelope.

        A message that was no job of the store's becomes one. Where the turn of its sequence is over, or the sequence is
        another job's, it gets its key's next one. A job holds its unique name again. None where there is no such
        letter, or none that could run: what cannot be read, or what conflicts with the job of its id.

        Raises `UniqueNameTaken` where another job holds that name; then nothing is written.
        """
        ...

    async def purge_dead(self, number: int) -> bool:
        """Delete a dead letter for good; tell whether there was one.

        The id of its job stays known as long as that of a committed one.
        """
        ...

    async def republish(self, ids: Sequence[str]) -> Sequence[str]:
        """Put jobs into the outbox again whose messages are lost, in order of acceptance; return which.

        Left out are those that have ended or are unknown, and those that something in the store brings to a worker
        anyway. Publishing what is not lost does no harm: the store drops what comes twice. Idempotent.
        """
        ...

    async def cancel(
        self, ids: Sequence[str], *, by: str, reason: str, states: Collection[JobState] = UNFINISHED
    ) -> Sequence[Cancellation]:
        """End jobs that have yet to end, wherever they are, and note who did it and why; one answer for each.

        Those that are in none of `states` at that moment are left as they are. On an ordered key each gives up its
        turn, and the key goes on. No attempt that still runs can commit. The ids stay known as long as those of
        committed jobs. Where the answer is lost, the next one says that they are cancelled.
        """
        ...

    async def reprioritize(self, ids: Sequence[str], priority: Priority) -> Sequence[PriorityChange]:
        """Change the priority of jobs that wait, and have them published anew where they are due; one answer for each.

        Their messages of another priority are good for nothing from now on: `Store.open` has them dropped. What runs,
        has ended, or has a place in the order of its key is left as it is. Where the answer is lost, the next one says
        that they have the priority.
        """
        ...

    async def unfinished(
        self, type: str, state: JobState, *, key: str | None = None, below: int | None = None, limit: int = 500
    ) -> tuple[Sequence[str], int | None]:
        """Return ids of a type's jobs in a state that is no end, the latest first, a page at a time.

        About `limit` jobs are looked at, whatever is found; the number to go on `below` comes with the page, or None
        at the end.
        """
        ...

    async def pause(self, scope: Scope, *, by: str, reason: str) -> Pause:
        """Have no more jobs begun in a scope until it is resumed; what was paused before stays as it was.

        Workers find out by themselves, in `Store.pauses`. Raises `ValueError` where `rules.PAUSES_AT_MOST` are there.
        """
        ...

    async def resume(self, scope: Scope) -> Pause | None:
        """End the pause of just this scope, and return it; None where there was none."""
        ...

    async def gaps(self, *, after: tuple[str, str] = ("", ""), limit: int = 100) -> Sequence[ParkedKey]:
        """Return ordered keys that stand still, those above `after`, in order of (type, key)."""
        ...

    async def gap(self, type: str, key: str) -> ParkedKey | None:
        """Return what a key stands still for, or None where it does not."""
        ...

    async def resume_gap(self, type: str, key: str) -> int:
        """Move the first of the key's parked jobs to the outbox, to be tried in order again; return how many.

        At most `rules.RELEASED` at a time; where the first can run, its commit brings the next.
        """
        ...

    async def skip_gap(self, type: str, key: str, *, before: int) -> int:
        """Give up the sequences from the one expected up to, not including, `before`; resume; return how many resumed.

        At most `rules.RELEASED` at a time, each of which brings the next.

        A job that comes for a sequence given up is dead-lettered, never dropped. Raises `ValueError` where `before`
        does not lie above the sequence expected.
        """
        ...

    async def key(self, type: str, key: str) -> KeyRecord | None:
        """Return one key, or None where the store knows nothing of it."""
        ...

    async def keys(self, *, after: tuple[str, str] = ("", ""), limit: int = 1000) -> Sequence[KeyRecord]:
        """Return keys in order of (type, key), those above `after`."""
        ...

    async def log(self, type: str, key: str, *, after: int = 0, limit: int = 1000) -> Sequence[LoggedEntry]:
        """Return entries of a key's log with a position above `after`, in order: of those that are kept."""
        ...

    async def trim_log(self, type: str, key: str, *, upto: int, older_than: float, limit: int = 1000) -> int:
        """Drop the first entries of a key's log, and return how many.

        None at a position above `upto`, none that is younger than `older_than` seconds (store's clock), `limit` at
        most. The others keep their positions, and the log its length. Where a commit holds the key, that may be none.
        """
        ...

    async def drop_files(self, type: str, key: str, files: Sequence[BlobRef]) -> bool:
        """Have a key have no files any more, where it has just these; return whether nothing points at them now.

        Not as long as a job of the key has yet to end that may have begun: it may keep them beside its own. Their bytes
        stay. Where somebody else holds the key, nothing is done.
        """
        ...

    async def coordinators(self, *, within: float) -> Sequence[str]:
        """Return the identities of the coordinators noted in the last `within` seconds (store's clock), in order.

        More than one: workers that share this store do not share their leases. What is older than a day may be
        forgotten.
        """
        ...

    async def counts(self) -> StoreCounts:
        """Count everything."""
        ...

    async def prune(self, *, older_than: float, keep_at_most: int, batch: int = 1000) -> int:
        """Bound deduplication: forget up to `batch` jobs that nobody has to act on, and marks of keys idle as long.

        Those are the committed, cancelled and expired ones, and the dead ones whose letters were purged. A job goes
        once it ended (or its letter was purged) more than `older_than` seconds ago (store's clock), or when more than
        `keep_at_most` such jobs are known, oldest first; never while the outbox, the in-flight table or the parked jobs
        refer to it, nor one that did not commit before its turn is over. No mark is ever lowered by it: the highest
        token forgotten becomes the floor for keys without a mark. Returns how many jobs went.
        """
        ...


class Finds(Protocol):
    """What finds jobs a page at a time, as `Inspection` does."""

    async def find(self, wanted: JobFilter, *, below: int | None = None, limit: int = 50) -> JobPage:
        """As `Inspection.find`."""
        ...


async def first_found(store: Finds, wanted: JobFilter, *, below: int | None, limit: int) -> Sequence[JobRecord]:
    """Return the first jobs that match, the latest first; each look is bounded, however many there are to be."""
    found: list[JobRecord] = []
    while len(found) < limit:
        page = await store.find(wanted, below=below, limit=limit - len(found))
        found += page.jobs
        below = page.below
        if below is None:
            break
    return found
