"""From an address to a connection, which never sends a command twice by itself and never waits without an end.

The driver's own retries are off: a command that timed out may have run, and only our scripts know how to be asked
again. There is no pool: whoever needs a connection has one of its own, so that nobody is ever given one on which
somebody else's answer is still to come, and nothing that jobs ask for can keep leases from being renewed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError

from jobkit.backends.first_to_answer import NoneAnswered, first_to_answer
from jobkit.backends.redis.address import Host, RedisAddress

# TLS by way of a sentinel takes nine round trips; at 500 ms each there is room for them.
CONNECT_SECONDS = 6.0


class _Abrupt(Connection):
    """A connection whose end waits for nobody.

    One with TLS would stay open until the server has said goodbye to it, or for ever where the loop ends before that.
    """

    async def disconnect(self, *arguments: Any, **options: Any) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(*arguments, **options)

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        # In 3.12 and much of 3.13 a write to a lost connection leaves its descriptor in the loop, and the next one that
        # gets its number is never told that it has connected (gh-136234).
        if self._writer is not None and self._writer.transport.is_closing():
            raise exceptions.ConnectionError("the connection is lost")
        await super().send_packed_command(*arguments, **options)


class _Encrypted(_Abrupt, SSLConnection):
    pass


class Connector:
    """Makes connections to the server at an address, or to whichever one the sentinels name."""

    def __init__(self, address: RedisAddress, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        self.name = address.name
        self._address = address
        self._seconds = connect_seconds
        self._sentinels = list(address.hosts) if address.service else []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """Lend a connection of the block's own. Raises the driver's errors, `OSError` or `TimeoutError`."""
        async with asyncio.timeout(self._seconds):
            host, port = await self._primary() if self._sentinels else self._address.hosts[0]
            connection = self._connection(host, port, self._address.login, self._address.database)
            await _connect(connection)
        try:
            yield connection
        finally:
            await connection.disconnect(nowait=True)

    def _connection(self, host: str, port: int, login: Mapping[str, str], database: int) -> Connection:
        options: dict[str, Any] = {
            # Answers may take as long as whoever waits for them says; only the way there is bounded here.
            "socket_timeout": None,
            "socket_connect_timeout": self._seconds,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            # Else the driver tells its own name and version in two commands more.
            "driver_info": None,
        }
        options.update(login, host=host, port=port, db=database)
        if self._address.tls is None:
            return _Abrupt(**options)
        return _Encrypted(**options, **self._address.tls)  # type: ignore[arg-type]  # checked with the URL

    async def _primary(self) -> Host:
        """Ask the sentinels; the one that knew is asked first the next time."""
        sentinels = list(self._sentinels)
        try:
            knows, primary = await first_to_answer([partial(self._ask, *sentinel) for sentinel in sentinels], _unused)
        except NoneAnswered as error:
            raise self._unknown(sentinels, error.errors) from error
        self._sentinels.sort(key=lambda sentinel: sentinel != knows)
        return primary

    def _unknown(self, sentinels: Sequence[Host], errors: Sequence[Exception]) -> Exception:
        refused = [error for error in errors if isinstance(error, AuthenticationError)]
        if len(refused) == len(errors):
            return refused[0]
        told = [
            f"{host}:{port}: {str(error) or 'no answer in time'}"
            for (host, port), error in zip(sentinels, errors, strict=True)
        ]
        return MasterNotFoundError(f"no sentinel names a primary of {self._address.service}: {'; '.join(told)}")

    async def _ask(self, host: str, port: int) -> tuple[Host, Host]:
        """Return the sentinel that was asked, and the primary that it names."""
        # The whole way takes one connection more.
        async with asyncio.timeout(self._seconds / 2):
            return (host, port), await self._primary_by(host, port)

    async def _primary_by(self, host: str, port: int) -> Host:
        connection = self._connection(host, port, self._address.sentinel_login, 0)
        await _connect(connection)
        try:
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
            found = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        if not found:
            raise MasterNotFoundError(f"it watches no {self._address.service}")
        return found[0].decode(), int(found[1])


def _unused(_: object) -> None:
    """Nothing is left of an answer that came too late."""


async def _connect(connection: Connection) -> None:
    try:
        await connection.connect()  # type: ignore[no-untyped-call]  # the driver leaves this one untyped
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
