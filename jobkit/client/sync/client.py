"""`SyncClient`: what `Client` does, for programs without an event loop.

It may be used by any number of threads, and in processes that were forked after it was made. A job that is part of a
transaction of the caller's is submitted by the caller's own connection, in the caller's own thread.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, overload

from jobkit.client.client import Client
from jobkit.client.connect import connect
from jobkit.client.sync.blocking import blocking
from jobkit.client.sync.callers_thread import CallersConnection, CallersThread
from jobkit.client.sync.files import SyncFileSet, SyncOpenFile, opened
from jobkit.client.sync.loop_thread import LoopThread
from jobkit.client.sync.schedules import SyncScheduleBook
from jobkit.handles.handle import Handle
from jobkit.handles.sync_handle import SyncHandle, each
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import Processor, SubmitOptions
from jobkit.ports.groups import GroupMember
from jobkit.ports.inspection import JobRecord
from jobkit.settings import Settings

P = TypeVar("P", bound=Payload)
R = TypeVar("R")
T = TypeVar("T")
A = ParamSpec("A")


def _quick(method: Callable[Concatenate[Client, A], T]) -> Callable[Concatenate[SyncClient, A], T]:
    """Return a method that waits for nothing as one that runs where the client lives."""

    @functools.wraps(method)
    def run(self: SyncClient, /, *args: A.args, **kwargs: A.kwargs) -> T:
        async def ran(client: Client) -> T:
            return method(client, *args, **kwargs)

        return self.call(ran)

    return run


class SyncClient:
    """A client for programs without an event loop; the backends are those that the settings name.

    They are opened with the first call, in a thread of their own, and closed by `close` or at the end of a `with`
    block. Make one for the whole program, before it forks or after, for all of its threads.

    A `connection` that `submit`, `submit_many` or `cancel` are given is one of psycopg 3, a session or connection of
    SQLAlchemy on psycopg 3, or Django's `django.db.connection`, with a transaction open in the store's database. It is
    used in the thread of the caller only.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        open: Callable[[], AbstractAsyncContextManager[Client]] | None = None,
    ) -> None:
        self._thread: LoopThread[Client] = LoopThread(open or partial(connect, settings))

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the backends and end the thread. It cannot be used after that."""
        self._thread.close()

    def call(self, function: Callable[[Client], Awaitable[T]]) -> T:
        """Run `function` with the asynchronous client, where that lives, and return what it returns."""
        return self._thread.call(function)

    def call_with(self, connection: Any, function: Callable[[Client, Any], Awaitable[T]]) -> T:
        """Do so, with a connection of the caller's that stays in the thread of the caller."""
        caller = CallersThread()
        lent = CallersConnection(connection, caller)
        return self._thread.call(lambda client: function(client, lent), caller.serve_until)

    def wait(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run `function` where the client lives, and return what it returns."""
        return self._thread.call(lambda _: function())

    def lend(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> AbstractContextManager[T]:
        """Return a context manager that is entered and left where the client lives."""
        return self._thread.lend(lambda _: open())

    job = _quick(Client.job)
    submit = blocking(Client.submit)
    submit_many = blocking(Client.submit_many)
    submit_group = blocking(Client.submit_group)
    group = blocking(Client.group)
    cancel_group = blocking(Client.cancel_group)
    cancel = blocking(Client.cancel)
    cancel_all = blocking(Client.cancel_all)
    reprioritize = blocking(Client.reprioritize)
    reprioritize_many = blocking(Client.reprioritize_many)
    reprioritize_all = blocking(Client.reprioritize_all)
    pause = blocking(Client.pause)
    resume = blocking(Client.resume)
    pauses = blocking(Client.pauses)
    types = blocking(Client.types)
    status = blocking(Client.status)
    payload = blocking(Client.payload)
    download = blocking(Client.download)

    def submit_to(self, processor: Processor[P, R], payload: P, **options: Unpack[SubmitOptions]) -> SyncHandle[R]:
        """Accept a job of a processor; what `processor.submit(client, payload)` calls. Errors as for `submit`."""
        handle: Handle[R] = _submit_to(self, processor, payload, **options)
        return SyncHandle(handle, self)

    @overload
    def handle(self, id: str) -> SyncHandle[Any]: ...

    @overload
    def handle(self, id: str, processor: Processor[P, R]) -> SyncHandle[R]: ...

    def handle(self, id: str, processor: Processor[Any, Any] | None = None) -> SyncHandle[Any]:
        """Return a handle of a job that was submitted here or elsewhere, as `Client.handle` does."""
        return SyncHandle(_handle(self, id, processor), self)

    def watch(self, id: str, timeout: float | None = None) -> Iterator[JobRecord]:
        """Yield the job's record now and at each change, until it has ended or is parked. Raises as `Client.watch`."""
        return each(self, _watch(self, id, timeout))

    def members(self, id: str) -> Iterator[GroupMember]:
        """Yield the members of a group, in order. Raises as `Client.members`."""
        return each(self, _members(self, id))

    def files(self, type: str, key: str) -> SyncFileSet:
        """Return the files that were committed last for a key: none where none ever were. Raises as `Client.files`."""
        return SyncFileSet(self.call(lambda client: client.files(type, key)), self)

    def open(
        self, type: str, key: str, name: str, *, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[SyncOpenFile]:
        """Open a committed file for a block. Raises as `Client.open`."""
        found = _open(self, type, key, name, start=start, stop=stop)
        return opened(self, lambda: found)

    @property
    def schedules(self) -> SyncScheduleBook:
        """The schedules: jobs that are submitted by the calendar."""
        return SyncScheduleBook(self)


_submit_to = blocking(Client.submit_to)
_watch = _quick(Client.watch)
_members = _quick(Client.members)
_open = _quick(Client.open)


def _handle(client: SyncClient, id: str, processor: Processor[Any, Any] | None) -> Handle[Any]:
    async def made(asynchronous: Client) -> Handle[Any]:
        return asynchronous.handle(id) if processor is None else asynchronous.handle(id, processor)

    return client.call(made)
