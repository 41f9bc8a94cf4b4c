"""The planes at the far end of the network, as one node sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from pathlib import Path
from typing import Any, cast

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.model.blob import BlobSpace
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.blobs import Blobs, Leftover, StoredObject
from jobkit.ports.broker import Broker, Consumer, Delivery
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.inspection import Inspection
from jobkit.ports.planes import Planes
from jobkit.ports.store import Store
from jobkit.testing.virtual_time import running_loop, spawn_outside
from simulation.network import Node, Seam


def remote_planes(node: Node, backend: Planes) -> Planes:
    """Return the planes as `node` sees them."""
    seam = Seam(node)
    return Planes(
        broker=cast(Broker, _RemoteBroker(seam, "broker", backend.broker)),
        coordinator=cast(Coordinator, _Remote(seam, "coordinator", backend.coordinator)),
        store=cast(Store, _Remote(seam, "store", backend.store)),
        inspection=cast(Inspection, _Remote(seam, "inspection", backend.inspection)),
        blobs=cast(Blobs, _RemoteBlobs(seam, "blobs", backend.blobs)),
    )


class _Remote:
    """A plane at the other end of the network: every method of its port is one call through the seam."""

    def __init__(self, seam: Seam, plane: str, backend: object) -> None:
        self._seam = seam
        self._plane = plane
        self._backend = backend

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        function = getattr(self._backend, method)

        async def call(*args: object, **kwargs: object) -> Any:
            return await self._seam.call(self._plane, method, function, *args, **kwargs)

        # Found here from now on, not by __getattr__.
        setattr(self, method, call)
        return call

    async def aclose(self) -> None:
        """The backend is not this node's to close."""


class _RemoteBlobs(_Remote):
    _backend: Blobs

    def scratch(self, space: BlobSpace) -> AbstractAsyncContextManager[Path]:
        return self._backend.scratch(space)

    async def read(self, location: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        async def collected(location: str) -> list[bytes]:
            return [chunk async for chunk in self._backend.read(location, start=start, stop=stop)]

        for chunk in await self._seam.call("blobs", "read", collected, location):
            yield chunk

    async def objects(self) -> AsyncIterator[StoredObject]:
        async def collected() -> list[StoredObject]:
            return [stored async for stored in self._backend.objects()]

        for stored in await self._seam.call("blobs", "objects", collected):
            yield stored

    async def leftovers(self) -> AsyncIterator[Leftover]:
        async def collected() -> list[Leftover]:
            return [leftover async for leftover in self._backend.leftovers()]

        for leftover in await self._seam.call("blobs", "leftovers", collected):
            yield leftover


class _RemoteBroker(_Remote):
    _backend: Broker

    @property
    def max_body_bytes(self) -> int:
        return self._backend.max_body_bytes

    def objection(self, envelope: Envelope) -> str | None:
        return self._backend.objection(envelope)

    @asynccontextmanager
    async def consume(self, partition: Partition, owner: str) -> AsyncIterator[Consumer]:
        session = _Session(self._seam, self._backend, partition, owner)
        await self._seam.call("broker", "consume", session.open, partition=partition, owner=owner)
        try:
            yield session
        finally:
            session.close_after(0.0)


class _Session:
    """A consumer at the other end of the network. Any trouble on the way breaks it for good, as it does a channel."""

    held: asyncio.Task[None]

    def __init__(self, seam: Seam, broker: Broker, partition: Partition, owner: str) -> None:
        self.node = seam.node
        self._seam = seam
        self._broker = broker
        self._partition = partition
        self._owner = owner
        self._consumer: Consumer | None = None
        self._opened = asyncio.Event()
        self._failed: Exception | None = None
        self._ending = asyncio.Event()
        self._broken = False
        self._arrived: list[Delivery] = []
        self._taken = asyncio.Event()

    async def open(self, partition: Partition, owner: str) -> None:
        """Open the real consumer, in a task that outlives whoever asked for it."""
        self.held = spawn_outside(self._hold(), name=f"consumer {self._partition} of {self.node.name}")
        self.node.network.sessions.append(self)
        await self._opened.wait()
        if self._failed is not None:
            raise self._failed

    async def _hold(self) -> None:
        try:
            async with self._broker.consume(self._partition, self._owner) as self._consumer:
                self._opened.set()
                await self._ending.wait()
        except Exception as error:  # noqa: BLE001  (carried to whoever opens)
            self._failed = error
        finally:
            self._opened.set()
            self.node.network.sessions.remove(self)

    def close_after(self, seconds: float) -> None:
        """Let the broker notice, so many seconds from now, that this connection is gone."""
        # Outside of the node's process, which may be dead.
        running_loop().call_later(seconds, self._ending.set, context=Context())

    async def receive(self, limit: int) -> Sequence[Delivery]:
        # What was on its way when an earlier call was cancelled has still arrived.
        if not self._arrived:
            await self._call("receive", self._fetch, limit)
        taken, self._arrived = self._arrived[:limit], self._arrived[limit:]
        taken_before, self._taken = self._taken, asyncio.Event()
        taken_before.set()
        return taken

    async def _fetch(self, limit: int) -> Sequence[Delivery]:
        found = await self._real.receive(limit)
        self._arrived.extend(found)
        return found

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:
        await self._call("ack", self._real.ack, delivery, receipt)

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        await self._call("delay", self._real.delay, delivery, seconds)

    async def barrier(self) -> None:
        await self._call("barrier", self._real.barrier)
        # What the far end has handed over may still be here.
        while self._arrived:
            await self._taken.wait()

    @property
    def _real(self) -> Consumer:
        assert self._consumer is not None
        return self._consumer

    async def _call(self, method: str, function: Callable[..., Awaitable[Any]], *args: object) -> None:
        if self._broken:
            raise ConsumerClosed(f"the connection of this consumer of {self._partition} broke")
        try:
            await self._seam.call("consumer", method, function, *args)
        except Unavailable as error:
            self._broken = True
            self.close_after(0.0)
            raise ConsumerClosed(f"the connection of this consumer of {self._partition} broke") from error
