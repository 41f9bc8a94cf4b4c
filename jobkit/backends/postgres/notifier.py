"""Notifications by LISTEN and NOTIFY, over one connection of their own.

NOTIFY takes a lock that lets one transaction at a time commit. So it is no part of the transactions it tells of:
what they changed is gathered, and sent at most so often, in a transaction that waits for no disk.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio
import asyncpg
import structlog

from jobkit.backends.postgres.address import PostgresAddress
from jobkit.backends.postgres.connect import Connector
from jobkit.backends.postgres.timeouts import cut_after
from jobkit.model.clock import Clock
from jobkit.ports import notifier as port

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_log = structlog.get_logger("jobkit.postgres")

POLL_SECONDS = 1.0
_CHANNEL = "jobkit"
_EVERYTHING = "*"
# The server takes fewer than 8000 bytes; a topic takes nine.
_MOST_TOPICS = 800
_PAUSE_SECONDS = 0.05
# A connection that is cut in silence is noticed after this.
_PROBE_SECONDS = 15.0
_LIMIT_SECONDS = 5.0
_RECONNECT_SECONDS = (0.2, 5.0)


def _short(topic: str) -> str:
    # Two topics that share one wake each other's waiters for nothing, which is allowed.
    return f"{zlib.crc32(topic.encode('utf-8', 'surrogatepass')):08x}"


class Subscription(port.Subscription):
    """One waiter on topics; a context manager."""

    def __init__(self, notifier: Notifier, topics: Sequence[str]) -> None:
        self._notifier = notifier
        self._topics = [_short(topic) for topic in topics]
        self._awake = asyncio.Event()
        self._notified = False

    def __enter__(self) -> Subscription:
        for topic in self._topics:
            self._notifier.add(topic, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Two of its topics may be short for one.
        for topic in dict.fromkeys(self._topics):
            self._notifier.discard(topic, self)

    def wake(self, *, notified: bool) -> None:
        """End the wait: because a topic was notified, or may have been while nobody listened."""
        self._notified = self._notified or notified
        self._awake.set()

    async def wait(self, seconds: float) -> bool:
        """Return once a topic was notified since the last return, or it is time to look again: in `seconds` at most.

        Return whether it was notified.
        """
        if not self._awake.is_set() and seconds > 0:
            await self._notifier.wait_for(self._awake, seconds)
        notified, self._notified = self._notified, False
        self._awake.clear()
        return notified


class Notifier(port.Notifier):
    """The notifications of one process. It connects when somebody first subscribes or notifies."""

    def __init__(self, address: PostgresAddress, clock: Clock, rng: random.Random | None = None) -> None:
        self._name = address.name
        self._connector = Connector(address)
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311  (spreads pollers, no secret)
        self._waiting: dict[str, set[Subscription]] = {}
        self._unsent: set[str] = set()
        self._something = asyncio.Event()
        self._connected: asyncio.Task[None] | None = None
        self._own_pid = 0

    def subscribe(self, *topics: str) -> Subscription:
        """Return a waiter on `topics`, to be entered before looking, so that nothing between is missed."""
        return Subscription(self, topics)

    def add(self, topic: str, subscription: Subscription) -> None:
        """Wake `subscription` whenever `topic` is notified."""
        self._start()
        self._waiting.setdefault(topic, set()).add(subscription)

    def discard(self, topic: str, subscription: Subscription) -> None:
        """Undo `add`."""
        self._waiting[topic].discard(subscription)
        if not self._waiting[topic]:
            del self._waiting[topic]

    async def wait_for(self, awake: asyncio.Event, seconds: float) -> None:
        """Return when `awake` is set, `seconds` are over, or a slow poll is due."""
        seconds = min(seconds, POLL_SECONDS * self._rng.uniform(0.75, 1.25))
        async with anyio.create_task_group() as group:

            async def expire() -> None:
                await self._clock.sleep(seconds)
                group.cancel_scope.cancel()

            group.start_soon(expire)
            await awake.wait()
            group.cancel_scope.cancel()

    def notify(self, topics: Collection[str]) -> None:
        """Wake whoever waits for one of `topics`, here and, soon, in other processes."""
        for topic in topics:
            short = _short(topic)
            self._wake(short)
            self._unsent.add(short)
        if self._unsent:
            self._start()
            self._something.set()

    async def aclose(self) -> None:
        """Stop listening and notifying; wake every waiter of this process one last time."""
        if self._connected is not None:
            self._connected.cancel()
            await asyncio.wait([self._connected])
        self._wake_all()

    def _start(self) -> None:
        if self._connected is None:
            self._connected = asyncio.create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        pause = _RECONNECT_SECONDS[0]
        while True:
            try:
                connection = await self._connect()
                try:
                    pause = _RECONNECT_SECONDS[0]
                    # Whatever was notified while nobody listened.
                    self._wake_all()
                    await self._carry(connection)
                finally:
                    connection.terminate()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                _log.warning(
                    port.NOTIFICATIONS_LOST,
                    database=self._name,
                    error=f"{type(error).__name__}: {error}",
                )
            self._unsent.clear()
            await asyncio.sleep(pause * self._rng.uniform(0.5, 1.5))
            pause = min(2 * pause, _RECONNECT_SECONDS[1])

    async def _connect(self) -> Connection:
        connection = await self._connector.connect(timeout=_LIMIT_SECONDS)
        try:
            with cut_after(_LIMIT_SECONDS, connection):
                # Hints are worth no flush to disk.
                await connection.execute("SET synchronous_commit = off")
                await connection.add_listener(_CHANNEL, self._on_message)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _carry(self, connection: Connection) -> None:
        """Send what is notified here, and look whether the connection still lives; until it does not."""
        self._own_pid = connection.get_server_pid()
        connection.add_termination_listener(lambda _: self._something.set())
        while True:
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    await self._something.wait()
            except TimeoutError:
                pass
            self._something.clear()
            if not self._unsent:
                await self._ask(connection, "SELECT 1")
                continue
            topics, self._unsent = self._unsent, set()
            told = " ".join(sorted(topics)) if len(topics) <= _MOST_TOPICS else _EVERYTHING
            await self._ask(connection, "SELECT pg_notify($1, $2)", _CHANNEL, told)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask(self, connection: Connection, statement: str, *args: object) -> None:
        with cut_after(_LIMIT_SECONDS, connection):
            await connection.fetch(statement, *args)

    def _on_message(self, _connection: Any, pid: int, _channel: str, told: object) -> None:
        if pid == self._own_pid:
            return
        if told == _EVERYTHING:
            self._wake_all()
        else:
            for topic in str(told).split():
                self._wake(topic)

    def _wake(self, topic: str) -> None:
        for subscription in self._waiting.get(topic, ()):
            subscription.wake(notified=True)

    def _wake_all(self) -> None:
        for subscriptions in self._waiting.values():
            for subscription in subscriptions:
                subscription.wake(notified=False)
