"""What has to be done in the thread of the caller while he waits: statements on a connection that is his."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from queue import SimpleQueue
from typing import Any, TypeVar

from jobkit.client.sync.callers_connection import cursor_of

T = TypeVar("T")

_Errand = tuple[Callable[[], Any], Future[Any]]


class CallersThread:
    """A thread that waits for a call in a loop, and does meanwhile what that call asks it to."""

    def __init__(self) -> None:
        self._errands: SimpleQueue[_Errand | None] = SimpleQueue()

    async def run(self, function: Callable[[], T]) -> T:
        """Have `function` run in the thread; called in the loop. Raises what it raises."""
        done: Future[T] = Future()
        self._errands.put((function, done))
        return await asyncio.wrap_future(done)

    def serve_until(self, future: Future[T]) -> T:
        """Do what is asked for until the call is done; called in the thread. Return or raise as the call does."""
        future.add_done_callback(lambda _: self._errands.put(None))
        while (errand := self._errands.get()) is not None:
            function, done = errand
            try:
                done.set_result(function())
            except Exception as error:  # noqa: BLE001  (raised in the call, which raises it here)
                done.set_exception(error)
            except BaseException:
                done.cancel()
                raise
        return future.result()


class CallersConnection:
    """A `ForeignConnection`: one of the caller's, used in the caller's thread. It opens and ends no transaction."""

    def __init__(self, connection: Any, thread: CallersThread) -> None:
        self._connection = connection
        self._thread = thread

    async def fetch_rows(self, sql: str, arguments: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        """Run one statement and return its rows by column. Raises what the driver does, or `ConfigurationError`."""

        def fetch() -> list[dict[str, Any]]:
            with closing(cursor_of(self._connection)) as cursor:
                cursor.execute(sql, arguments)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return await self._thread.run(fetch)
