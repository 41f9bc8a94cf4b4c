"""Notifications through Redis pub/sub.

Scripts publish a topic only where somebody has said that he waits for it, so that what happens a thousand times a
second does not wake every process each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Sequence
from types import TracebackType

import structlog
from redis.asyncio.connection import Connection

from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.scripts import PREFIX, REPLY_SECONDS
from jobkit.ports import notifier as port

_log = structlog.get_logger("jobkit.redis")

# Pub/sub may go silent, so a waiter looks for itself this often, in seconds; and has itself heard for longer.
POLL_SECONDS = 1.0
SUBSCRIBED_MILLISECONDS = "5000"
_CHANNEL = f"{PREFIX}hints"
# How long a silent channel is trusted before it is asked whether it lives, in seconds.
_SILENCE_SECONDS = 10.0
_RECONNECT_SECONDS = (0.1, 5.0)


class Subscription(port.Subscription):
    """One waiter on topics, or on all below one that ends in "/"; a context manager."""

    def __init__(self, waiting: dict[asyncio.Event, Subscription], topics: Sequence[str]) -> None:
        self._waiting = waiting
        self._topics = frozenset(topics)
        self._above = tuple(topic for topic in topics if topic.endswith("/"))
        self._notified = asyncio.Event()

    def __enter__(self) -> Subscription:
        self._waiting[self._notified] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._waiting[self._notified]

    def wants(self, topic: str) -> bool:
        """Return whether it waits for this topic."""
        return topic in self._topics or topic.startswith(self._above)

    async def wait(self, seconds: float) -> bool:
        """Return once a topic was notified since the last return, or it is time to look again.

        That is in `seconds` at most. Return whether it was notified.
        """
        poll = POLL_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
        try:
            async with asyncio.timeout(min(seconds, poll)):
                await self._notified.wait()
        except TimeoutError:
            return False
        self._notified.clear()
        return True


class Listener(port.Listener):
    """What this process is notified of. Made inside a running event loop; scripts are what notifies."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._pause = _RECONNECT_SECONDS[0]
        self._waiting: dict[asyncio.Event, Subscription] = {}
        self._task = asyncio.create_task(self._listen_forever(), name="jobkit-redis-notifications")

    def subscribe(self, *topics: str) -> Subscription:
        """Return a waiter on `topics`, to be entered before looking, so that nothing between is missed."""
        return Subscription(self._waiting, topics)

    async def aclose(self) -> None:
        """End the subscription."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _listen_forever(self) -> None:
        while True:
            try:
                async with self._connector.connected() as connection:
                    await self._listen(connection)
            except Exception as error:  # noqa: BLE001  (whatever it is, it must not end the notifications for good)
                _log.warning(
                    port.NOTIFICATIONS_LOST,
                    server=self._connector.name,
                    error=f"{type(error).__name__}: {error}",
                )
            await asyncio.sleep(self._pause * (0.5 + random.random()))  # noqa: S311
            self._pause = min(2 * self._pause, _RECONNECT_SECONDS[1])

    async def _listen(self, connection: Connection) -> None:
        """Take what comes; where nothing comes for long, ask whether anybody is still there."""
        await connection.send_command("SUBSCRIBE", _CHANNEL)
        asked = True
        while True:
            try:
                async with asyncio.timeout(REPLY_SECONDS if asked else _SILENCE_SECONDS):
                    kind, *about = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                await connection.send_command("PING")
                continue
            asked = False
            if kind == b"subscribe":
                self._pause = _RECONNECT_SECONDS[0]
                # What was said while nobody listened is lost, so let everybody look.
                self._wake(None)
            elif kind == b"message":
                self._wake(about[1].decode())

    def _wake(self, topic: str | None) -> None:
        for event, subscription in self._waiting.items():
            if topic is None or subscription.wants(topic):
                event.set()
