"""`jobkit migrate`: by many at once, in one piece, and who does not work without it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
from pathlib import Path

import asyncpg
import pytest

from jobkit.backends.postgres import migrations
from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.migrations import Migration, known_migrations, migrate
from jobkit.errors import ConfigurationError, Unavailable
from tests.backends.postgres.conftest import opened
from tests.lab.servers.postgres import TestServer

PROCESSES = 8
# What the steps do that databases have had, and how many of those there are.
TAKEN_STEPS, TAKEN_DIGEST = 8, "174ae2bfbeb85811"


async def _applied(server: TestServer, database: str) -> list[int]:
    connection = await asyncpg.connect(server.url(database))
    try:
        return [row["number"] for row in await connection.fetch("SELECT number FROM jobkit.migrations ORDER BY number")]
    finally:
        await connection.close()


async def _jobkit(*command: str, store_url: str, directory: Path) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "jobkit", *command),
        env={
            **environment,
            "JOBKIT_STORE_URL": store_url,
            "JOBKIT_BROKER_URL": "sqlite:///jobkit.db",
            "JOBKIT_COORDINATOR_URL": "sqlite:///jobkit.db",
        },
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def test_the_steps_are_numbered_without_a_hole_and_packaged() -> None:
    known = known_migrations()
    assert [migration.number for migration in known] == list(range(1, len(known) + 1))
    assert all(re.search("(CREATE|ALTER) (TABLE|INDEX)", migration.script) for migration in known)
    assert not any("FUNCTION" in migration.script for migration in known)


def test_a_step_that_databases_have_had_stays_as_it_is_and_what_is_new_is_one_of_its_own() -> None:
    done = "".join(migration.script for migration in known_migrations()[:TAKEN_STEPS])
    words = " ".join(re.sub("--.*", "", done).split())
    assert hashlib.sha256(words.encode()).hexdigest()[:16] == TAKEN_DIGEST


async def test_a_database_in_which_nobody_was_taken_over_yet_is_carried_along(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.own_database(migrated=False) as name:
        with monkeypatch.context() as before:
            before.setattr(migrations, "known_migrations", lambda: known_migrations()[:TAKEN_STEPS])
            await migrate(parse_address(server.url(name)))
        await migrate(parse_address(server.url(name)))
        async with opened(server.url(name)) as store:
            assert await store.jobs() == []
            assert await store.job("none") is None


async def test_many_processes_may_migrate_at_once_and_each_step_is_applied_once(
    server: TestServer, tmp_path: Path
) -> None:
    async with server.own_database(migrated=False) as name:
        url = server.url(name)
        runs = [_jobkit("migrate", "--json", store_url=url, directory=tmp_path) for _ in range(PROCESSES)]
        ended = await asyncio.gather(*runs)
        assert [(code, err) for code, _, err in ended] == [(0, "")] * PROCESSES
        applied = [name for _, out, _ in ended for name in json.loads(out)["applied"]]
        steps = [migration.name for migration in known_migrations()]
        assert applied[:-1] == steps
        assert applied[-1].startswith("functions ")
        async with opened(url) as store:
            assert (await store.counts()).keys == 0


async def test_migrating_again_changes_nothing(server: TestServer, own_database: str) -> None:
    before = await _applied(server, own_database)
    assert await migrate(parse_address(server.url(own_database))) == []
    assert await _applied(server, own_database) == before


async def test_a_step_that_fails_leaves_nothing_behind(
    server: TestServer, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_migrations()
    good = Migration(len(known) + 1, "good.sql", "CREATE TABLE jobkit.good ();")
    bad = Migration(len(known) + 2, "bad.sql", "CREATE TABLE jobkit.bad (); SELECT no_such_function();")
    monkeypatch.setattr(migrations, "known_migrations", lambda: [*known, good, bad])
    with pytest.raises(ConfigurationError):
        await migrate(parse_address(server.url(own_database)))
    assert await _applied(server, own_database) == [migration.number for migration in known]
    monkeypatch.setattr(migrations, "known_migrations", lambda: [*known, good])
    assert await migrate(parse_address(server.url(own_database))) == [good.name]


async def test_a_store_is_not_opened_before_its_database_is_migrated(server: TestServer, tmp_path: Path) -> None:
    async with server.own_database(migrated=False) as name:
        with pytest.raises(ConfigurationError, match="run `jobkit migrate`"):
            async with opened(server.url(name)):
                pass
        code, _, err = await _jobkit("jobs", store_url=server.url(name), directory=tmp_path)
        assert code == 2
        assert "JOBKIT_STORE_URL" in err
        assert "run `jobkit migrate`" in err


async def test_a_store_is_not_opened_where_a_step_is_missing(
    server: TestServer, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_migrations()
    monkeypatch.setattr(migrations, "known_migrations", lambda: [*known, Migration(len(known) + 1, "next.sql", "")])
    with pytest.raises(ConfigurationError, match=f"at version {len(known)}, this jobkit needs {len(known) + 1}"):
        async with opened(server.url(own_database)):
            pass


async def test_a_database_of_a_newer_jobkit_is_neither_opened_nor_migrated(
    server: TestServer, own_database: str
) -> None:
    await server.execute("INSERT INTO jobkit.migrations VALUES (9999, 'future.sql')", database=own_database)
    for attempt in (opened(server.url(own_database)).__aenter__(), migrate(parse_address(server.url(own_database)))):
        with pytest.raises(ConfigurationError, match="upgrade jobkit here"):
            await attempt


async def test_a_store_whose_tables_are_gone_says_what_to_do(server: TestServer, own_database: str) -> None:
    async with opened(server.url(own_database)) as store:
        await server.execute("DROP SCHEMA jobkit CASCADE", database=own_database)
        with pytest.raises(ConfigurationError, match="run `jobkit migrate`"):
            await store.counts()


async def test_a_database_in_another_encoding_is_refused(server: TestServer) -> None:
    await server.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")
    try:
        with pytest.raises(ConfigurationError, match="LATIN1"):
            await migrate(parse_address(server.url("latin")))
    finally:
        await server.execute("DROP DATABASE latin WITH (FORCE)")


async def test_migrating_ends_where_the_server_is_away(tmp_path: Path, unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable):
        await migrate(parse_address(f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/jobs"))
    url = f"postgresql://u:p@127.0.0.1:{unused_tcp_port}/jobs"
    code, _, err = await _jobkit("migrate", store_url=url, directory=tmp_path)
    assert code == 3
    assert "u:p" not in err


async def test_an_embedded_store_needs_no_migration(tmp_path: Path) -> None:
    code, out, _ = await _jobkit("migrate", store_url="sqlite:///x.db", directory=tmp_path)
    assert (code, out.startswith("nothing to do")) == (0, True)
