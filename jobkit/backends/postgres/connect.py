"""Connecting to a database, wherever among the hosts of its URL the primary is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from jobkit.backends.first_to_answer import NoneAnswered, first_to_answer
from jobkit.backends.postgres.address import Host, PostgresAddress

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]


class Connector:
    """Connects to one database. Of several hosts the one that took the last connection is tried first.

    The driver by itself asks them one after another, and spends all its time on one that drops packets.
    """

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self._hosts = list(address.hosts)

    async def connect(self, *_: object, **options: Any) -> Connection:
        """Return a connection that can write. Takes the options of `asyncpg.connect`; raises what that raises."""
        options.setdefault("server_settings", self._address.server_settings)
        if len(self._hosts) < 2:
            return await asyncpg.connect(self._address.url, **options)
        hosts = list(self._hosts)
        try:
            host, connection = await first_to_answer(
                [partial(self._connect_to, host, options) for host in hosts], lambda late: late[1].terminate()
            )
        except NoneAnswered as error:
            raise _trouble(hosts, error.errors) from error.errors[0]
        self._hosts.sort(key=lambda one: one != host)
        return connection

    async def _connect_to(self, host: Host, options: dict[str, Any]) -> tuple[Host, Connection]:
        return host, await asyncpg.connect(self._address.url, **options, **self._address.chosen_host(*host))


def _trouble(hosts: Sequence[Host], errors: Sequence[Exception]) -> Exception:
    if all(isinstance(error, asyncpg.PostgresError | asyncpg.ClientConfigurationError) for error in errors):
        # Each answered, and would have none of us.
        return errors[0]
    told = zip(hosts, errors, strict=True)
    return ConnectionError(
        "; ".join(f"{host}:{port}: {str(error) or 'no answer in time'}" for (host, port), error in told)
    )
