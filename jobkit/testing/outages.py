"""Planes that go away when a test says so.

A call to one that is away never arrives. Whoever is cut off is heard by nobody any more, and hears nothing: calls do
not arrive, nor do answers to those under way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

import anyio

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.broker import Broker, Consumer
from jobkit.ports.coordinator import Coordinator, Granted, LeaseRef
from jobkit.ports.inspection import Inspection
from jobkit.ports.planes import Planes
from jobkit.ports.store import Store

T = TypeVar("T")


class Outages:
    """Which planes are away, for one worker or, as the `common` one, for all."""

    def __init__(self, common: Outages | None = None) -> None:
        self._common = common
        self._away: set[Plane] = set()
        self._cut = False
        # Set with the next outage, and then replaced.
        self._begun = anyio.Event()

    def is_away(self, plane: Plane) -> bool:
        """Return whether calls to a plane do not arrive."""
        return self._cut or plane in self._away or (self._common is not None and self._common.is_away(plane))

    def cut_off(self) -> None:
        """Let nothing pass any more, for ever."""
        self._cut = True
        self._begin()

    @contextmanager
    def of(self, planes: Iterable[Plane]) -> Iterator[None]:
        """Have these planes be away during the block."""
        fresh = set(planes) - self._away
        self._away |= fresh
        self._begin()
        try:
            yield
        finally:
            self._away -= fresh

    def _begin(self) -> None:
        self._begun.set()
        self._begun = anyio.Event()

    async def begun(self, plane: Plane) -> None:
        """Return once the plane is away."""
        while not self.is_away(plane):
            async with anyio.create_task_group() as either:
                for one in (self, self._common):
                    if one is not None:
                        either.start_soon(one._next, either.cancel_scope)

    async def _next(self, scope: anyio.CancelScope) -> None:
        await self._begun.wait()
        scope.cancel()

    async def ask(self, plane: Plane, call: Callable[[], Awaitable[T]]) -> T:
        """Return the answer of a call. Raises `Unavailable` where the plane is away, before or afterwards."""
        self.check(plane)
        answer = await call()
        self.check(plane)
        return answer

    def check(self, plane: Plane) -> None:
        """Raise `Unavailable` where a plane is away."""
        if self.is_away(plane):
            raise Unavailable(plane, "away, as the test has it")


class GrantedLeases:
    """The lease that was granted last on each resource."""

    def __init__(self) -> None:
        self.last: dict[str, LeaseRef] = {}


class _Plane:
    """Any plane whose methods are plain calls."""

    def __init__(self, plane: Plane, backend: object, outages: Outages) -> None:
        self._plane = plane
        self._backend = backend
        self._outages = outages

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*args: object, **kwargs: object) -> Any:
            return await self._outages.ask(self._plane, lambda: found(*args, **kwargs))

        return call


class _Coordinator(_Plane):
    def __init__(self, backend: Coordinator, outages: Outages, granted: GrantedLeases) -> None:
        super().__init__(Plane.COORDINATOR, backend, outages)
        self._coordinator = backend
        self._granted = granted

    async def claim(self, resource: str, *, nonce: str, **said: Any) -> object:
        answer = await self._outages.ask(self._plane, lambda: self._coordinator.claim(resource, nonce=nonce, **said))
        if isinstance(answer, Granted):
            self._granted.last[resource] = LeaseRef(resource, answer.token, nonce)
        return answer


class _Broker(_Plane):
    def __init__(self, backend: Broker, outages: Outages) -> None:
        super().__init__(Plane.BROKER, backend, outages)
        self._broker = backend

    @asynccontextmanager
    async def consume(self, partition: Partition, owner: str) -> AsyncIterator[Consumer]:
        self._outages.check(self._plane)
        async with self._broker.consume(partition, owner) as consumer:
            yield cast(Consumer, _Consumer(consumer, self._outages))


class _Consumer(_Plane):
    """A consumer, which ends with the connection."""

    def __init__(self, consumer: Consumer, outages: Outages) -> None:
        super().__init__(Plane.BROKER, consumer, outages)
        self._consumer = consumer

    async def receive(self, limit: int) -> Sequence[Any]:
        received: list[Sequence[Any]] = []
        async with anyio.create_task_group() as either:

            async def end() -> None:
                await self._outages.begun(self._plane)
                either.cancel_scope.cancel()

            either.start_soon(end)
            received.append(await self._outages.ask(self._plane, lambda: self._consumer.receive(limit)))
            either.cancel_scope.cancel()
        if not received:
            raise ConsumerClosed("the broker went away, as the test has it")
        return received[0]


def through(planes: Planes, outages: Outages, granted: GrantedLeases | None = None) -> Planes:
    """Return planes as seen through these outages; what is granted by them is noted. Blobs are never away."""
    return Planes(
        broker=cast(Broker, _Broker(planes.broker, outages)),
        coordinator=cast(Coordinator, _Coordinator(planes.coordinator, outages, granted or GrantedLeases())),
        store=cast(Store, _Plane(Plane.STORE, planes.store, outages)),
        inspection=cast(Inspection, _Plane(Plane.STORE, planes.inspection, outages)),
        blobs=planes.blobs,
    )
