"""A handle: one job, its progress and its result, typed as its processor declares it.

It holds nothing but the job's id, so another process can have one of the same job. Waiting keeps no connection: all
handles of a client are looked at together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from jobkit.errors import ConfigurationError, WaitTimeout
from jobkit.handles.outcome import failure_of
from jobkit.ports.inspection import Cancellation, JobRecord, JobState

R = TypeVar("R")


class Jobs(Protocol):
    """What a handle needs of a client."""

    async def status(self, id: str) -> JobRecord:
        """Return what is known of a job. Raises `JobNotFound` or `Unavailable`."""
        ...

    async def cancel(self, id: str, *, reason: str = "", by: str | None = None) -> Cancellation:
        """End a job that has yet to end. Raises `Unavailable`."""
        ...

    def changes(self, id: str, timeout: float | None) -> AsyncIterator[JobRecord]:
        """Yield a job's record now and at each change until it has ended, or `timeout` seconds are over.

        Raises `JobNotFound` or `Unavailable`.
        """
        ...


@dataclass(frozen=True, slots=True)
class ResultType(Generic[R]):
    """What a job's result is read as; `type` is what its jobs are kept as, or None where any will do."""

    type: str | None
    load: Callable[[bytes], R]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: its state, a fraction from 0 to 1, and what it said last."""

    state: JobState
    fraction: float
    message: str


class Handle(Generic[R]):
    """A job that was submitted, by this program or by another one."""

    def __init__(self, jobs: Jobs, id: str, result: ResultType[R]) -> None:
        self.id = id
        self._jobs = jobs
        self._result = result

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    async def status(self) -> JobRecord:
        """Return what is known of the job. Raises `JobNotFound` or `Unavailable`."""
        return self._checked(await self._jobs.status(self.id))

    async def result(self, timeout: float | None = None) -> R:
        """Wait until the job has ended, `timeout` seconds at most, and return its result.

        Raises `JobDead`, `JobCancelled` or `JobExpired` where it has none, `WaitTimeout` which says how far it is,
        `JobNotFound`, or `Unavailable`. Asking again does no harm. A job that is parked is waited for: it goes on once
        the one before it is there.
        """
        last: JobRecord | None = None
        async for last in self._jobs.changes(self.id, timeout):
            self._checked(last)
        assert last is not None  # noqa: S101  (there is a first record, or an error)
        if not last.state.ended:
            raise still(last, timeout)
        if last.state is not JobState.COMMITTED:
            raise failure_of(last)
        return self._result.load(last.result or b"null")

    async def progress(self, timeout: float | None = None) -> AsyncIterator[Progress]:
        """Yield how far the job is, now and at each change, until it has ended in whatever way, or `timeout` is over.

        What comes faster than it is looked at is left out. Raises `JobNotFound` or `Unavailable`.
        """
        last: Progress | None = None
        async for record in self._jobs.changes(self.id, timeout):
            self._checked(record)
            current = Progress(record.state, record.progress, record.message)
            if current != last:
                yield current
            last = current

    async def cancel(self, *, reason: str = "", by: str | None = None) -> Cancellation:
        """End the job if it has yet to end; once this says `cancelled`, it never commits. Raises `Unavailable`."""
        return await self._jobs.cancel(self.id, reason=reason, by=by)

    def _checked(self, job: JobRecord) -> JobRecord:
        if self._result.type is not None and job.type != self._result.type:
            raise ConfigurationError(
                f"job {job.id} is of type {job.type!r}, and this handle is for one of type {self._result.type!r}"
            )
        return job


def still(job: JobRecord, timeout: float | None) -> WaitTimeout:
    """Return what is to be raised where a job has not ended within `timeout` seconds."""
    return WaitTimeout(f"job {job.id} is still {job.state} after {timeout:g} s; it goes on")
