"""What is found of a server and a database: what is fine, what is not, and what to change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from jobkit.backends.postgres.diagnosis import diagnose
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.base import free_port
from jobkit.model.clock import Clock, SystemClock
from jobkit.ports.diagnosis import Finding, Status
from tests.lab.servers.postgres import PASSWORD, TestServer, start_server


class Shifted(SystemClock):
    """Another machine's idea of the time."""

    def wall(self) -> float:
        return super().wall() + 100


async def found(url: str, clock: Clock | None = None) -> list[Finding]:
    return await diagnose(url, clock or SystemClock())


async def troubles(url: str, clock: Clock | None = None) -> dict[str, Finding]:
    """Return what is not fine, by its first words; the tests' common server is known not to sync."""
    findings = [finding for finding in await found(url, clock) if finding.status is not Status.OK]
    assert all(finding.change for finding in findings)
    return {finding.what.partition(":")[0]: finding for finding in findings if not finding.what.startswith("fsync")}


@pytest.fixture
async def badly_set() -> AsyncIterator[TestServer]:
    options = ("full_page_writes=off", "autovacuum=off", "max_connections=10", "synchronous_commit=off")
    server = start_server(options=tuple(word for option in options for word in ("-c", option)))
    await server.create_template()
    yield server
    server.kill()


async def test_of_a_server_as_it_should_be_everything_is_fine(mortal: TestServer) -> None:
    async with mortal.own_database() as database:
        findings = await found(mortal.url(database))
    assert {finding.status for finding in findings} == {Status.OK}
    whole = ", ".join(finding.what for finding in findings)
    for said in ("PostgreSQL 1", "takes writes", "fsync on", "full_page_writes on", "synchronous_commit on"):
        assert said in whole
    assert "enough for" in whole
    assert "tables and functions are up to date" in whole


async def test_each_setting_that_is_wrong_is_told_with_what_to_change(badly_set: TestServer) -> None:
    async with badly_set.own_database() as database:
        bad = {
            finding.what.partition(":")[0]: (finding.status, finding.change)
            for finding in await found(badly_set.url(database))
            if finding.status is not Status.OK
        }
    assert {what: status for what, (status, _) in bad.items()} == {
        "fsync off": Status.FAIL,
        "full_page_writes off": Status.WARN,
        "synchronous_commit off": Status.WARN,
        "autovacuum off": Status.WARN,
        "6 of 7 connections are free, a worker takes up to 8": Status.WARN,
    }
    for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
        assert f"set {setting} = on" in bad[f"{setting} off"][1]
    assert "raise max_connections" in bad["6 of 7 connections are free, a worker takes up to 8"][1]


async def test_a_standby_is_no_place_for_a_store(badly_set: TestServer) -> None:
    badly_set.stop()
    signal = badly_set.data / "standby.signal"
    signal.touch()
    signal.chmod(0o644)
    badly_set.start()
    finding = (await troubles(badly_set.url("migrated")))["it is a standby, which takes no writes"]
    assert finding.status is Status.FAIL
    assert "target_session_attrs=read-write" in finding.change


async def test_a_database_that_is_read_only_is_told(server: TestServer, own_database: str) -> None:
    await server.execute(f"ALTER DATABASE {own_database} SET default_transaction_read_only = on")
    (finding,) = (await troubles(server.url(own_database))).values()
    assert finding.status is Status.FAIL
    assert "default_transaction_read_only" in finding.what


async def test_a_limit_on_the_connections_of_the_database_is_told(server: TestServer, own_database: str) -> None:
    await server.execute(f"ALTER DATABASE {own_database} CONNECTION LIMIT 2")
    (finding,) = (await troubles(server.url(own_database))).values()
    assert "of 2 connections" in finding.what
    assert "the database's CONNECTION LIMIT" in finding.change


async def test_tables_that_are_missing_or_of_another_version_are_told(server: TestServer) -> None:
    async with server.own_database(migrated=False) as database:
        (finding,) = (await troubles(server.url(database))).values()
        assert (finding.status, finding.change) == (Status.FAIL, "run `jobkit migrate`")
    async with server.own_database() as database:
        await server.execute("INSERT INTO jobkit.migrations VALUES (9999, 'later')", database=database)
        (finding,) = (await troubles(server.url(database))).values()
        assert (finding.status, finding.change) == (Status.FAIL, "upgrade jobkit here")


@pytest.mark.parametrize(
    ("version", "change"), [("0.0.1", "run `jobkit migrate`"), ("999.0", "upgrade jobkit here")], ids=["older", "newer"]
)
async def test_functions_of_another_version_are_told(
    server: TestServer, own_database: str, version: str, change: str
) -> None:
    stale = f"UPDATE jobkit.functions SET digest = '', version = '{version}'"  # noqa: S608
    await server.execute(stale, database=own_database)
    (finding,) = (await troubles(server.url(own_database))).values()
    assert (finding.status, finding.change) == (Status.FAIL, change)
    assert version in finding.what


async def test_rights_that_are_missing_are_named(server: TestServer, own_database: str) -> None:
    helper = f"postgresql://helper:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{own_database}"
    drop = "DROP OWNED BY helper; DROP ROLE helper"
    await server.execute(f"CREATE ROLE helper LOGIN PASSWORD '{PASSWORD}'", database=own_database)
    try:
        (finding,) = (await troubles(helper)).values()
        assert finding.status is Status.FAIL
        assert "no rights" in finding.what
        await server.execute(
            "GRANT USAGE ON SCHEMA jobkit TO helper",
            "GRANT ALL ON ALL TABLES IN SCHEMA jobkit TO helper",
            "REVOKE DELETE ON jobkit.outbox FROM helper",
            "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobkit FROM PUBLIC",
            database=own_database,
        )
        (finding,) = (await troubles(helper)).values()
        assert finding.status is Status.FAIL
        assert finding.what.startswith("this user lacks DELETE on jobkit.outbox, USAGE on ")
        assert " more" in finding.what
        await server.execute(
            "GRANT DELETE ON jobkit.outbox TO helper",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobkit TO helper",
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobkit TO helper",
            database=own_database,
        )
        assert await troubles(helper) == {}
    finally:
        await server.execute(drop, database=own_database)


async def test_clocks_that_disagree_are_told(server: TestServer, own_database: str) -> None:
    (finding,) = (await troubles(server.url(own_database), Shifted())).values()
    assert re.fullmatch(r"its clock is \d+ s behind this machine's", finding.what)
    assert "NTP" in finding.change


async def test_a_server_that_is_too_old_is_told_and_asked_nothing_else(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobkit.backends.postgres.migrations.OLDEST_VERSION", "99")
    (finding,) = await found(url)
    assert finding.status is Status.FAIL
    assert "jobkit needs 99 or later" in finding.what


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_a_database_that_cannot_hold_all_text_is_told(server: TestServer, encoding: str) -> None:
    name = f"encoded_{encoding.lower()}"
    await server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        (finding,) = await found(server.url(name))
        assert f"keeps text as {encoding}" in finding.what
    finally:
        await server.execute(f"DROP DATABASE {name}")


async def test_who_may_not_come_in_is_told_what_to_correct(server: TestServer, own_database: str) -> None:
    with pytest.raises(ConfigurationError, match="check user and password") as caught:
        await found(server.url(own_database, password="hunter2"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="there is no such database"):
        await found(server.url("nowhere"))
    with pytest.raises(Unavailable, match="cannot be reached"):
        await found(server.url(own_database, port=free_port()))


async def test_commits_that_would_wait_for_a_standby_that_is_not_there_are_told(badly_set: TestServer) -> None:
    """A copy of a primary inherits the setting: promoted, it takes connections and commits nothing."""
    await badly_set.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
    badly_set.stop()
    badly_set.start()
    (finding,) = (
        finding
        for what, finding in (await troubles(badly_set.url("migrated"))).items()
        if what.startswith("synchronous_standby_names 'gone'")
    )
    assert finding.status is Status.FAIL
    assert "ALTER SYSTEM" in finding.change
