"""What a processor sees of the world: everything it can write through goes under its fence.

Nothing staged here is visible until the runtime commits it; what an attempt that did not commit has staged
is forgotten, and the blobs it wrote are garbage that nobody sees.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

import anyio
from opentelemetry import propagate
from pydantic import BaseModel, TypeAdapter
from pydantic_settings import BaseSettings
from structlog.typing import FilteringBoundLogger

from jobkit.clock import Clock
from jobkit.envelope import Envelope
from jobkit.errors import LeaseLost, Unavailable
from jobkit.fence import Fence
from jobkit.payload import Payload
from jobkit.ports.blobs import BlobRef, Blobs, BlobSpace
from jobkit.ports.store import Effects, LogEntry, NewJob, Store

S = TypeVar("S", bound=BaseSettings)
M = TypeVar("M", bound=BaseModel)

# Progress is for eyes: more often than this it costs store writes and shows nothing more.
PROGRESS_INTERVAL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class JobInfo:
    """The job at hand. `attempt` counts from 1; `submitted_at` is Unix time in seconds."""

    id: str
    type: str
    key: str
    sequence: int | None
    attempt: int
    submitted_at: float


class FollowUps(Protocol):
    """Makes a follow-up job of a payload; the runtime's registry knows how."""

    def new_job(
        self,
        type: str,
        payload: Payload,
        *,
        key: str | None,
        id: str | None,
        submitted_at: float,
        trace: Mapping[str, str],
    ) -> NewJob:
        """Return the job. Raises `UnknownType` or `PayloadInvalid`."""
        ...


class Context:
    """One attempt at one job. `trouble` is told of a plane that failed in something the work does not depend on."""

    def __init__(
        self,
        *,
        job: JobInfo,
        envelope: Envelope,
        fence: Fence,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        log: FilteringBoundLogger,
        settings: Mapping[type[BaseSettings], BaseSettings],
        follow_ups: FollowUps,
        resources: AsyncExitStack,
        trouble: Callable[[str, str, Exception], None] | None = None,
    ) -> None:
        self.job = job
        self.fence = fence
        self.clock = clock
        self.log = log
        # A retry in place keeps its fence, and blobs never change: each attempt writes where no other did.
        self._space = BlobSpace(job.type, job.key, replace(fence, nonce=f"{fence.nonce}.{job.attempt}"))
        self.blobs = BlobWriter(blobs, self._space, self.workdir)
        self._envelope = envelope
        self._store = store
        self._raw_blobs = blobs
        self._settings = settings
        self._follow_ups = follow_ups
        self._resources = resources
        self._trouble = trouble or self._warn
        self._workdir: Path | None = None
        self._records: dict[str, bytes] = {}
        self._entries: list[LogEntry] = []
        self._jobs: list[NewJob] = []
        self._last_progress = float("-inf")

    async def workdir(self) -> Path:
        """Return this attempt's private scratch directory; it is made when first asked for and removed at the end."""
        if self._workdir is None:
            self._workdir = await self._resources.enter_async_context(self._raw_blobs.scratch(self._space))
        return self._workdir

    async def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the job is: `fraction` from 0 to 1. Call it as often as you like; some calls are let go.

        Raises `LeaseLost` where somebody else has taken the job over.
        """
        now = self.clock.now()
        if now - self._last_progress < PROGRESS_INTERVAL_SECONDS and fraction < 1:
            return
        self._last_progress = now
        bounded = min(max(fraction, 0.0), 1.0)
        try:
            noted = await self._store.progress(self._envelope, self.fence, fraction=bounded, message=message)
        except Unavailable as error:
            # Only eyes miss it, and hours of work may hang on this.
            self._trouble(error.plane, f"noting the progress of job {self.job.id}", error)
            return
        if not noted:
            raise LeaseLost(f"job {self.job.id} on {self.job.type}/{self.job.key} was taken over by a newer lease")

    def _warn(self, plane: str, doing: str, error: Exception) -> None:
        self.log.warning("backend unavailable", plane=plane, doing=doing, error=str(error))

    def append(self, kind: str, data: BaseModel | Mapping[str, Any]) -> None:
        """Stage an entry for the key's append-only log."""
        self._entries.append(LogEntry(kind, _json(data)))

    def record(self, name: str, value: BaseModel | Any) -> None:
        """Stage a record of the key: the last value written under `name` is what others read after the commit."""
        self._records[name] = _json(value)

    async def read(self, name: str, model: type[M]) -> M | None:
        """Return the record called `name` of this key, staged or committed, or None."""
        raw = self._records.get(name)
        if raw is None:
            raw = await self._store.record(self.job.type, self.job.key, name)
        return None if raw is None else model.model_validate_json(raw)

    def submit(self, type: str, payload: Payload, *, key: str | None = None, id: str | None = None) -> str:
        """Stage a follow-up job and return its id: it is submitted if, and only if, this job commits.

        Give an id of your own where another attempt must name the same follow-up. Raises `UnknownType` or
        `PayloadInvalid`.
        """
        trace: dict[str, str] = {}
        propagate.inject(trace)
        job = self._follow_ups.new_job(type, payload, key=key, id=id, submitted_at=self.clock.wall(), trace=trace)
        self._jobs.append(job)
        return job.envelope.id

    def settings(self, model: type[S]) -> S:
        """Return the plugin's settings, as validated at the start. Raises `KeyError` if the processor declared none."""
        found = self._settings[model]
        assert isinstance(found, model)  # noqa: S101  (narrows the type; the registry keys by class)
        return found

    def effects(self, result: bytes) -> Effects:
        """Return all that was staged, with the result: what the runtime commits."""
        return Effects(
            result=result,
            records=dict(self._records),
            entries=tuple(self._entries),
            follow_ups=tuple(self._jobs),
            blobs=tuple(self.blobs.written),
        )


class BlobWriter:
    """Writes the job's files. They replace the key's earlier ones as a whole when the job commits."""

    def __init__(self, blobs: Blobs, space: BlobSpace, workdir: Callable[[], Awaitable[Path]]) -> None:
        self._blobs = blobs
        self._space = space
        self._workdir = workdir
        self.written: list[BlobRef] = []

    @asynccontextmanager
    async def create(self, name: str) -> AsyncIterator[Path]:
        """Lend a path to write one file at; it becomes the blob `name` when the block ends without an error.

        Raises `FileNotFoundError` where nothing was written there.
        """
        path = anyio.Path(await self._workdir() / "blobs" / _relative(name))
        await path.parent.mkdir(parents=True, exist_ok=True)
        yield Path(path)
        self.written.append(await self._blobs.store(self._space, name, Path(path)))

    @asynccontextmanager
    async def directory(self, name: str) -> AsyncIterator[Path]:
        """Lend a directory to fill; every file in it becomes a blob `name/...` when the block ends without an error."""
        path = anyio.Path(await self._workdir() / "blobs" / _relative(name))
        await path.mkdir(parents=True, exist_ok=True)
        yield Path(path)
        files = [found async for found in path.rglob("*") if await found.is_file()]
        for file in sorted(files, key=str):
            inner = PurePosixPath(name) / PurePosixPath(file.relative_to(path).as_posix())
            self.written.append(await self._blobs.store(self._space, str(inner), Path(file)))


def _relative(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"blob name {name!r} must be a relative path that stays within its job")
    return path


def _json(value: Any) -> bytes:
    if isinstance(value, BaseModel):
        return value.model_dump_json().encode()
    return TypeAdapter(Any).dump_json(value)
