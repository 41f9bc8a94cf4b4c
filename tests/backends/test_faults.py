"""Disks that are full, locked, read-only or broken: one clear error each, and nothing half done."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.schema import VERSION
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import SystemClock
from jobkit.ports.store import Effects, LogEntry, NewJob
from jobkit.testing.conformance.values import committed, envelope, submitted
from tests.backends.children import own_mounts, python, run

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobkit.db")


@pytest.fixture
async def engine(path: str) -> AsyncIterator[Engine]:
    async with open_engine(path, SystemClock(), lock_patience=0.3) as opened:
        yield opened


@pytest.fixture
def shared_directory() -> Iterator[Path]:
    """A directory that other users can reach."""
    path = Path(tempfile.mkdtemp(prefix="jobkit-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


async def test_a_database_that_stays_locked_fails_writers_after_a_while_and_serves_them_again_later(
    engine: Engine, path: str
) -> None:
    store = SqliteStore(engine)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"store: .*jobkit\.db is locked by another process for 0\.3 s"):
            await submitted(store, "a")
        assert await store.job("a") is None
        other.execute("ROLLBACK")
    await submitted(store, "a")


async def test_everybody_who_waited_for_the_lock_is_told(engine: Engine, path: str) -> None:
    store = SqliteStore(engine)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = await asyncio.gather(
            *(store.submit([NewJob(envelope(str(n)), True)]) for n in range(600)), return_exceptions=True
        )
    assert all(isinstance(answer, Unavailable) for answer in answers)


async def test_a_look_at_a_log_of_which_nothing_is_old_enough_waits_for_no_writer(engine: Engine, path: str) -> None:
    store = SqliteStore(engine)
    await committed(store, await submitted(store, "a"), Effects(entries=[LogEntry("done", b"1")]))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await store.trim_log("t", "k", upto=1, older_than=3_600) == 0


async def test_opening_a_locked_database_fails_after_a_while(path: str) -> None:
    async with open_engine(path, SystemClock()):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"broker: .*locked"):
            async with open_engine(path, SystemClock(), plane="broker", lock_patience=0.2):
                pass


async def test_many_processes_that_open_a_new_database_at_once_all_succeed(path: str) -> None:
    async def open_and_submit(number: int) -> None:
        async with open_engine(path, SystemClock()) as engine:
            await submitted(SqliteStore(engine), str(number))

    await asyncio.gather(*(open_and_submit(number) for number in range(8)))
    async with open_engine(path, SystemClock()) as engine:
        assert (await SqliteStore(engine).counts()).outbox == 8


async def test_a_full_database_changes_nothing_and_works_on_once_there_is_room(engine: Engine) -> None:
    store, plane = SqliteStore(engine), engine.plane("store")
    (pages,) = await plane.read(lambda t: t.execute("PRAGMA page_count").fetchone())
    await plane.read(lambda t: t.execute(f"PRAGMA max_page_count = {pages + 20}").fetchone())
    body = b'"' + b"x" * 30_000 + b'"'

    async def submit_until_full() -> None:
        for number in range(10):
            await store.submit([NewJob(envelope(f"{number}", body=body), True)])

    with pytest.raises(Unavailable, match=r"store: the disk of .* is full"):
        await submit_until_full()
    accepted = (await store.counts()).outbox
    assert 0 < accepted < 10
    assert len(await store.jobs()) == accepted
    # Small ones still fit, also beside large ones that fail in the same transaction.
    answers = await asyncio.gather(
        store.submit([NewJob(envelope("small 1", key="l"), True)]),
        store.submit([NewJob(envelope("large", key="l", body=body), True)]),
        store.submit([NewJob(envelope("small 2", key="l"), True)]),
        return_exceptions=True,
    )
    assert [isinstance(answer, Unavailable) for answer in answers] == [False, True, False]
    assert (await store.counts()).outbox == accepted + 2
    await plane.read(lambda t: t.execute("PRAGMA max_page_count = 1000000").fetchone())
    assert (await submitted(store, "after", key="l", body=body)).sequence == 3


def test_a_disk_that_fills_up_loses_nothing_and_work_goes_on_once_there_is_room(tmp_path: Path) -> None:
    script = f'mount -t tmpfs -o size=6m tmpfs "{tmp_path}"; exec "$@"'
    printed = run([*own_mounts(script), "sh", *python("tests.backends.full_disk", tmp_path)])
    assert "worked on" in printed


def test_a_read_only_disk_is_a_matter_of_configuration(tmp_path: Path) -> None:
    child = python("tests.backends.read_only", f"sqlite:///{tmp_path}/jobkit.db", f"file://{tmp_path}/blobs")
    script = f"""
        mount -t tmpfs -o size=2m tmpfs "{tmp_path}"
        "$@"
        mount -o remount,ro "{tmp_path}"
        "$@"
    """
    printed = run([*own_mounts(script), "sh", *child]).splitlines()
    assert printed[0] == "opened"
    assert printed[1].startswith("JOBKIT_BLOBS_URL: ") or printed[1].startswith("JOBKIT_STORE_URL: ")
    assert "writ" in printed[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("what", ["directory", "file", "blobs"])
def test_a_user_without_permission_is_told_which_path(shared_directory: Path, what: str) -> None:
    database, blobs = shared_directory / "data" / "jobkit.db", shared_directory / "data" / "blobs"
    database.parent.mkdir()
    if what != "directory":
        database.parent.chmod(0o777)
    if what == "file":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA user_version")
        database.touch(mode=0o600)
    if what == "blobs":
        blobs.mkdir(mode=0o755)
    # The blobs are only to blame where they are what is tested.
    file_url = f"file://{blobs}" if what == "blobs" else f"file://{shared_directory}/free"
    (shared_directory / "free").mkdir()
    (shared_directory / "free").chmod(0o777)
    printed = run(python("tests.backends.read_only", f"sqlite:///{database}", file_url, NOBODY))
    expected = {"directory": database.parent, "file": database, "blobs": blobs}[what]
    assert str(expected) in printed
    assert printed.startswith("JOBKIT_BLOBS_URL: " if what == "blobs" else "JOBKIT_STORE_URL: ")


async def test_a_database_that_turned_read_only_is_named(engine: Engine) -> None:
    plane = engine.plane("coordinator")
    await plane.read(lambda t: t.execute("PRAGMA query_only = 1"))
    with pytest.raises(ConfigurationError, match=r"jobkit\.db cannot be written"):
        await submitted(SqliteStore(engine), "a")


async def refused(path: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        async with open_engine(path, SystemClock()):
            pass
    return str(caught.value)


async def test_a_directory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert f"the directory {tmp_path}/nosuch does not exist" in await refused(str(tmp_path / "nosuch" / "a.db"))


async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    assert "is a directory" in await refused(str(tmp_path))


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(content)
    assert "not a usable SQLite database" in await refused(str(path))
    assert path.read_bytes() == content


async def test_the_database_of_another_program_is_left_as_it_is(path: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert "some other program" in await refused(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


async def test_a_newer_schema_is_refused_with_both_numbers(path: str) -> None:
    async with open_engine(path, SystemClock()):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    message = await refused(path)
    assert "99" in message
    assert "another version of jobkit" in message


async def test_a_change_of_the_tables_is_another_version_of_them(path: str) -> None:
    async with open_engine(path, SystemClock()):
        pass
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    words = " ".join(" ".join(sql.split()) for (sql,) in tables)
    assert (VERSION, hashlib.sha256(words.encode()).hexdigest()[:16]) == (3, "6c22d7f9e59de05f")


async def test_damage_found_while_working_is_told_and_not_papered_over(path: str) -> None:
    async with open_engine(path, SystemClock()) as engine:
        store = SqliteStore(engine)
        for number in range(200):
            await store.submit([NewJob(envelope(str(number), body=b"x" * 500), True)])
    with open(path, "r+b") as file:  # noqa: ASYNC230, PTH123
        file.seek(4096)
        size = os.fstat(file.fileno()).st_size
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(ConfigurationError, match="not a usable SQLite database"):
        async with open_engine(path, SystemClock()) as engine:
            await SqliteStore(engine).outbox(older_than=-1, limit=1000)
