"""The context as blocking code sees it: the same, call by call, from a thread or from a process of its own.

It holds neither lease nor fence. Each call is done by the worker, under those of the attempt, and returns when it is
done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel
from pydantic_settings import BaseSettings
from structlog.typing import FilteringBoundLogger

from jobkit.model.priority import PriorityName
from jobkit.model.unique import OnConflict, While
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.payload import Payload

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
        unique: str | None = None,
        while_: While = "queued",
        on_conflict: OnConflict = "keep",
    ) -> str:
        """Stage a follow-up job and return its id, as `Context.submit`."""
        named = {"key": key, "id": id, "at": at, "after": after, "expires": expires, "priority": priority}
        found: str = self._calls.call(
            "submit", type, payload, **named, unique=unique, while_=while_, on_conflict=on_conflict
        )
        return found

    def settings(self, model: type[S]) -> S:
        """Return the plugin's settings, as validated at the start. Raises `KeyError` if the processor declared none."""
        found: S = self._calls.call("settings", model)
        return found
