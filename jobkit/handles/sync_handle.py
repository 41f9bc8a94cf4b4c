"""A handle for programs without an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, Protocol, TypeVar

from jobkit.handles.handle import Handle, Progress
from jobkit.ports.inspection import Cancellation, JobRecord

R = TypeVar("R")
T = TypeVar("T")


class Waits(Protocol):
    """What runs a coroutine where the client of a handle lives."""

    def wait(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run `function` and return what it returns."""
        ...


class SyncHandle(Generic[R]):
    """A job that was submitted, by this program or by another one."""

    def __init__(self, handle: Handle[R], waits: Waits) -> None:
        self.id = handle.id
        self._handle = handle
        self._waits = waits

    def __repr__(self) -> str:
        return f"SyncHandle({self.id!r})"

    def status(self) -> JobRecord:
        """Return what is known of the job. Raises as `Handle.status`."""
        return self._waits.wait(self._handle.status)

    def result(self, timeout: float | None = None) -> R:
        """Wait until the job has ended, `timeout` seconds at most, and return its result. Raises as `Handle.result`."""
        return self._waits.wait(lambda: self._handle.result(timeout))

    def progress(self, timeout: float | None = None) -> Iterator[Progress]:
        """Yield how far the job is, now and at each change, until it has ended. Raises as `Handle.progress`."""
        return each(self._waits, self._handle.progress(timeout))

    def cancel(self, *, reason: str = "", by: str | None = None) -> Cancellation:
        """End the job if it has yet to end. Raises as `Handle.cancel`."""
        return self._waits.wait(lambda: self._handle.cancel(reason=reason, by=by))


def each(waits: Waits, items: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous iterator does."""
    while True:
        try:
            yield waits.wait(lambda: anext(items))
        except StopAsyncIteration:
            return
