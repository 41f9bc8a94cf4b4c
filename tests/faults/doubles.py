"""Doubles that wrap a port and misbehave at one point.

They promise nothing a network could not do: a call is lost before it takes effect, its reply is lost after, it is
slow, or it arrives twice. Each operation is named `plane.method`; a consumer's methods belong to the broker.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import anyio

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.broker import Broker, Consumer, Delivery
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.inspection import Inspection
from jobkit.ports.planes import Planes
from jobkit.ports.store import Store
from jobkit.ports.transactions import TransactionalStore


@dataclass(frozen=True)
class Call:
    """One call on its way to the backend."""

    operation: str
    clock: Clock
    invoke: Callable[[], Awaitable[Any]]

    @property
    def plane(self) -> str:
        return self.operation.partition(".")[0]

    def unavailable(self, why: str) -> Unavailable:
        return Unavailable(self.plane, f"{self.operation}: {why}")


Fault = Callable[[Call], Awaitable[Any]]


async def lost_request(call: Call) -> Any:
    """The request never arrives."""
    raise call.unavailable("the request was lost")


async def lost_reply(call: Call) -> Any:
    """The request takes effect, but nobody hears of it."""
    await call.invoke()
    raise call.unavailable("the reply was lost")


async def sent_twice(call: Call) -> Any:
    """The request arrives twice."""
    await call.invoke()
    return await call.invoke()


async def hanging(call: Call) -> Any:
    """No answer ever comes."""
    await anyio.sleep_forever()


def slow_reply(seconds: float) -> Fault:
    """The request takes effect at once, its reply comes `seconds` later."""

    async def fault(call: Call) -> Any:
        answer = await call.invoke()
        await call.clock.sleep(seconds)
        return answer

    return fault


def slow_request(seconds: float) -> Fault:
    """The request takes effect only after `seconds`."""

    async def fault(call: Call) -> Any:
        await call.clock.sleep(seconds)
        return await call.invoke()

    return fault


def before(effect: Callable[[], Awaitable[Any]]) -> Fault:
    """Something else happens just before the request takes effect."""

    async def fault(call: Call) -> Any:
        await effect()
        return await call.invoke()

    return fault


def after(effect: Callable[[], Awaitable[Any]]) -> Fault:
    """Something else happens just after the request took effect."""

    async def fault(call: Call) -> Any:
        answer = await call.invoke()
        await effect()
        return answer

    return fault


def raising(error: Exception) -> Fault:
    """The backend raises."""

    async def fault(call: Call) -> Any:
        raise error

    return fault


class Faults:
    """What goes wrong, and a record of what was asked."""

    def __init__(self, clock: Clock) -> None:
        self.calls: Counter[str] = Counter()
        self.abandoned: list[AbstractAsyncContextManager[Any]] = []
        self.cut = False
        self._clock = clock
        self._once: dict[str, list[Fault]] = defaultdict(list)
        self._always: dict[str, Fault] = {}
        self._called = anyio.Event()
        self._consumers: list[_Consumer] = []

    def once(self, operation: str, *faults: Fault) -> None:
        """Let the next calls of `operation` meet these faults, one each."""
        self._once[operation].extend(faults)

    def always(self, operation: str, fault: Fault) -> None:
        """Let every call meet `fault` until `heal`; `plane.*` means every method of a plane."""
        self._always[operation] = fault

    def heal(self) -> None:
        """Let everything work again."""
        self._always.clear()
        self._once.clear()

    def cut_off(self) -> None:
        """Let nothing pass any more, in no direction, for ever."""
        self.cut = True

    def close_consumers(self) -> None:
        """End every open consumer, as a broken connection does."""
        for consumer in self._consumers:
            consumer.closed.set()

    async def reached(self, operation: str, count: int = 1) -> None:
        """Wait until `operation` was asked for `count` times in all."""
        while self.calls[operation] < count:
            self._called = anyio.Event()
            await self._called.wait()

    async def pass_on(self, operation: str, invoke: Callable[[], Awaitable[Any]]) -> Any:
        """Take one call to its backend, or not."""
        self.calls[operation] += 1
        self._called.set()
        call = Call(operation, self._clock, invoke)
        if self.cut:
            raise call.unavailable("cut off")
        fault = self._once[operation].pop(0) if self._once[operation] else None
        fault = fault or self._always.get(operation) or self._always.get(f"{call.plane}.*")
        answer = await (invoke() if fault is None else fault(call))
        if self.cut:
            raise call.unavailable("cut off")
        return answer

    def add(self, consumer: _Consumer) -> None:
        self._consumers.append(consumer)

    def discard(self, consumer: _Consumer) -> None:
        self._consumers.remove(consumer)


class _Plane:
    """Any plane whose methods are plain calls."""

    def __init__(self, name: str, backend: object, faults: Faults) -> None:
        self._name = name
        self._backend = backend
        self._faults = faults

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        function = getattr(self._backend, method)

        async def call(*args: object, **kwargs: object) -> Any:
            return await self._faults.pass_on(f"{self._name}.{method}", lambda: function(*args, **kwargs))

        return call


class _Broker(_Plane):
    _backend: Broker

    @property
    def max_body_bytes(self) -> int:
        return self._backend.max_body_bytes

    def objection(self, envelope: Envelope) -> str | None:
        return self._backend.objection(envelope)

    @asynccontextmanager
    async def consume(self, partition: Partition, owner: str) -> AsyncIterator[Consumer]:
        context = self._backend.consume(partition, owner)
        consumer = _Consumer(await self._faults.pass_on("broker.consume", context.__aenter__), self._faults)
        self._faults.add(consumer)
        try:
            yield consumer
        finally:
            self._faults.discard(consumer)
            if self._faults.cut:
                # Whoever is cut off cannot say good-bye.
                self._faults.abandoned.append(context)
            else:
                await context.__aexit__(None, None, None)


class _Consumer:
    def __init__(self, consumer: Consumer, faults: Faults) -> None:
        self.closed = anyio.Event()
        self._consumer = consumer
        self._faults = faults

    async def receive(self, limit: int) -> Sequence[Delivery]:
        self._check()
        received: list[Sequence[Delivery]] = []
        failed: Exception | None = None
        async with anyio.create_task_group() as either:

            async def close() -> None:
                await self.closed.wait()
                either.cancel_scope.cancel()

            either.start_soon(close)
            try:
                received.append(await self._faults.pass_on("broker.receive", lambda: self._consumer.receive(limit)))
            except (Unavailable, ConsumerClosed) as error:
                failed = error
            either.cancel_scope.cancel()
        if failed is not None:
            raise failed
        if not received:
            self._check()
        return received[0]

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:
        self._check()
        await self._faults.pass_on("broker.ack", lambda: self._consumer.ack(delivery, receipt))

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        self._check()
        await self._faults.pass_on("broker.delay", lambda: self._consumer.delay(delivery, seconds))

    async def barrier(self) -> None:
        self._check()
        await self._faults.pass_on("broker.barrier", self._consumer.barrier)

    def _check(self) -> None:
        if self.closed.is_set():
            raise ConsumerClosed("test: the connection broke")


def faulty_planes(planes: Planes, faults: Faults) -> Planes:
    """Return `planes` as seen through `faults`. The inspection counts as the store; blobs never misbehave."""
    return Planes(
        broker=cast(Broker, _Broker("broker", planes.broker, faults)),
        coordinator=cast(Coordinator, _Plane("coordinator", planes.coordinator, faults)),
        store=cast(Store, _Plane("store", planes.store, faults)),
        inspection=cast(Inspection, _Plane("store", planes.inspection, faults)),
        blobs=planes.blobs,
        transactions=cast(TransactionalStore, _Plane("store", planes.transactions, faults))
        if planes.transactions
        else None,
    )
