"""The embedded backends under the suites: SQLite in a file, where each process has a connection of its own, and in
memory, where all share one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.connection import MEMORY
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.model.partition import Partition
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.testing.conformance.harness import BrokerHarness, FullStore, Harness, a_moment
from jobkit.testing.conformance.manual_clock import ManualClock


class _Closable(Protocol):
    async def aclose(self) -> None: ...


C = TypeVar("C", bound=_Closable)

EngineOpener = Callable[[], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def _file(directory: Path, clock: ManualClock) -> AsyncIterator[EngineOpener]:
    path = str(directory / "conformance.db")
    # One connection stays open, so that a test's last process leaving does not close the database each time.
    async with open_engine(path, clock, boot="this boot"):
        yield lambda: open_engine(path, clock, boot="this boot")


@asynccontextmanager
async def _memory(directory: Path, clock: ManualClock) -> AsyncIterator[EngineOpener]:
    async with open_engine(MEMORY, clock, boot="this boot") as shared:

        @asynccontextmanager
        async def again() -> AsyncIterator[Engine]:
            yield shared

        yield again


# Less than the time between two sweeps of what has expired, so that it is not only gone because it was swept.
TTL_SECONDS = 4.0

ENGINES = {"sqlite-file": _file, "sqlite-memory": _memory}


async def _elapse(clock: ManualClock, seconds: float) -> None:
    """Let time pass as it does: bit by bit, with what is ready running in between."""
    for _ in range(10):
        await a_moment()
        clock.advance(seconds / 10)
    await a_moment()


def _process(engines: EngineOpener, plane: Callable[[Engine], C]) -> Callable[[], AbstractAsyncContextManager[C]]:
    @asynccontextmanager
    async def process() -> AsyncIterator[C]:
        async with engines() as engine:
            opened = plane(engine)
            try:
                yield opened
            finally:
                await opened.aclose()

    return process


@asynccontextmanager
async def sqlite_broker(name: str, directory: Path) -> AsyncIterator[BrokerHarness[Broker]]:
    clock = ManualClock()
    async with ENGINES[name](directory, clock) as engines:

        async def publish_raw(partition: Partition, body: bytes) -> None:
            async with engines() as engine:
                await SqliteBroker(engine).publish_raw([(partition, body)])

        yield BrokerHarness(
            _process(engines, SqliteBroker),
            lambda seconds: _elapse(clock, seconds),
            TTL_SECONDS,
            publish_raw=publish_raw,
            limit_body=lambda _, limit, patch: patch.setattr("jobkit.backends.sqlite.broker.MAX_BODY_BYTES", limit),
        )


@asynccontextmanager
async def sqlite_coordinator(name: str, directory: Path) -> AsyncIterator[Harness[Coordinator]]:
    clock = ManualClock()
    async with ENGINES[name](directory, clock) as engines:
        yield Harness(_process(engines, SqliteCoordinator), lambda seconds: _elapse(clock, seconds), TTL_SECONDS)


@asynccontextmanager
async def sqlite_store(name: str, directory: Path) -> AsyncIterator[Harness[FullStore]]:
    clock = ManualClock()
    async with ENGINES[name](directory, clock) as engines:
        yield Harness(_process(engines, SqliteStore), lambda seconds: _elapse(clock, seconds), TTL_SECONDS)
