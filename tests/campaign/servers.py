"""The servers of one campaign, private ones, and what can befall them."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import anyio

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.migrations import migrate
from jobkit.lab.servers.base import require
from jobkit.lab.servers.rabbitmq import RabbitServer
from jobkit.lab.servers.rabbitmq import shared_server as rabbit_server
from jobkit.lab.servers.redis import DURABLE, RedisServer
from jobkit.lab.servers.redis import start_server as start_redis
from tests.campaign.schedule import PLANES, Plane
from tests.lab.servers.postgres import TestServer, ready_server

StoreKind = Literal["postgres", "redis"]
STORES: tuple[StoreKind, ...] = ("postgres", "redis")


class _Life(Protocol):
    """What can be done to any server."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


@dataclass
class Servers:
    """RabbitMQ, a Redis for the leases, and PostgreSQL or a Redis of its own for the store."""

    broker: RabbitServer
    coordinator: RedisServer
    store: TestServer | RedisServer
    vhost: str
    database: str = ""
    # One thing at a time befalls a server: what comes meanwhile waits until it is back.
    _turns: dict[Plane, asyncio.Lock] = field(default_factory=lambda: {plane: asyncio.Lock() for plane in PLANES})

    def port(self, plane: Plane) -> int:
        return self._server(plane).port

    def url(self, plane: Plane, *, port: int | None = None) -> str:
        """Return the plane's URL, by way of another port where there is a proxy at it."""
        match plane:
            case "broker":
                return self.broker.url(self.vhost, port=port)
            case "coordinator":
                return self.coordinator.url(port=port)
            case "store" if isinstance(self.store, TestServer):
                return self.store.url(self.database, port=port)
        return self.store.url(port=port)

    async def restart(self, plane: Plane) -> None:
        """Stop a server in order and start it again, with its data."""
        await self._one_by_one(plane, self._stop, self._start)

    async def kill(self, plane: Plane) -> None:
        """Kill a server and start it again, with what data it had made durable."""
        await self._one_by_one(plane, self._kill, self._start)

    async def prune(self) -> None:
        """Have the coordinator forget everything while it runs."""
        await self._one_by_one("coordinator", lambda _: self.coordinator.call("FLUSHALL"))

    async def restart_empty(self, plane: Literal["broker", "coordinator"]) -> None:
        """Kill a server and start it again, under the same names, without its data."""
        start = self._start_broker_empty if plane == "broker" else self._start_coordinator_empty
        await self._one_by_one(plane, self._kill, start)

    async def restart_both_empty(self) -> None:
        """Have broker and coordinator lose everything in the same moment."""
        await asyncio.gather(self.restart_empty("broker"), self.restart_empty("coordinator"))

    async def back_up_store(self, directory: Path) -> Path:
        """Copy what the store has, at rest, into `directory`; return where it is."""
        backup = directory / "backup"
        await self._one_by_one("store", self._stop, lambda _: _copy(self._store_data, backup), self._start)
        return backup

    async def restore_store(self, backup: Path) -> None:
        """Kill the store and start it again with what it had as it was backed up."""
        await self._one_by_one("store", self._kill, lambda _: self._put_back(backup), self._start)

    @property
    def _store_data(self) -> Path:
        return self.store.data if isinstance(self.store, TestServer) else self.store.directory / "appendonlydir"

    def _put_back(self, backup: Path) -> None:
        shutil.rmtree(self._store_data)
        _copy(backup, self._store_data)

    async def kill_all(self) -> None:
        """Kill every server in the same moment."""
        await asyncio.gather(*(asyncio.to_thread(self._kill, plane) for plane in PLANES))

    async def start_all(self) -> None:
        """Start every server again, with what data it had made durable."""
        await asyncio.gather(*(asyncio.to_thread(self._start, plane) for plane in PLANES))

    async def _one_by_one(self, plane: Plane, *steps: Callable[[Plane], object]) -> None:
        async with self._turns[plane]:
            for step in steps:
                await asyncio.to_thread(step, plane)

    def _server(self, plane: Plane) -> RabbitServer | RedisServer | TestServer:
        match plane:
            case "broker":
                return self.broker
            case "coordinator":
                return self.coordinator
        return self.store

    def _life(self, plane: Plane) -> _Life:
        server = self._server(plane)
        return server.process if isinstance(server, RedisServer) else server

    def _stop(self, plane: Plane) -> None:
        self._life(plane).stop()

    def _kill(self, plane: Plane) -> None:
        self._life(plane).kill()

    def _start(self, plane: Plane) -> None:
        self._life(plane).start()

    def _start_broker_empty(self, _: Plane) -> None:
        self.broker.start_empty(self.vhost)

    def _start_coordinator_empty(self, _: Plane) -> None:
        self.coordinator.start_empty()


def _copy(source: Path, target: Path) -> None:
    """Copy a directory with all owners and modes, which a server insists on."""
    (cp,) = require("cp")
    subprocess.run([cp, "-a", str(source), str(target)], check=True)


@asynccontextmanager
async def open_servers(store: StoreKind) -> AsyncIterator[Servers]:
    """Start them; a store survives a crash with all that it acknowledged, the coordinator without the last second."""
    async with AsyncExitStack() as stack:
        broker = await anyio.to_thread.run_sync(rabbit_server)
        # As an earlier test may have left it.
        await anyio.to_thread.run_sync(broker.start)
        vhost = stack.enter_context(broker.vhost())
        coordinator = await _redis(stack, {"appendonly": "yes", "appendfsync": "everysec"})
        if store == "redis":
            yield Servers(broker, coordinator, await _redis(stack, DURABLE), vhost)
            return
        server = await ready_server(durable=True)
        database = await stack.enter_async_context(server.own_database(migrated=False))
        await migrate(parse_address(server.url(database)))
        yield Servers(broker, coordinator, server, vhost, database)


async def _redis(stack: AsyncExitStack, settings: dict[str, str]) -> RedisServer:
    server = await anyio.to_thread.run_sync(start_redis, settings)
    stack.callback(server.process.kill)
    return server
