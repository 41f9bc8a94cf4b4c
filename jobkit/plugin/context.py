"""What a processor sees of the world: everything it can write through goes under its fence.

Nothing staged here is visible until the runtime commits it; what an attempt that did not commit has staged
is forgotten, and the blobs it wrote are garbage that nobody sees.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from pydantic import BaseModel
from pydantic_settings import BaseSettings
from structlog.typing import FilteringBoundLogger

from jobkit.errors import AttemptOver, EffectInvalid, NotTransactional
from jobkit.files.file_set import FileReader, FileSet
from jobkit.model import names
from jobkit.model.blob import BlobRef, BlobSpace
from jobkit.model.blob_location import attempt_space
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.model.priority import PriorityName
from jobkit.model.read_back import codec_of
from jobkit.model.tags import tagged
from jobkit.model.unique import OnConflict, While, told_unique
from jobkit.plugin.blob_writer import BlobWriter, step_files
from jobkit.plugin.checkpoints import KeptWork
from jobkit.plugin.context_groups import ContextGroups
from jobkit.plugin.follow_ups import FollowUps
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.notification import Notification
from jobkit.plugin.payload import Payload
from jobkit.plugin.progress import ProgressReport
from jobkit.plugin.staging import bounded, checked_name, staged_json
from jobkit.ports.blobs import Blobs
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


class Context(ContextGroups):
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
        self._report: ProgressReport | None = None
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
        await self._progress.tell(fraction, message)

    async def _progress_at_once(self, fraction: float, message: str) -> None:
        await self._progress.tell(fraction, message, at_once=True)

    @property
    def _progress(self) -> ProgressReport:
        if self._report is None:
            self._report = ProgressReport(
                self.job, self._store, self._envelope, self.fence, self.clock, self._on_unavailable
            )
        return self._report

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
        notify: Sequence[Notification] = (),
    ) -> str:
        """Stage a follow-up job and return its id: it is submitted if, and only if, this job commits.

        Give an id of your own where another attempt must name the same follow-up. It runs at once, or not before `at`,
        or so long `after` this job's commit. Where it has not begun when it `expires`, a time or so long after this
        job's commit, it never runs. Without a `priority` it has that of its type, and without a `tenant` that of its
        payload. By its `tags`, words without blanks, people find it. Under a `unique` name it is submitted as by
        `Client.submit`, once this job commits: where another one is kept, no job has the id. Each of `notify`
        tells of the follow-up's end, as there; the code of its type is loaded here. Raises `UnknownType`,
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
        self._jobs.append(self._follow_ups.noticed(job, notify) if notify else job)
        return job.envelope.id

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
        made = self._envelope.notifications("committed", result, at=self.clock.wall(), trace=current_trace())
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
