"""A PostgreSQL server of the tests' own: one for the whole run, with a fresh database for each test."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil
import pytest

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.migrations import migrate
from tests.servers.base import ServerProcess, free_port

# Debian keeps the server's programs off the PATH.
_INSTALLED = Path("/usr/lib/postgresql")
_USER = "postgres"
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


def _programs(*names: str) -> list[str]:
    """Return the paths of the server's programs; without them, skip on a laptop and fail in CI."""
    versions = sorted(_INSTALLED.glob("*/bin"), key=lambda found: float(found.parent.name), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, versions)])
    found = [shutil.which(name, path=path) for name in names]
    if None in found:
        reason = f"{', '.join(names)} not found; .ci/install-servers installs PostgreSQL"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return [name for name in found if name is not None]


def _unprivileged() -> str | None:
    """Return the user that the server must run as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


_CLEAR = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    DELETE FROM jobkit.keys; DELETE FROM jobkit.jobs; DELETE FROM jobkit.outbox; DELETE FROM jobkit.inflight;
    DELETE FROM jobkit.parked; DELETE FROM jobkit.dead; DELETE FROM jobkit.skipped; DELETE FROM jobkit.log;
    DELETE FROM jobkit.records; DELETE FROM jobkit.manifests; DELETE FROM jobkit.tallies;
    ALTER TABLE jobkit.dead ALTER COLUMN number RESTART;
    UPDATE jobkit.retention SET floor = 0, cursor_type = '', cursor_key = '';
    UPDATE public.moved SET ahead = 0;
"""


class PostgresServer:
    """The server: its life, and its databases. With `durable` it survives a crash with all that it acknowledged."""

    def __init__(self, directory: Path, *, durable: bool = False, options: tuple[str, ...] = ()) -> None:
        initdb, postgres, self._is_ready, self._control = _programs("initdb", "postgres", "pg_isready", "pg_ctl")
        self.port = free_port()
        self._numbers = itertools.count(1)
        self._empty: list[str] = []
        self.data = directory / "data"
        self._user = user = _unprivileged()
        directory.chmod(0o755)
        self.data.mkdir(mode=0o700)
        password = directory / "password"
        password.write_text(f"{PASSWORD}\n")
        if user is not None:
            for path in (directory, self.data, password):
                shutil.chown(path, user)
        subprocess.run(
            [
                *(initdb, "-D", str(self.data), "-U", _USER, "-A", "scram-sha-256", "--pwfile", str(password)),
                *("--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            user=user,
            check=True,
            cwd=directory,
            stdout=subprocess.DEVNULL,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "log_min_messages": "fatal",
            "fsync": "on" if durable else "off",
        }
        command = [postgres, "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = directory / "server.log"
        log.touch()
        self._process = ServerProcess(
            [*command, *options], answers=self._answers, log=log, environment={"LC_ALL": "C"}, user=user
        )

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        """Stop the server in order, as its operator would, without waiting for its clients to leave."""
        command = [self._control, "stop", "-D", str(self.data), "-m", "fast"]
        subprocess.run(command, user=self._user, cwd=self.data.parent, check=True, stdout=subprocess.DEVNULL)
        self._process.stop()

    def kill(self) -> None:
        """Kill the server with all its processes at once, as the loss of its machine would."""
        processes = self._processes()
        self._process.kill()
        self._each(processes, psutil.Process.kill)
        psutil.wait_procs(processes)

    def pause(self) -> None:
        """Stop all of the server's processes where they are; connections stay open and nothing answers."""
        self._each(self._processes(), psutil.Process.suspend)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._each(self._processes(), psutil.Process.resume)

    @staticmethod
    def _each(processes: Iterable[psutil.Process], do: Callable[[psutil.Process], None]) -> None:
        for process in processes:
            # One that served a connection may have ended with it meanwhile.
            with suppress(psutil.NoSuchProcess):
                do(process)

    def _processes(self) -> list[psutil.Process]:
        # Each is in a process group of its own.
        if not self._process.running:
            return []
        first = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        return [first, *first.children(recursive=True)]

    def _answers(self) -> bool:
        ready = subprocess.run([self._is_ready, "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"], check=False)
        return ready.returncode == 0

    def url(self, database: str = "postgres", *, port: int | None = None, password: str = PASSWORD) -> str:
        """Return the URL of a database, by way of another port where there is a proxy at it."""
        return f"postgresql://{_USER}:{quote(password, safe='')}@127.0.0.1:{port or self.port}/{database}"

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each in a transaction of its own."""
        connection = await asyncpg.connect(self.url(database), timeout=30)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

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


def start_server(*, durable: bool = False, options: tuple[str, ...] = ()) -> PostgresServer:
    """Start a server that ends, and whose files go, with the test run at the latest."""
    # Not one of pytest's directories: those are closed to the user whom the server must run as.
    directory = Path(tempfile.mkdtemp(prefix="jobkit-postgres-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    server = PostgresServer(directory, durable=durable, options=options)
    atexit.register(server.kill)
    server.start()
    return server


@functools.cache
def _server(durable: bool) -> PostgresServer:
    return start_server(durable=durable)


_prepared: set[int] = set()


async def ready_server(*, durable: bool = False) -> PostgresServer:
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
