"""Group commit on one SQLite connection: what is asked for at the same time shares one transaction and one fsync.

It does not let anything run in parallel: operations run one after another on the event loop's thread, which is faster
than any thread when the loop is busy, because each SQLite statement gives the interpreter lock away. What may take
long, the wait for another process's transaction and the commit's fsync, does not block the loop.

An operation is a plain function of a `Transaction` and values. It may run twice, so it must have no effect outside of
its transaction. It happens as a whole or not at all, and one that raises takes none of its neighbours with it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio

from jobkit.backends.sqlite.batch import Batch, BatchRunner, Call, Raised
from jobkit.backends.sqlite.connection import MEMORY, open_connection
from jobkit.backends.sqlite.faults import is_busy, locked, translated
from jobkit.backends.sqlite.fork_guard import ForkGuard
from jobkit.backends.sqlite.notifier import Notifier, notifier_directory
from jobkit.backends.sqlite.store_clock import boot_id
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane

P = ParamSpec("P")
T = TypeVar("T")

LOCK_PATIENCE_SECONDS = 10.0
_LARGEST_BATCH = 256
# How long to let another process's transaction be before trying again. Short, since theirs are; random, so that two
# who wait do not meet again.
_LOCK_RETRY_SECONDS = (0.0005, 0.003)


class Engine:
    """The one connection of a process to a database; made by `open_engine`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        path: str,
        clock: Clock,
        offset: float,
        notifier: Notifier,
        threaded: bool,
        lock_patience: float,
    ) -> None:
        self.path = path
        self.clock = clock
        self.notifier = notifier
        self._connection = connection
        self._runner = BatchRunner(connection, clock, offset)
        self._lock_patience = lock_patience
        self._guard = ForkGuard()
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="jobkit-commit") if threaded else None
        self._queue: deque[Call] = deque()
        self._engaged = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._locked_since: float | None = None

    def plane(self, name: Plane) -> EnginePlane:
        """Return the engine as the plane called `name` uses it."""
        return EnginePlane(self, name)

    async def call(
        self,
        plane: Plane,
        writes: bool,
        operation: Callable[Concatenate[Transaction, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `operation` in the next transaction and return what it returned, once that is durable.

        A caller that is cancelled leaves it open whether the operation happens.
        """
        if self._closed:
            raise Unavailable(plane, f"{self.path} is closed in this process")
        loop = asyncio.get_running_loop()
        call = Call(operation, args, kwargs, plane, writes, loop.create_future())
        self._queue.append(call)
        if not self._engaged:
            self._engaged = True
            self._idle.clear()
            # Not at once: what other tasks ask for in this turn of the loop comes along.
            loop.call_soon(self._turn)
        result: T = await call.future
        return result

    async def aclose(self) -> None:
        """Finish the transaction under way, refuse what waits, and close the file. Again, it does nothing."""
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._idle.wait()
            self._guard.hold()
            try:
                if self._committer is None:
                    self._connection.close()
                else:
                    # The last one to close a database copies its log back, which takes a while.
                    await asyncio.get_running_loop().run_in_executor(self._committer, self._connection.close)
                    self._committer.shutdown()
            finally:
                self._guard.let_go()

    # ---- one turn: take a batch, run it, commit it, tell its callers -----------------------------------------------

    def _turn(self) -> None:
        if self._closed:
            self._refuse_queue()
        batch = self._next_batch()
        if batch is None:
            self._engaged = False
            self._locked_since = None
            self._idle.set()
            return
        self._try(batch)

    def _next_batch(self) -> Batch | None:
        calls: list[Call] = []
        while self._queue and len(calls) < _LARGEST_BATCH:
            call = self._queue.popleft()
            if not call.future.done():
                calls.append(call)
        return Batch(calls) if calls else None

    def _try(self, batch: Batch) -> None:
        self._guard.hold()
        changes = self._connection.total_changes
        try:
            self._runner.run(batch)
        except Exception as error:  # noqa: BLE001  (it goes to the callers)
            self._roll_back()
            if is_busy(error):
                self._wait_for_lock(batch)
            else:
                self._fail(batch.calls, error)
                self._schedule_turn()
            return
        except BaseException:
            self._roll_back()
            for call in batch.calls:
                call.future.cancel()
            self._schedule_turn()
            raise
        self._locked_since = None
        if self._committer is None or self._connection.total_changes == changes:
            self._commit_here(batch)
        else:
            loop = asyncio.get_running_loop()
            # `commit` does its work in one piece without the interpreter lock; `execute("COMMIT")` asks for it back
            # several times, and waits each time when the loop is busy.
            committing = loop.run_in_executor(self._committer, self._commit)
            committing.add_done_callback(partial(self._committed, batch))

    def _commit(self) -> None:
        try:
            self._connection.commit()
        finally:
            # By whoever commits: the loop itself may be about to fork, and wait for it.
            self._guard.let_go()

    def _roll_back(self) -> None:
        try:
            self._runner.roll_back()
        finally:
            self._guard.let_go()

    def _commit_here(self, batch: Batch) -> None:
        try:
            self._commit()
        except sqlite3.Error as error:
            self._not_committed(batch, error)
        else:
            self._tell(batch)
        self._schedule_turn()

    def _committed(self, batch: Batch, committing: asyncio.Future[None]) -> None:
        error = committing.exception()
        if error is None:
            self._tell(batch)
        else:
            self._not_committed(batch, error)
        self._schedule_turn()

    def _not_committed(self, batch: Batch, error: BaseException) -> None:
        self._roll_back()
        self._fail(batch.calls, error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def _schedule_turn(self) -> None:
        # After the callers that were just told: what they ask for next belongs to the next batch.
        asyncio.get_running_loop().call_soon(self._turn)

    # ---- another process has the lock ------------------------------------------------------------------------------

    def _wait_for_lock(self, batch: Batch) -> None:
        now = self.clock.now()
        if self._locked_since is None:
            self._locked_since = now
        if now - self._locked_since >= self._lock_patience:
            self._locked_since = None
            for call in (*batch.calls, *self._queue):
                _set_error(call, locked(call.plane, self.path, self._lock_patience))
            self._queue.clear()
            self._schedule_turn()
            return
        self._queue.extendleft(reversed(batch.calls))
        # Readers are in nobody's way, so they need not wait along.
        reads = [call for call in self._queue if not call.writes and not call.future.done()]
        if reads and len(reads) < len(self._queue):
            self._queue = deque(call for call in self._queue if call.writes)
            reading = Batch(reads[:_LARGEST_BATCH])
            self._queue.extend(reads[_LARGEST_BATCH:])
            self._try_reading(reading)
        asyncio.get_running_loop().call_later(random.uniform(*_LOCK_RETRY_SECONDS), self._turn)  # noqa: S311

    def _try_reading(self, batch: Batch) -> None:
        self._guard.hold()
        try:
            self._runner.run(batch)
            self._commit()
        except Exception as error:  # noqa: BLE001  (it goes to the callers)
            self._roll_back()
            if is_busy(error):
                self._queue.extend(batch.calls)
            else:
                self._fail(batch.calls, error)
        else:
            self._tell(batch)

    # ---- telling callers -------------------------------------------------------------------------------------------

    def _tell(self, batch: Batch) -> None:
        for call, outcome in zip(batch.calls, batch.outcomes, strict=True):
            if isinstance(outcome, Raised):
                _set_error(call, translated(outcome.error, call.plane, self.path))
            elif not call.future.done():
                call.future.set_result(outcome)
        self.notifier.notify(set(batch.topics))

    def _fail(self, calls: Iterable[Call], error: Exception) -> None:
        for call in calls:
            _set_error(call, translated(error, call.plane, self.path))

    def _refuse_queue(self) -> None:
        for call in self._queue:
            _set_error(call, Unavailable(call.plane, f"{self.path} is closed in this process"))
        self._queue.clear()


def _set_error(call: Call, error: Exception) -> None:
    # A caller that was cancelled has nobody left to tell.
    if not call.future.done():
        call.future.set_exception(error)


class EnginePlane:
    """The engine in the hands of one plane, whose name its errors carry."""

    def __init__(self, engine: Engine, name: Plane) -> None:
        self.engine = engine
        self.clock = engine.clock
        self.notifier = engine.notifier
        self._name = name

    def write(
        self, operation: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Run `operation(transaction, *args, **kwargs)` in a durable write transaction and return what it returned."""
        return self.engine.call(self._name, True, operation, *args, **kwargs)

    def read(
        self, operation: Callable[Concatenate[Transaction, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Run `operation(transaction, *args, **kwargs)`, which must not write, and return what it returned."""
        return self.engine.call(self._name, False, operation, *args, **kwargs)


@asynccontextmanager
async def open_engine(
    path: str,
    clock: Clock,
    *,
    plane: Plane = Plane.STORE,
    boot: str | None = None,
    lock_patience: float = LOCK_PATIENCE_SECONDS,
) -> AsyncIterator[Engine]:
    """Open the database at `path`, or one in memory for ":memory:", until the block ends.

    `clock` gives the machine's time and `boot` names its boot; tests inject both. `lock_patience` is how many seconds
    another process may hold the database before writes fail. An in-memory database uses no threads.
    Raises `ConfigurationError`, or `Unavailable` in the name of `plane`.
    """
    in_memory = path == MEMORY
    opening = partial(open_connection, path, clock.now, boot or boot_id(), lock_patience, plane)
    connection, offset = opening() if in_memory else await anyio.to_thread.run_sync(opening)
    notifier = Notifier(clock, None if in_memory else notifier_directory(path))
    engine = Engine(
        connection,
        path=path,
        clock=clock,
        offset=offset,
        notifier=notifier,
        threaded=not in_memory,
        lock_patience=lock_patience,
    )
    notifier.start()
    try:
        yield engine
    finally:
        try:
            await engine.aclose()
        finally:
            notifier.stop()
