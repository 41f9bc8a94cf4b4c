"""What a processor sees of the world: everything it can write through goes under its fence.

Nothing staged here is visible until the runtime commits it; what an attempt that did not commit has staged
is forgotten, and the blobs it wrote are garbage that nobody sees.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from pydantic import BaseModel
from pydantic_settings import BaseSettings
from structlog.typing import FilteringBoundLogger

from jobkit.errors import AttemptOver, EffectInvalid, LeaseLost, NotTransactional, Unavailable
from jobkit.files.file_set import FileReader, FileSet
from jobkit.model import names
from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.blob_location import attempt_space
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.job_group import OnFailure
from jobkit.model.plane import Plane
from jobkit.model.priority import PriorityName
from jobkit.model.read_back import codec_of
from jobkit.model.tags import tagged
from jobkit.model.unique import OnConflict, While, told_unique
from jobkit.plugin import job_groups
from jobkit.plugin.blob_writer import BlobWriter, step_files
from jobkit.plugin.checkpoints import KeptWork
from jobkit.plugin.follow_ups import FollowUps
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.payload import Payload
from jobkit.plugin.staging import bounded, checked_name, staged_json
from jobkit.ports.blobs import Blobs
from jobkit.ports.groups import GroupMember, group_members
from jobkit.ports.store import Effects, LogEntry, NewJob, Store
from jobkit.ports.transactions import Participant
from jobkit.projections.projection import Projection
from jobkit.projections.reader import ProjectionReader
from jobkit.telemetry.trace_context import current_trace

S = TypeVar("S", bound=BaseSettings)
M = TypeVar("M", bound=BaseModel)
J = TypeVar("J", bound=Participant)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Progress is for eyes: more often than this it costs store writes and shows nothing more.
PROGRESS_INTERVAL_SECONDS = 0.25


class Context:
    """One attempt at one job. `on_unavailable` is told of a plane that failed in something the work does not depend on.

    Files go to a place of their own for each `space` of a fence: jobs that follow one another under one lease, and
    attempts at one of them, never write into each other's.

    `transactional`: others can take part in the commit's transaction.
    """

    def __init__(
        self,
        *,
        job: JobInfo,
        envelope: Envelope,
        fence: Fence,
        space: int = 1,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        log: FilteringBoundLogger,
        settings: Mapping[type[BaseSettings], BaseSettings],
        follow_ups: FollowUps,
        file_reader: FileReader,
        projection_reader: ProjectionReader,
        resources: AsyncExitStack,
        transactional: bool = False,
        on_unavailable: Callable[[Plane, str, Exception], None] | None = None,
    ) -> None:
        self.job = job
        self.fence = fence
        self._space_number = space
        self.clock = clock
        self.log = log
        self._envelope = envelope
        self._store = store
        self._raw_blobs = blobs
        self._settings = settings
        self._follow_ups = follow_ups
        self._file_reader = file_reader
        self._resources = resources
        self._on_unavailable = on_unavailable or self._warn
        self._workdir: Path | None = None
        self._writer: BlobWriter | None = None
        self._kept: KeptWork | None = None
        self._records: dict[str, bytes] = {}
        self._entries: list[LogEntry] = []
        self._jobs: list[NewJob] = []
        self._projection_reader = projection_reader
        self._transactional = transactional
        self._participants: list[Participant] = []
        self._last_progress = float("-inf")
        self._over = False

    def end(self) -> None:
        """Take nothing more: the attempt is over, and what is staged from now on would be lost."""
        self._over = True

    def check(self) -> None:
        """Raise `AttemptOver` where the attempt is over."""
        if self._over:
            raise AttemptOver(
                f"attempt {self.job.attempt} at job {self.job.id} is over, so nothing more can be written in it: "
                "await all that writes before the processor returns"
            )

    def _check_staging(self, call: str) -> None:
        self.check()
        if step_files.get():
            raise EffectInvalid(
                f"{call} stages what the job commits, and an attempt that finds this step done would go without: "
                "stage it outside of the step, from what the step returns"
            )

    @property
    def blobs(self) -> BlobWriter:
        """Writes the job's files; made when first asked for, which most jobs never do."""
        if self._writer is None:
            self._writer = BlobWriter(self._raw_blobs, self._space(), self.workdir, self.check, self.job.id)
        return self._writer

    def _space(self) -> BlobSpace:
        return attempt_space(BlobSpace(self.job.type, self.job.key, self.fence), self._space_number)

    async def workdir(self) -> Path:
        """Return this attempt's private scratch directory; it is made when first asked for and removed at the end."""
        self.check()
        if self._workdir is None:
            self._workdir = await self._resources.enter_async_context(self._raw_blobs.scratch(self._space()))
        return self._workdir

    async def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the job is: `fraction` from 0 to 1. Call it as often as you like; some calls are let go.

        Raises `LeaseLost` where somebody else has taken the job over.
        """
        self.check()
        now = self.clock.now()
        if now - self._last_progress < PROGRESS_INTERVAL_SECONDS and fraction < 1:
            return
        self._last_progress = now
        bounded = min(max(fraction, 0.0), 1.0)
        try:
            noted = await self._store.progress(self._envelope, self.fence, fraction=bounded, message=message)
        except Unavailable as error:
            # Only eyes miss it, and hours of work may hang on this.
            self._on_unavailable(error.plane, f"noting the progress of job {self.job.id}", error)
            return
        if not noted:
            raise LeaseLost(f"job {self.job.id} on {self.job.type}/{self.job.key} was taken over by a newer lease")

    def _warn(self, plane: Plane, doing: str, error: Exception) -> None:
        self.log.warning("backend unavailable", plane=plane, doing=doing, error=str(error))

    async def checkpoint(self, state: BaseModel) -> None:
        """Keep `state` for a later attempt at this job, in the place of what was kept before, until the job has ended.

        Returns once it is durable, which takes a call to the store. Raises `EffectInvalid` where the state would not
        read back as it is or is larger than 1 MiB, `LeaseLost` where somebody else has taken the job over, or
        `Unavailable`.
        """
        await self._work.checkpoint(state)

    async def resume(self, model: type[M]) -> M | None:
        """Return the state that was kept last with `checkpoint`, in this attempt or an earlier one; else None.

        Raises `CheckpointInvalid` where it does not validate, or `Unavailable`.
        """
        return await self._work.resume(model)

    async def step(self, name: str, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Await `function(*args)` and keep what it returns; where an earlier attempt has done the step, return that.

        The files written in it are kept with it, and committed with the job. What is staged for the commit is not, so
        staging within a step is refused. `name` is the step's own within the job. What is kept is read by the type that
        the function says it returns. Raises `EffectInvalid` where that does not read back equal or is larger than
        1 MiB, for more than 1,000 steps, and for a name that is there twice; `CheckpointInvalid` where what is kept
        does not validate; `LeaseLost`, or `Unavailable`.
        """
        return await self._work.step(name, function, *args)

    @property
    def _work(self) -> KeptWork:
        if self._kept is None:
            self._kept = KeptWork(
                self._store,
                self._envelope,
                self.fence,
                self.clock,
                blobs=lambda: self.blobs,
                check_alive=self.check,
                on_unavailable=self._on_unavailable,
            )
        return self._kept

    def append(self, kind: str, data: BaseModel | Mapping[str, Any]) -> None:
        """Stage an entry for the key's append-only log; the processor's projections move with it.

        Raises `EffectInvalid` where the data would not read back as it is.
        """
        self._check_staging("ctx.append")
        name = checked_name(names.KIND, kind)
        self._entries.append(LogEntry(name, staged_json(data, f"log entry {name!r}")))

    def record(self, name: str, value: BaseModel | Any) -> None:
        """Stage a record of the key: the last value written under `name` is what others read after the commit.

        Raises `EffectInvalid` where the value would not read back as it is.
        """
        self._check_staging("ctx.record")
        plain = checked_name(names.RECORD, name)
        self._records[plain] = staged_json(value, f"record {plain!r}")

    async def read(self, name: str, model: type[M]) -> M | None:
        """Return the record called `name` of this key, staged or committed, or None."""
        plain = checked_name(names.RECORD, name)
        raw = self._records.get(plain)
        if raw is None:
            raw = await self._store.record(self.job.type, self.job.key, plain)
        if raw is None:
            return None
        read = codec_of(model).load(raw)
        assert isinstance(read, model)  # noqa: S101  (narrows the type; the codec is the model's)
        return read

    async def files(self, type: str | None = None, key: str | None = None) -> FileSet:
        """Return the files that are committed for a key, this job's own unless another is named: none where none are.

        What is read of the set is of one commit, however often the files are replaced meanwhile; where replaced bytes
        have been swept away, reading them raises `FileReplaced`, and another attempt sees the newer ones. Raises
        `Unavailable`.
        """
        return await self._file_reader.files(type or self.job.type, self.job.key if key is None else key)

    async def state(self, projection: Projection[M]) -> M:
        """Return what the key's log adds up to, with all that is staged. The processor must have declared it.

        Raises `ProjectionFailed` where a handler does not take an entry, or `Unavailable`.
        """
        return await self._projection_reader.state(projection, self._entries)

    def projection(self, name: str) -> Projection[Any]:
        """Return the projection of that name. Raises `ConfigurationError` where the processor has not declared it."""
        return self._projection_reader.declared(name)

    def submit(
        self,
        type: str,
        payload: Payload | Mapping[str, Any],
        *,
        key: str | None = None,
        id: str | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
        expires: datetime | timedelta | None = None,
        priority: PriorityName | None = None,
        tenant: str | None = None,
        tags: Collection[str] = (),
        unique: str | None = None,
        while_: While = "queued",
        on_conflict: OnConflict = "keep",
    ) -> str:
        """Stage a follow-up job and return its id: it is submitted if, and only if, this job commits.

        Give an id of your own where another attempt must name the same follow-up. It runs at once, or not before
        `at`, or so long `after` this job's commit. Where it has not begun when it `expires`, a time or so long after
        this job's commit, it never runs. Without a `priority` it has that of its type, and without a `tenant` that of
        its payload. By its `tags`, words without blanks, people find it. Under a `unique` name it is submitted as by
        `Client.submit`, once this job commits: where another one is kept, no job has the id. Raises `UnknownType`,
        `PayloadInvalid`, or `ValueError` where a time says no zone, a name is none or the type does not know that
        priority.
        """
        self._check_staging("ctx.submit")
        job = self._follow_ups.new_job(
            type,
            payload,
            key=key,
            id=id,
            submitted_at=self.clock.wall(),
            trace=tagged(current_trace(), tags),
            at=at,
            after=after,
            expires=expires,
            priority=priority,
            tenant=tenant,
            unique=told_unique(unique, while_, on_conflict),
        )
        self._jobs.append(job)
        return job.envelope.id

    def new_job(
        self,
        type: str,
        payload: Payload,
        *,
        key: str | None = None,
        id: str | None = None,
        expires: datetime | timedelta | None = None,
        priority: PriorityName | None = None,
        tenant: str | None = None,
    ) -> NewJob:
        """Return a job for `submit_group`; by itself it does nothing. Raises as `submit` does."""
        return self._follow_ups.new_job(
            type,
            payload,
            key=key,
            id=id,
            submitted_at=self.clock.wall(),
            trace=current_trace(),
            at=None,
            after=None,
            expires=expires,
            priority=priority,
            tenant=tenant,
            unique=None,
        )

    def submit_group(
        self, members: Iterable[NewJob | Payload], *, then: NewJob | Payload, on_failure: OnFailure = "wait"
    ) -> str:
        """Stage a group of follow-up jobs, and one that runs once all of them have ended; return the latter's id.

        That is the group's id, too. All of it is submitted if, and only if, this job commits. Give payloads where one
        type takes them, or what `new_job` returns. `on_failure` says what becomes of `then` where members die, are
        cancelled or expire: it "waits" for dead ones to be requeued, and is dead-lettered where that can help no more;
        it "runs" with what there is, once all have ended; or it is to "die" then. It reads them by `members`.

        Where this job is a member of a group itself, `then` takes its place in it. Raises `ValueError` where there are
        no members, or one has a unique name or a time of its own, and as `submit` does.
        """
        self._check_staging("ctx.submit_group")
        jobs = [self._as_job(member) for member in members]
        closing = job_groups.closing(self._as_job(then), len(jobs), on_failure)
        self._jobs += [closing, *job_groups.joined(jobs, closing.envelope.id)]
        return closing.envelope.id

    async def await_group(
        self,
        members: Iterable[NewJob | Payload],
        *,
        on_failure: OnFailure = "wait",
        until: float = 0.9,
        message: str = "",
    ) -> None:
        """Submit a group of jobs at once, and go on behind this call once all of them have ended.

        Until then the job holds no worker: this attempt ends here, and when the last member has ended the job begins
        anew, with what it kept by `step` and `checkpoint`, and passes this call. The group has the job's id, so that
        `members` tells what came of them. `on_failure` is as for `submit_group`, of the job itself. Where the job is
        cancelled meanwhile, so are they. What this attempt has staged is lost, like that of any other that did not
        commit. Its progress goes with them from 0 to `until`. Once for each job, of a type without an order. Raises
        `EffectInvalid` for another, `LeaseLost`, or `Unavailable`, and as `submit` does.
        """
        self._check_staging("ctx.await_group")
        group = await self._store.group(self.job.id)
        if group is not None and group.parent == self.job.id:
            return
        if group is not None or self.job.sequence is not None:
            what = "closes a group itself" if group is not None else "has a place in an order"
            raise EffectInvalid(f"job {self.job.id} cannot wait for a group of its own: it {what}")
        jobs = [self._as_job(member) for member in members]
        if not jobs:
            raise ValueError("a group has at least one member")
        self._last_progress = float("-inf")
        await self.progress(until, message)
        raise job_groups.GroupAwaited(job_groups.joined(jobs, self.job.id), on_failure)

    def _as_job(self, job: NewJob | Payload) -> NewJob:
        if isinstance(job, NewJob):
            return job
        return self.new_job(self._follow_ups.type_of(job, "ctx.new_job(type, ...)"), job)

    def members(self, group: str | None = None) -> AsyncIterator[GroupMember]:
        """Return the members of a group, of the one that this job closes unless another is named, page by page.

        They come in the order of their submission, whatever became of them. Raises `Unavailable`.
        """
        return group_members(self._store, self.job.id if group is None else group)

    def in_commit(self, participant: J) -> J:
        """Stage statements of your own, to be committed together with the job or not at all; also as a decorator.

        `participant` is an `async def` that gets a connection to the store's database (an asyncpg connection, with
        PostgreSQL), in the transaction that commits the job and after the job's fence is verified in it. It must not
        end that transaction, and has about 5 seconds. Where it raises, nothing is written and the attempt has failed
        as if the processor had raised. It runs again where the transaction was rolled back, so let it do nothing but
        write to that connection; once the job is committed it never runs again. Raises `NotTransactional` where the
        store shares no transactions.
        """
        self._check_staging("ctx.in_commit")
        if not self._transactional:
            raise NotTransactional("ctx.in_commit", "; in a test: run_job(..., connection=...)")
        self._participants.append(participant)
        return participant

    @property
    def participants(self) -> Sequence[Participant]:
        """What was staged with `in_commit`: the runtime runs it in the commit's transaction."""
        return tuple(self._participants)

    def settings(self, model: type[S]) -> S:
        """Return the plugin's settings, as validated at the start. Raises `KeyError` if the processor declared none."""
        found = self._settings[model]
        assert isinstance(found, model)  # noqa: S101  (narrows the type; the registry keys by class)
        return found

    async def _manifest(self, writer: BlobWriter) -> Sequence[BlobRef]:
        """Return the files that the key is to have. Nobody else can change those it has, under this attempt's fence."""
        if writer.adds and writer.written:
            return writer.manifest((await self.files()).manifest)
        return tuple(writer.written)

    def _notifications(self, result: bytes) -> list[NewJob]:
        if not self._envelope.notices:
            return []
        made = self._envelope.notifications(result, at=self.clock.wall(), trace=current_trace())
        return [NewJob(envelope, ordered=False) for envelope in made]

    async def effects(self, result: bytes) -> Effects:
        """Return all that was staged, with the result, and with what tells of that: what the runtime commits.

        Raises `ProjectionFailed`, `EffectInvalid` where it is more than a store takes, or `Unavailable` where a
        projection has to be read first.
        """
        return bounded(
            Effects(
                result=result,
                records={**self._records, **await self._projection_reader.records(self._entries)},
                entries=tuple(self._entries),
                follow_ups=(*self._jobs, *self._notifications(result)),
                blobs=() if self._writer is None else await self._manifest(self._writer),
            )
        )
