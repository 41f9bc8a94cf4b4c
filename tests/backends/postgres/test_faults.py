"""What goes wrong with a server, and what the caller is told: that it passes, or what to mend."""

from __future__ import annotations

import asyncio
import traceback

import asyncpg
import pytest

from jobkit.backends.postgres import faults
from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.pool import WORK_CONNECTIONS, ConnectionPool, query
from jobkit.backends.postgres.store import PostgresStore
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.ports.store import Opened
from jobkit.testing.conformance.values import NOTHING, envelope, fence, submitted, unordered
from tests.backends.postgres.conftest import opened
from tests.lab.servers.postgres import PASSWORD, TestServer

SECRET = "hunter2"


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable) as caught:
        async with opened(f"postgresql://u:{SECRET}@127.0.0.1:{unused_tcp_port}/jobs"):
            pass
    assert caught.value.plane == "store"
    assert f"127.0.0.1:{unused_tcp_port}/jobs" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_wrong_password_is_a_configuration_error_that_does_not_tell_it(server: TestServer) -> None:
    with pytest.raises(ConfigurationError, match="refuses this user") as caught:
        async with opened(server.url(password=SECRET)):
            pass
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert PASSWORD not in told


async def test_an_unknown_database_is_a_configuration_error(server: TestServer) -> None:
    with pytest.raises(ConfigurationError, match="no such database"):
        async with opened(server.url("nowhere")):
            pass


async def test_a_user_without_permission_is_a_configuration_error(server: TestServer, own_database: str) -> None:
    await server.execute("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN PASSWORD 'guest'", database=own_database)
    url = f"postgresql://guest:guest@127.0.0.1:{server.port}/{own_database}"
    with pytest.raises(ConfigurationError, match="permission"):
        async with opened(url):
            pass


async def test_a_server_that_takes_no_writes_is_unavailable_until_it_does(
    server: TestServer, own_database: str
) -> None:
    async with opened(server.url(own_database)) as store:
        job = await unordered(store, "a")
        # For new sessions; the call that meets it gives its connection up, as it would one to an old primary.
        await server.execute(
            f"ALTER DATABASE {own_database} SET default_transaction_read_only = on",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{own_database}'",  # noqa: S608
        )
        for _ in range(WORK_CONNECTIONS):
            with pytest.raises(Unavailable):
                await store.open(job, fence())
        with pytest.raises(Unavailable, match="accepts no writes"):
            await store.open(job, fence())
        await server.execute(f"ALTER DATABASE {own_database} RESET default_transaction_read_only")
        assert isinstance(await store.open(job, fence()), Opened)


async def test_a_connection_lost_within_a_call_is_told_as_one(server: TestServer, own_database: str) -> None:
    pool = await ConnectionPool(parse_address(server.url(own_database))).open()
    with pytest.raises(Unavailable, match=r"the connection was lost|it was told to stop") as told:
        await pool.run(query("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert "Connection." not in str(told.value)
    assert await pool.run(query("SELECT 1"))
    await pool.aclose()


@pytest.mark.parametrize(
    ("code", "told"), [("53100", "disk is full"), ("53200", "short of"), ("58030", "its system"), ("XX000", "internal")]
)
async def test_a_server_in_need_is_unavailable(server: TestServer, own_database: str, code: str, told: str) -> None:
    async with opened(server.url(own_database)) as store:
        job = await unordered(store, "a")
        await server.execute(
            f"CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON jobkit.keys FOR EACH ROW EXECUTE FUNCTION public.refuse()",
            database=own_database,
        )
        with pytest.raises(Unavailable, match=told):
            await store.open(job, fence())
        await server.execute("DROP TRIGGER refuse ON jobkit.keys", database=own_database)
        answer = await store.open(job, fence())
        assert isinstance(answer, Opened)
        assert answer.opens == 1


async def test_a_statement_that_takes_too_long_is_unavailable(url: str, server: TestServer, database: str) -> None:
    """The server gives up waiting for a lock before the client gives up waiting for the server."""
    async with opened(url) as store:
        job = await submitted(store, "a")
        blocker = await asyncpg.connect(url)
        try:
            async with blocker.transaction():
                await blocker.execute("SELECT FROM jobkit.keys FOR UPDATE")
                with pytest.raises(Unavailable, match="holds a lock"):
                    await store.open(job, fence())
        finally:
            await blocker.close()
        assert isinstance(await store.open(job, fence()), Opened)


async def test_a_lock_held_elsewhere_delays_its_own_key_only(url: str) -> None:
    async with opened(url) as store:
        jobs = [await submitted(store, f"{n}", key=f"k{n}") for n in range(30)]
        blocker = await asyncpg.connect(url)
        try:
            async with blocker.transaction():
                await blocker.execute("SELECT FROM jobkit.keys WHERE key = 'k7' FOR UPDATE")
                # All in one group, which fails as a whole.
                opening = [store.open(job, fence()) for job in jobs]
                answers = await asyncio.gather(*opening, return_exceptions=True)
        finally:
            await blocker.close()
        assert isinstance(answers.pop(7), Unavailable)
        assert all(isinstance(answer, Opened) for answer in answers)


async def test_a_server_that_does_not_answer_is_unavailable_in_bounded_time_and_recovers(
    server: TestServer, database: str, proxy: Proxy
) -> None:
    async with opened(server.url(database, port=proxy.port), call_seconds=0.5) as store:
        job = await unordered(store, "a")
        proxy.hold()
        async with asyncio.timeout(8):
            answers = await asyncio.gather(
                *(store.open(job, fence()) for _ in range(20)),
                store.counts(),
                store.record("t", "k", "r"),
                return_exceptions=True,
            )
        assert all(isinstance(answer, Unavailable) for answer in answers)
        proxy.heal()
        assert isinstance(await store.open(job, fence()), Opened)
        assert (await store.counts()).keys == 1


async def test_closing_ends_where_the_server_does_not_answer(server: TestServer, database: str, proxy: Proxy) -> None:
    async with opened(server.url(database, port=proxy.port), call_seconds=0.5) as store:
        await unordered(store, "a")
        await store.wait_finished(["a"], 0.0)
        proxy.hold()
        waiting = asyncio.create_task(store.counts())
        await asyncio.sleep(0)
        async with asyncio.timeout(8):
            await store.aclose()
            with pytest.raises(Unavailable):
                await waiting
    with pytest.raises(Unavailable, match="closed in this process"):
        await store.counts()


async def test_a_caller_that_is_cancelled_takes_nobody_else_with_it(store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    calls = [asyncio.create_task(store.open(job, under)) for _ in range(10)]
    calls += [asyncio.create_task(store.job("a")) for _ in range(10)]  # type: ignore[arg-type]
    for turn in range(10):
        calls[2 * turn].cancel()
        await asyncio.sleep(0)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers[1:10:2]} <= {Opened, asyncio.CancelledError}
    assert isinstance(await store.open(job, under), Opened)
    record = await store.job("a")
    assert record
    assert record.opens == 1
    await store.commit(job, under, NOTHING)


def test_what_is_no_trouble_of_the_servers_stays_as_it_is() -> None:
    for error in (KeyError("x"), asyncpg.UniqueViolationError("x"), asyncpg.exceptions.DataError("x")):
        assert faults.translated(error, "db") is error


async def test_a_value_that_cannot_be_stored_fails_alone(store: PostgresStore) -> None:
    good = [store.open(envelope(f"{n}", key=f"k{n}"), fence()) for n in range(5)]
    too_large = store.open(envelope("bad", key="x"), fence(1 << 70))
    *answers, refused = await asyncio.gather(*good, too_large, return_exceptions=True)
    assert all(isinstance(answer, Opened) for answer in answers)
    assert isinstance(refused, asyncpg.DataError)
