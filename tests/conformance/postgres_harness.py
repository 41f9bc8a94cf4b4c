"""PostgreSQL under the suites of the store: a database for each test, on the run's own server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobkit.backends.postgres.store import PostgresStore, open_store
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.manual_clock import ManualClock
from tests.lab.servers.postgres import ready_server


@asynccontextmanager
async def postgres_store(name: str, directory: Path) -> AsyncIterator[Harness[FullStore]]:
    server = await ready_server()
    async with server.database() as database:
        clock = ManualClock()

        async def elapse(seconds: float) -> None:
            await server.elapse(database, seconds)
            clock.advance(seconds)

        @asynccontextmanager
        async def process() -> AsyncIterator[PostgresStore]:
            store = await open_store(server.url(database), clock)
            try:
                yield store
            finally:
                await store.aclose()

        yield Harness(process, elapse, 10.0)
