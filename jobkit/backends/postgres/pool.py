"""Connections to one database: a bounded pool, and calls that never hang.

It does not repeat anything whose outcome is unknown; only a transaction that the server says it rolled back because
of another one is tried again. After a restart of the server the next call connects anew.

Two pools share the bound: one for the way of a job, one for all else (inspection, retention, transactions in which
users' code takes part), so that a slow look at many jobs keeps no commit waiting. On the first nothing waits long for a
lock either: what finds one held, by a caller's own transaction perhaps, waits for it on the second.

The driver is asyncpg: measured against psycopg 3 it needs the least time per call on the client, where workers are
busy; it takes arrays of bytes in binary, which is how calls are grouped; and its connections are ordinary ones, on
which users' own statements can join a transaction of ours, or ours one of theirs.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from jobkit.backends.postgres.address import PostgresAddress
from jobkit.backends.postgres.connect import Connector
from jobkit.backends.postgres.faults import explained, is_about_connection, is_held_up, is_overtaken
from jobkit.backends.postgres.known_types import KnownTypesConnection
from jobkit.backends.postgres.lending import Lender
from jobkit.backends.postgres.timeouts import cut_after
from jobkit.errors import Unavailable
from jobkit.model.plane import Plane

if TYPE_CHECKING:
    from jobkit.backends.postgres.lending import Connection

T = TypeVar("T")

WORK_CONNECTIONS = 4
ASIDE_CONNECTIONS = 3
CONNECT_SECONDS = 5.0
CALL_SECONDS = 10.0
# Shorter than the client's patience, so that it is the server that ends a statement, and its connection stays.
_STATEMENT_SECONDS = 8.0
# Longer than most transactions of ours take; a caller's own transaction may hold a key's lock for as long as it likes.
_LOCK_SECONDS = 0.25
_PATIENT_LOCK_SECONDS = 2.0
# How many wait like that at a time, so that somebody else finds a connection.
_PATIENT_CALLS = ASIDE_CONNECTIONS - 1
# What a client that vanished in a transaction had locked is free again after this.
_IDLE_IN_TRANSACTION_SECONDS = 15.0
# And this long after the connection of a statement under way was cut.
_LOOK_FOR_CLIENT_SECONDS = 1.0
# On the way of a job they are kept for good: where a link becomes slow, to make one takes seconds.
_KEEP_IDLE_SECONDS = 60.0
# After so long without a word the server sends one (TCP keepalive), so that no gateway between forgets what is kept.
_KEEP_ALIVE_SECONDS = 30
# A round trip above this is no quick one.
_QUICK_SECONDS = 0.1
_ATTEMPTS = 12
_RETRY_SECONDS = (0.001, 0.01)

# As functions have it: what is asked for has an index, also where nobody has told the planner yet how much there is.
_PREPARE_SESSION = """
    SELECT set_config('statement_timeout', '{statement}ms', false), set_config('lock_timeout', '{lock}ms', false),
           set_config('idle_in_transaction_session_timeout', '{idle}ms', false),
           set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false),
           set_config('jit', 'off', false),
           CASE WHEN current_setting('synchronous_commit') = 'off'
                THEN set_config('synchronous_commit', 'on', false) END,
           CASE WHEN version() LIKE '%linux%'  -- other platforms cannot look, and refuse the setting
                THEN set_config('client_connection_check_interval', '{look}ms', false) END,
           CASE WHEN version() LIKE '%linux%' THEN set_config('tcp_keepalives_idle', '{alive}', false) END
"""


async def prepare_session(connection: Any, *, lock_seconds: float) -> None:
    """Bound what the server does for this connection, and have its commits durable when they return."""
    seconds = {
        "statement": _STATEMENT_SECONDS,
        "lock": lock_seconds,
        "idle": _IDLE_IN_TRANSACTION_SECONDS,
        "look": _LOOK_FOR_CLIENT_SECONDS,
    }
    limits = {name: round(1000 * limit) for name, limit in seconds.items()} | {"alive": _KEEP_ALIVE_SECONDS}
    with cut_after(CONNECT_SECONDS, connection):
        # One round trip; with arguments it would be two.
        await connection.execute(_PREPARE_SESSION.format(**limits))


async def _keep_session(_connection: Any) -> None:
    """Leave the session as it is: asyncpg's own reset is a round trip more for each call, and undoes the above."""


class ConnectionPool:
    """The connections of one process to one database."""

    def __init__(
        self, address: PostgresAddress, *, rng: random.Random | None = None, call_seconds: float = CALL_SECONDS
    ) -> None:
        self.name = address.name
        self.round_trips = 0
        self._rng = rng or random.Random()  # noqa: S311  (spreads retries, no secret)
        self.call_seconds = call_seconds
        self._known: Sequence[str] = ()
        self._work = self._lender(address, WORK_CONNECTIONS, _LOCK_SECONDS, for_work=True)
        self._aside = self._lender(address, ASIDE_CONNECTIONS, _PATIENT_LOCK_SECONDS, for_work=False)
        self._patience = asyncio.Semaphore(_PATIENT_CALLS)
        self._calls: set[asyncio.Task[Any]] = set()
        self._closed = False

    def _lender(self, address: PostgresAddress, size: int, lock_seconds: float, *, for_work: bool) -> Lender:
        with explained(self.name):
            pool = asyncpg.create_pool(
                address.url,
                connect=Connector(address).connect,
                connection_class=KnownTypesConnection,
                min_size=0,
                max_size=size,
                init=partial(self._prepare, lock_seconds=lock_seconds, for_work=for_work),
                reset=_keep_session,
                timeout=CONNECT_SECONDS,
                max_inactive_connection_lifetime=0 if for_work else _KEEP_IDLE_SECONDS,
                max_cached_statement_lifetime=0,
            )
        return Lender(pool, CONNECT_SECONDS)

    async def _prepare(self, connection: KnownTypesConnection, *, lock_seconds: float, for_work: bool) -> None:
        began = time.monotonic()
        await prepare_session(connection, lock_seconds=lock_seconds)
        if not for_work or time.monotonic() - began > _QUICK_SECONDS:
            # Where round trips are slow already, those who wait for it need it sooner.
            return
        with cut_after(CONNECT_SECONDS, connection):
            for statement in self._known:
                await connection.know(statement)
            # By this the server hears that nothing of that is under way: else its time limit for a statement would run.
            await connection.execute("SELECT 1")

    def keep_ready(self, *statements: str) -> None:
        """Have all connections for the way of a job from now on, and new ones know these statements.

        Else, where a link becomes slow, one or two have to do while others are made, and each statement takes a round
        trip more where it is new: that is seconds for the jobs under way.
        """
        if not self._known:
            self._known = statements
            self._work.keep()

    async def open(self) -> ConnectionPool:
        """Make the pools ready; connections are made when they are needed."""
        for lender in (self._work, self._aside):
            await lender.pool
        return self

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, aside: bool = False) -> T:
        """Return what `work` returns of a connection. It may run several times: it must be one transaction.

        Raises `Unavailable`, `ConfigurationError` and whatever else `work` raises. A caller that is cancelled leaves
        it open whether the work happens.
        """
        with explained(self.name):
            try:
                return await self.run_raw(work, aside=aside)
            except asyncpg.PostgresError as error:
                if aside or not is_held_up(error):
                    raise
            return await self.run_patiently(work)

    async def run_patiently(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do as `run_raw`, where a lock was found to be held that is worth waiting for."""
        async with self._patience:
            return await self.run_raw(work, aside=True)

    async def run_raw(self, work: Callable[[Connection], Awaitable[T]], *, aside: bool = False) -> T:
        """Do as `run`, but raise the driver's own errors."""
        if self._closed:
            raise Unavailable(Plane.STORE, f"{self.name} is closed in this process")
        call = asyncio.create_task(self._call(work, self._aside if aside else self._work))
        self._calls.add(call)
        call.add_done_callback(self._forget_call)
        # A query that is cancelled would have the driver open another connection to say so, and wait for it.
        return await asyncio.shield(call)

    def _forget_call(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            # Its caller may be gone; to whoever is there, the same is raised.
            call.exception()

    async def _call(self, work: Callable[[Connection], Awaitable[T]], lender: Lender) -> T:
        attempt = 1
        while True:
            try:
                return await self._once(work, lender)
            except asyncpg.PostgresError as error:
                if not is_overtaken(error) or attempt == _ATTEMPTS:
                    raise
            attempt += 1
            await asyncio.sleep(self._rng.uniform(*_RETRY_SECONDS) * attempt)

    async def _once(self, work: Callable[[Connection], Awaitable[T]], lender: Lender) -> T:
        connection = await lender.borrow()
        try:
            with cut_after(self.call_seconds, connection):
                self.round_trips += 1
                return await work(connection)
        except BaseException as error:
            if is_about_connection(error) or not isinstance(error, Exception):
                # One that was cut may be the pool's again, which refuses this; `error` says what happened.
                with suppress(asyncpg.InterfaceError):
                    connection.terminate()
            raise
        finally:
            await lender.give_back(connection)

    async def aclose(self) -> None:
        """Let calls under way end, for as long as one may take, and close the connections."""
        self._closed = True
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=self.call_seconds)
        for lender in (self._work, self._aside):
            lender.end()
            with suppress(TimeoutError, asyncpg.InterfaceError, OSError):
                async with asyncio.timeout(1.0):
                    await lender.pool.close()
                continue
            lender.pool.terminate()


def query(statement: str, *args: object) -> Callable[[Connection], Awaitable[list[Any]]]:
    """Return the work of one statement, for `ConnectionPool.run`."""
    return partial(_fetch, statement, args)


async def _fetch(statement: str, args: tuple[object, ...], connection: Connection) -> list[Any]:
    return await connection.fetch(statement, *args)
