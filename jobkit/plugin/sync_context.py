"""The context as blocking code sees it: the same, call by call, from a thread or from a process of its own.

It holds neither lease nor fence. Each call is done by the worker, under those of the attempt, and returns when it is
done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel
from pydantic_settings import BaseSettings
from structlog.typing import FilteringBoundLogger

from jobkit.files.file_set import CommittedFile, CommittedFiles
from jobkit.model.job_group import OnFailure
from jobkit.model.priority import PriorityName
from jobkit.model.unique import OnConflict, While
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.notification import Notification
from jobkit.plugin.payload import Payload
from jobkit.ports.groups import GroupMember
from jobkit.ports.store import NewJob
from jobkit.projections.projection import Projection

S = TypeVar("S", bound=BaseSettings)
M = TypeVar("M", bound=BaseModel)


class Calls(Protocol):
    """Has something done by the worker."""

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Return what the context's method `name` returns, or raise what it raises; blocks until then."""
        ...


class SyncBlobs:
    """Writes the job's files, as `ctx.blobs` does for a coroutine."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @contextmanager
    def create(self, name: str) -> Iterator[Path]:
        """Lend a path to write one file at; it becomes the blob `name` when the block ends without an error.

        Raises `FileNotFoundError` where nothing was written there, `EffectInvalid` where no blob can have that name.
        """
        yield from self._lend("create", name)

    @contextmanager
    def directory(self, name: str) -> Iterator[Path]:
        """Lend a directory to fill; every file in it becomes a blob `name/...` when the block ends without an error.

        Raises `EffectInvalid` where no blob can have the name of one of them.
        """
        yield from self._lend("directory", name)

    def add_to_committed(self) -> None:
        """Have the commit add this job's files to those that its key has; one of the same name takes its place."""
        self._calls.call("add_to_committed")

    def _lend(self, kind: str, name: str) -> Iterator[Path]:
        number, path = self._calls.call("lend", kind, name)
        try:
            yield path
        except BaseException:
            self._calls.call("drop", number)
            raise
        self._calls.call("take", number)


class SyncJobFiles(CommittedFiles):
    """The files of one key as one commit left them, in the order they were written in."""

    def __init__(self, calls: Calls, number: int, files: Sequence[CommittedFile]) -> None:
        self._calls = calls
        self._number = number
        self._files = tuple(files)

    def download(self, name: str, to: Path) -> CommittedFile:
        """Write a file to the path `to`, whole or not at all; return what it is. Raises as `FileSet.download`."""
        found: CommittedFile = self._calls.call("download_of", self._number, name, to)
        return found


class SyncContext:
    """One attempt at one job, for a processor that is a plain `def`. Each call blocks until it is done.

    All raise `AttemptOver` once the attempt is over: it was cancelled, took too long, or lost its lease.
    """

    def __init__(self, job: JobInfo, calls: Calls, log: FilteringBoundLogger) -> None:
        self.job = job
        self.log = log
        self.blobs = SyncBlobs(calls)
        self._calls = calls

    def check(self) -> None:
        """Raise `AttemptOver` where the attempt is over: for a loop that calls nothing else."""
        self._calls.call("check")

    def workdir(self) -> Path:
        """Return this attempt's private scratch directory; it is made when first asked for and removed at the end."""
        found: Path = self._calls.call("workdir")
        return found

    def progress(self, fraction: float, message: str = "") -> None:
        """Tell how far the job is: `fraction` from 0 to 1. Call it as often as you like; some calls are let go.

        Raises `LeaseLost` where somebody else has taken the job over.
        """
        self._calls.call("progress", fraction, message)

    def append(self, kind: str, data: BaseModel | Mapping[str, Any]) -> None:
        """Stage an entry for the key's append-only log. Raises as `Context.append`."""
        self._calls.call("append", kind, data)

    def record(self, name: str, value: BaseModel | Any) -> None:
        """Stage a record of the key. Raises as `Context.record`."""
        self._calls.call("record", name, value)

    def read(self, name: str, model: type[M]) -> M | None:
        """Return the record called `name` of this key, staged or committed, or None."""
        found: M | None = self._calls.call("read", name, model)
        return found

    def files(self, type: str | None = None, key: str | None = None) -> SyncJobFiles:
        """Return the files that are committed for a key, this job's own unless another is named. As `Context.files`."""
        number, files = self._calls.call("files", type, key)
        return SyncJobFiles(self._calls, number, files)

    def state(self, projection: Projection[M]) -> M:
        """Return what the key's log adds up to, with all that is staged. Raises as `Context.state`."""
        found: M = self._calls.call("state", projection.name)
        return found

    def checkpoint(self, state: BaseModel) -> None:
        """Keep `state` for the next attempt, in the place of what was kept before. As `Context.checkpoint`."""
        self._calls.call("checkpoint", state)

    def resume(self, model: type[M]) -> M | None:
        """Return what was kept last, or None. Raises as `Context.resume`."""
        found: M | None = self._calls.call("resume", model)
        return found

    def download(self, name: str, to: Path, *, type: str | None = None, key: str | None = None) -> None:
        """Write a committed file, of this job's key unless another is named, to the path `to`.

        Raises `FileMissing` where there is none of that name, or `FileReplaced`.
        """
        self._calls.call("download", name, to, type, key)

    def submit(
        self,
        type: str,
        payload: Payload,
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
        """Stage a follow-up job and return its id, as `Context.submit`."""
        named = {"key": key, "id": id, "at": at, "after": after, "expires": expires}
        whose = {"priority": priority, "tenant": tenant, "tags": tags, "notify": notify}
        found: str = self._calls.call(
            "submit", type, payload, **named, **whose, unique=unique, while_=while_, on_conflict=on_conflict
        )
        return found

    def new_job(
        self,
        type: str,
        payload: Payload,
        *,
        key: str | None = None,
        id: str | None = None,
        expires: datetime | timedelta | None = None,
        priority: PriorityName | None = None,
    ) -> NewJob:
        """Return a job for `submit_group`; by itself it does nothing. Raises as `Context.new_job`."""
        found: NewJob = self._calls.call("new_job", type, payload, key=key, id=id, expires=expires, priority=priority)
        return found

    def submit_group(
        self, members: Iterable[NewJob | Payload], *, then: NewJob | Payload, on_failure: OnFailure = "wait"
    ) -> str:
        """Stage a group of follow-up jobs, and one that runs once all have ended. As `Context.submit_group`."""
        found: str = self._calls.call("submit_group", list(members), then=then, on_failure=on_failure)
        return found

    def members(self, group: str | None = None) -> Iterator[GroupMember]:
        """Yield the members of a group, of the one that this job closes unless another is named."""
        listing = self._calls.call("members", group)
        while page := self._calls.call("members_page", listing):
            yield from page

    def settings(self, model: type[S]) -> S:
        """Return the plugin's settings, as validated at the start. Raises `KeyError` if the processor declared none."""
        found: S = self._calls.call("settings", model)
        return found
