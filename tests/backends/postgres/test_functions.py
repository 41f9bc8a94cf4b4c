"""Functions in the database: made as they are now, kept where nothing changed, and never those of another jobkit."""

from __future__ import annotations

from importlib.resources import files

import asyncpg
import pytest

from jobkit.backends.postgres import install_functions
from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.install_functions import FunctionSet, known_functions
from jobkit.backends.postgres.migrations import migrate
from jobkit.errors import ConfigurationError
from jobkit.testing.conformance.values import committed, submitted
from tests.backends.postgres.conftest import opened
from tests.lab.servers.postgres import TestServer

_STALE = "UPDATE jobkit.functions SET digest = 'another'"


async def _made(server: TestServer, database: str) -> dict[str, list[int]]:
    """Return the object ids of the functions that are there, by name."""
    connection = await asyncpg.connect(server.url(database))
    try:
        found: dict[str, list[int]] = {}
        query = "SELECT proname, oid FROM pg_proc WHERE pronamespace = 'jobkit'::regnamespace ORDER BY oid"
        for row in await connection.fetch(query):
            found.setdefault(row["proname"], []).append(row["oid"])
        return found
    finally:
        await connection.close()


def _changed(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    scripts = tuple(script.replace(old, new) for script in known_functions().scripts)
    assert scripts != known_functions().scripts
    monkeypatch.setattr(install_functions, "known_functions", lambda: FunctionSet(scripts))


def test_each_function_is_written_once_and_its_signature_is_read() -> None:
    known = known_functions()
    created = sum(script.count("CREATE OR REPLACE FUNCTION ") for script in known.scripts)
    assert created == len(known.signatures) == len(known.names) > 20
    assert "overtaken(what text) RETURNS void" in known.signatures
    assert not any(line.startswith("DROP") for script in known.scripts for line in script.splitlines())


def test_every_file_is_read() -> None:
    folder = files("jobkit.backends.postgres").joinpath("functions")
    assert len(known_functions().scripts) == len(list(folder.iterdir()))


async def test_a_database_has_all_functions_and_no_others(server: TestServer, own_database: str) -> None:
    made = await _made(server, own_database)
    assert made.keys() == known_functions().names
    assert all(len(overloads) == 1 for overloads in made.values())


async def test_a_changed_body_takes_the_place_of_the_old_one_and_keeps_what_was_granted(
    server: TestServer, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await _made(server, own_database)
    _changed(monkeypatch, "at the same time", "meanwhile")
    (done,) = await migrate(parse_address(server.url(own_database)))
    assert done == f"functions {install_functions.known_functions().digest[:12]}"
    assert await _made(server, own_database) == before
    with pytest.raises(asyncpg.SerializationError, match="meanwhile"):
        await server.execute("SELECT jobkit.overtaken('x')", database=own_database)
    assert await migrate(parse_address(server.url(own_database))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("overtaken(what text)", "overtaken(who text)"),
        ("overtaken(what text)", "overtaken(what text, at bigint DEFAULT 0)"),
        ("overtaken(what text) RETURNS void", "overtaken(what text) RETURNS bigint"),
        ("FUNCTION jobkit.overtaken", "FUNCTION jobkit.outrun"),
    ],
    ids=["argument's name", "arguments", "result", "name"],
)
async def test_what_differs_in_more_than_its_body_leaves_nothing_of_the_old_one(
    server: TestServer, own_database: str, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    before = await _made(server, own_database)
    _changed(monkeypatch, old, new)
    assert len(await migrate(parse_address(server.url(own_database)))) == 1
    after = await _made(server, own_database)
    assert after.keys() == install_functions.known_functions().names
    assert all(len(overloads) == 1 for overloads in after.values())
    kept = before.keys() - {"overtaken"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


async def test_functions_that_fail_to_be_made_leave_the_old_ones(
    server: TestServer, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await _made(server, own_database)
    _changed(monkeypatch, "overtaken(what text)", "overtaken(what no_such_type)")
    with pytest.raises(asyncpg.UndefinedObjectError):
        await migrate(parse_address(server.url(own_database)))
    assert await _made(server, own_database) == before


async def test_an_open_store_goes_on_while_its_functions_are_made_anew(server: TestServer, own_database: str) -> None:
    async with opened(server.url(own_database)) as store:
        await committed(store, await submitted(store, "a"))
        forgotten = "UPDATE jobkit.functions SET digest = '', signatures = '{}'"
        await server.execute(forgotten, database=own_database)
        assert len(await migrate(parse_address(server.url(own_database)))) == 1
        await committed(store, await submitted(store, "b"))


async def test_a_store_is_not_opened_with_functions_of_another_version(server: TestServer, own_database: str) -> None:
    await server.execute(_STALE, database=own_database)
    with pytest.raises(ConfigurationError, match=r"not those of this one .*: run `jobkit migrate`"):
        async with opened(server.url(own_database)):
            pass
    assert len(await migrate(parse_address(server.url(own_database)))) == 1
    async with opened(server.url(own_database)):
        pass


async def test_a_function_that_is_missing_is_told_and_made(server: TestServer, own_database: str) -> None:
    await server.execute("DROP FUNCTION jobkit.fold_tallies()", database=own_database)
    with pytest.raises(ConfigurationError, match="run `jobkit migrate`"):
        async with opened(server.url(own_database)):
            pass
    assert len(await migrate(parse_address(server.url(own_database)))) == 1
    assert (await _made(server, own_database)).keys() == known_functions().names


async def test_an_older_jobkit_neither_uses_nor_replaces_the_functions_of_a_newer_one(
    server: TestServer, own_database: str
) -> None:
    await server.execute(f"{_STALE}, version = '999.1.0rc1'", database=own_database)
    before = await _made(server, own_database)
    for attempt in (opened(server.url(own_database)).__aenter__(), migrate(parse_address(server.url(own_database)))):
        with pytest.raises(ConfigurationError, match=r"newer jobkit \(999\.1\.0rc1, .*upgrade jobkit here"):
            await attempt
    assert await _made(server, own_database) == before


@pytest.mark.parametrize("version", ["0.0.1", "unknown"])
async def test_a_newer_jobkit_replaces_the_functions_of_an_older_one(
    server: TestServer, own_database: str, version: str
) -> None:
    await server.execute(f"{_STALE}, version = '{version}'", database=own_database)
    assert len(await migrate(parse_address(server.url(own_database)))) == 1
