"""The PostgreSQL server of the test run, with a fresh database for each test."""

from __future__ import annotations

import atexit
import functools
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.migrations import migrate
from jobkit.lab.servers.postgres import PostgresServer

# Such as people choose, and a URL must escape.
PASSWORD = "not/so:se cret@all"
_TEMPLATE = "migrated"

# Every transaction sees time as far ahead as a test has moved it.
_MOVABLE_CLOCK = """
    CREATE TABLE public.moved (ahead double precision NOT NULL);
    INSERT INTO public.moved VALUES (0);
    CREATE OR REPLACE FUNCTION jobkit.clock() RETURNS double precision LANGUAGE sql VOLATILE AS
        'SELECT extract(epoch FROM clock_timestamp())::double precision + (SELECT ahead FROM public.moved)';
"""

_CLEAR = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    DELETE FROM jobkit.keys; DELETE FROM jobkit.jobs; DELETE FROM jobkit.outbox; DELETE FROM jobkit.inflight;
    DELETE FROM jobkit.parked; DELETE FROM jobkit.dead; DELETE FROM jobkit.skipped; DELETE FROM jobkit.log;
    DELETE FROM jobkit.records; DELETE FROM jobkit.manifests; DELETE FROM jobkit.tallies;
    DELETE FROM jobkit.job_groups; DELETE FROM jobkit.job_group_counts;
    DELETE FROM jobkit.coordinators; DELETE FROM jobkit.pauses; DELETE FROM jobkit.layouts;
    DELETE FROM jobkit.schedules; DELETE FROM jobkit.types; DELETE FROM jobkit.checkpoints; DELETE FROM jobkit.audit;
    ALTER TABLE jobkit.dead ALTER COLUMN number RESTART;
    UPDATE jobkit.retention SET floor = 0, cursor_type = '', cursor_key = '';
    UPDATE public.moved SET ahead = 0;
"""


class TestServer(PostgresServer):
    """A server that lends databases."""

    __test__ = False

    def __init__(self, directory: Path, *, durable: bool = False, options: tuple[str, ...] = ()) -> None:
        super().__init__(directory, durable=durable, password=PASSWORD, options=options)
        self._numbers = itertools.count(1)
        self._empty: list[str] = []

    async def create_template(self) -> None:
        """Make the migrated database that others are copied from."""
        await self.execute(f"CREATE DATABASE {_TEMPLATE}")
        await migrate(parse_address(self.url(_TEMPLATE)))
        await self.execute(_MOVABLE_CLOCK, database=_TEMPLATE)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """Lend a migrated database that is empty, and must be so in all but rows at the end; yield its name."""
        if self._empty:
            name = self._empty.pop()
        else:
            name = f"lent_{next(self._numbers)}"
            await self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        yield name
        # Much faster than another database for each test.
        await self.execute(_CLEAR, database=name)
        self._empty.append(name)

    @asynccontextmanager
    async def own_database(self, *, migrated: bool = True) -> AsyncIterator[str]:
        """Make a database that a test may do anything to, with jobkit's tables in it or without; yield its name."""
        name = f"own_{next(self._numbers)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if migrated else 'template0'}")
        try:
            yield name
        finally:
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def elapse(self, database: str, seconds: float) -> None:
        """Let that many seconds pass on the clock that the store in the database goes by."""
        await self.execute(f"UPDATE public.moved SET ahead = ahead + {seconds!r}", database=database)  # noqa: S608


def start_server(*, durable: bool = False, options: tuple[str, ...] = ()) -> TestServer:
    """Start a server that ends, and whose files go, with the test run at the latest."""
    # Not one of pytest's directories: those are closed to the user whom the server must run as.
    directory = Path(tempfile.mkdtemp(prefix="jobkit-postgres-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    server = TestServer(directory, durable=durable, options=options)
    atexit.register(server.kill)
    server.start()
    return server


@functools.cache
def _server(durable: bool) -> TestServer:
    return start_server(durable=durable)


_prepared: set[int] = set()


async def ready_server(*, durable: bool = False) -> TestServer:
    """Return one of the run's servers, started when first asked for. The durable one is for tests to ill-treat."""
    server = _server(durable)
    if durable:
        # As an earlier test may have left it.
        server.resume()
        server.start()
    if id(server) not in _prepared:
        await server.create_template()
        _prepared.add(id(server))
    return server
