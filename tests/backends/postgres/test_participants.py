"""Users' statements in the transaction that commits a job: both, or neither."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncpg
import pytest

from jobkit.backends.postgres.store import PostgresStore
from jobkit.errors import JobConflict, ParticipantFailed, Unavailable
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Duplicate, Effects, NewJob, Opened, Refused
from jobkit.testing.conformance.values import NOTHING, envelope, fence, submitted, unordered
from tests.backends.postgres.conftest import opened
from tests.backends.postgres.orders import Connection, orders, place_order, state, url
from tests.lab.servers.postgres import TestServer

__all__ = ["url"]


async def test_what_a_participant_writes_is_there_with_the_commit(url: str, store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)
    follow = NewJob(envelope("b", type="next"), ordered=True)
    answer = await store.commit_with(job, under, Effects(records={"r": b"1"}, follow_ups=[follow]), [place_order])
    assert isinstance(answer, Committed)
    assert [entry.envelope.id for entry in answer.outbox] == ["b"]
    assert await orders(url) == [1]
    assert await store.record("t", "k", "r") == b"1"


async def test_a_commit_that_is_refused_or_a_duplicate_runs_no_participant(url: str, store: PostgresStore) -> None:
    """fencing: a stale worker changes the user's tables no more than it changes jobkit's."""
    job = await submitted(store, "a")
    stale, live = fence(), fence()
    await store.open(job, stale)
    await store.open(job, live)
    assert isinstance(await store.commit_with(job, stale, NOTHING, [place_order]), Refused)
    assert isinstance(await store.commit(job, live, NOTHING), Committed)
    assert isinstance(await store.commit_with(job, stale, NOTHING, [place_order]), Duplicate)
    assert await orders(url) == []


async def test_a_commit_that_is_asked_for_again_does_not_run_the_participant_again(
    url: str, store: PostgresStore
) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)
    for _ in range(3):
        assert isinstance(await store.commit_with(job, under, NOTHING, [place_order]), Committed)
    assert await orders(url) == [1]


@pytest.mark.parametrize("error", [KeyError("mine"), TimeoutError("mine"), OSError("mine"), Unavailable("x", "mine")])
async def test_what_a_participant_raises_is_raised_and_nothing_is_written(
    url: str, store: PostgresStore, error: Exception
) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)

    async def fail(connection: Connection) -> None:
        await place_order(connection)
        raise error

    with pytest.raises(ParticipantFailed) as caught:
        await store.commit_with(job, under, Effects(records={"r": b"1"}), [fail])
    assert caught.value.error is error
    assert await orders(url) == []
    assert await store.record("t", "k", "r") is None
    assert await state(store, "a") is JobState.RUNNING
    # It is an attempt that failed, and the next one may succeed.
    assert isinstance(await store.commit_with(job, under, NOTHING, [place_order]), Committed)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("INSERT INTO orders VALUES (2, NULL)", asyncpg.NotNullViolationError),
        ("INSERT INTO no_table_of_ours VALUES (1)", asyncpg.UndefinedTableError),
        ("SELECT 1 / 0", asyncpg.DivisionByZeroError),
    ],
)
async def test_a_statement_of_a_participant_that_fails_is_the_users_error(
    store: PostgresStore, statement: str, error: type[Exception]
) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)

    async def fail(connection: Connection) -> None:
        await connection.execute(statement)

    with pytest.raises(ParticipantFailed) as caught:
        await store.commit_with(job, under, NOTHING, [place_order, fail])
    assert isinstance(caught.value.error, error)
    assert await state(store, "a") is JobState.RUNNING


async def test_a_participant_that_goes_on_after_a_failed_statement_commits_nothing(
    url: str, store: PostgresStore
) -> None:
    """PostgreSQL answers the COMMIT of such a transaction with a rollback that looks like success."""
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)

    async def swallow(connection: Connection) -> None:
        await place_order(connection)
        with suppress(asyncpg.UniqueViolationError):
            await place_order(connection)

    with pytest.raises(ParticipantFailed, match="savepoint"):
        await store.commit_with(job, under, NOTHING, [swallow])
    assert await orders(url) == []
    assert await state(store, "a") is JobState.RUNNING


async def test_a_participant_may_go_on_after_a_failed_statement_in_a_savepoint(url: str, store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)

    async def upsert(connection: Connection) -> None:
        await place_order(connection)
        with suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await place_order(connection)

    assert isinstance(await store.commit_with(job, under, NOTHING, [upsert]), Committed)
    assert await orders(url) == [1]


async def test_a_constraint_that_is_checked_at_the_commit_is_the_users_error(
    server: TestServer, own_database: str, url: str, store: PostgresStore
) -> None:
    deferred = "ALTER TABLE orders ADD CONSTRAINT one_total UNIQUE (total) DEFERRABLE INITIALLY DEFERRED"
    await server.execute(deferred, "INSERT INTO orders VALUES (9, 100)", database=own_database)
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)
    with pytest.raises(ParticipantFailed, match="one_total"):
        await store.commit_with(job, under, NOTHING, [place_order])
    assert await orders(url) == [9]
    assert await state(store, "a") is JobState.RUNNING


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_a_participant_that_ends_the_transaction_is_told_so(store: PostgresStore, end: str) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)
    with pytest.raises(ParticipantFailed, match="ended the transaction"):
        await store.commit_with(job, under, NOTHING, [lambda connection: connection.execute(end)])
    # Whichever it was, asking again finds out, and the attempt after it ends well.
    assert isinstance(await store.commit_with(job, under, NOTHING, [place_order]), Committed)


async def test_a_participant_that_awaits_something_cancelled_has_failed(store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)

    async def wait(connection: Connection) -> None:
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never

    with pytest.raises(ParticipantFailed, match="cancelled"):
        await store.commit_with(job, under, NOTHING, [wait])


async def test_a_conflicting_follow_up_takes_the_participants_statements_with_it(
    url: str, store: PostgresStore
) -> None:
    await submitted(store, "taken", key="other")
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)
    follow = NewJob(envelope("taken", type="next"), ordered=False)
    with pytest.raises(JobConflict):
        await store.commit_with(job, under, Effects(follow_ups=[follow]), [place_order])
    assert await orders(url) == []


async def test_a_connection_lost_in_a_participant_is_unavailable_and_nothing_is_written(
    url: str, store: PostgresStore
) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)

    async def lose(connection: Connection) -> None:
        await place_order(connection)
        await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable):
        await store.commit_with(job, under, NOTHING, [lose])
    assert await orders(url) == []
    assert isinstance(await store.commit_with(job, under, NOTHING, [place_order]), Committed)


@pytest.mark.parametrize("where", ["in the server", "elsewhere"])
async def test_a_participant_that_hangs_is_ended_and_has_failed(url: str, where: str) -> None:
    async with opened(url, call_seconds=1.0) as store:
        job = await submitted(store, "a")
        under = fence()
        await store.open(job, under)

        async def hang(connection: Connection) -> None:
            await place_order(connection)
            await (connection.execute("SELECT pg_sleep(60)") if where == "in the server" else asyncio.sleep(60))

        with pytest.raises(ParticipantFailed, match=r"took longer than 0\.5 s"):
            await store.commit_with(job, under, NOTHING, [hang])
        assert await orders(url) == []
        assert isinstance(await store.commit(job, under, NOTHING), Committed)


async def test_a_participant_that_gives_way_to_another_transaction_runs_again(url: str, store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    await store.open(job, under)
    ran = 0

    async def give_way(connection: Connection) -> None:
        nonlocal ran
        ran += 1
        await place_order(connection)
        if ran == 1:
            await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")

    assert isinstance(await store.commit_with(job, under, NOTHING, [give_way]), Committed)
    assert ran == 2
    assert await orders(url) == [1]


async def test_participants_of_many_jobs_at_once_all_take_part(url: str, store: PostgresStore) -> None:
    async def one(number: int) -> None:
        job = await unordered(store, f"{number}", key=f"k{number}")
        under = fence()
        assert isinstance(await store.open(job, under), Opened)

        async def participant(connection: Connection) -> None:
            await connection.execute("INSERT INTO orders VALUES ($1, 1)", number)

        assert isinstance(await store.commit_with(job, under, NOTHING, [participant]), Committed)

    await asyncio.gather(*(one(number) for number in range(40)))
    assert await orders(url) == list(range(40))
