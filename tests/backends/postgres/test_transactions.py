"""Jobs that are submitted and cancelled in a user's own transaction: with its statements, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.backends.postgres.store import PostgresStore
from jobkit.errors import ConfigurationError
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Committed, Conflict, Duplicate, Known, NewJob, Opened
from jobkit.testing.conformance.values import NOTHING, committed, envelope, fence, submitted, unordered
from tests.backends.postgres.orders import connected, orders, place_order, url
from tests.lab.servers.postgres import TestServer

__all__ = ["url"]


async def test_a_job_submitted_in_a_callers_transaction_is_accepted_when_that_commits(
    url: str, store: PostgresStore
) -> None:
    async with connected(url) as connection:
        async with connection.transaction():
            await place_order(connection)
            (answer,) = await store.submit_in(connection, [NewJob(envelope("a"), ordered=True)])
            assert isinstance(answer, Accepted)
            assert answer.envelope.sequence == 1
            assert await store.job("a") is None
            assert await store.outbox(older_than=-1, limit=10) == []
        (entry,) = await store.outbox(older_than=-1, limit=10)
    assert (entry.envelope, entry.position) == (answer.envelope, answer.position)
    await committed(store, entry.envelope)
    assert await orders(url) == [1]
    assert (await store.counts()).jobs[JobState.COMMITTED] == 1


async def test_a_job_submitted_in_a_transaction_that_is_rolled_back_never_was(url: str, store: PostgresStore) -> None:
    async with connected(url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await place_order(connection)
        await store.submit_in(connection, [NewJob(envelope("a"), ordered=True)])
        await transaction.rollback()
    assert await orders(url) == []
    assert await store.job("a") is None
    counts = await store.counts()
    assert (sum(counts.jobs.values()), counts.outbox, counts.keys) == (0, 0, 0)
    # The sequence was not used up.
    assert (await submitted(store, "b")).sequence == 1


async def test_in_a_callers_transaction_known_jobs_and_conflicts_are_told(url: str, store: PostgresStore) -> None:
    job = await submitted(store, "a")
    async with connected(url) as connection, connection.transaction():
        answers = await store.submit_in(
            connection,
            [NewJob(envelope("a"), ordered=True), NewJob(envelope("a", body=b"2"), ordered=True)],
        )
        assert answers == [Known(job), Conflict("a")]
        assert await store.submit_in(connection, []) == []


async def test_callers_at_another_isolation_level_are_in_nobodys_way(url: str, store: PostgresStore) -> None:
    """Those that submit on different keys all commit, though all were counted since the first of them began."""
    await submitted(store, "z", key="z")
    async with connected(url) as one, connected(url) as other:
        first, second = (each.transaction(isolation="repeatable_read") for each in (one, other))
        for transaction, connection in ((first, one), (second, other)):
            await transaction.start()
            # From here on it sees nothing newer.
            await connection.fetch("SELECT FROM orders")
        await submitted(store, "c", key="c")
        await store.submit_in(one, [NewJob(envelope("a", key="a"), ordered=True)])
        await store.submit_in(other, [NewJob(envelope("b", key="b"), ordered=True)])
        await store.submit_in(other, [NewJob(envelope("b2", key="b"), ordered=True)])
        await first.commit()
        await second.commit()
    counts = await store.counts()
    assert (counts.jobs[JobState.QUEUED], counts.outbox, counts.keys) == (5, 5, 4)


async def test_an_open_transaction_of_a_caller_delays_its_own_key_only(url: str, store: PostgresStore) -> None:
    job = await submitted(store, "a", key="free")
    async with connected(url) as connection, connection.transaction():
        await store.submit_in(connection, [NewJob(envelope("b", key="held"), ordered=True)])
        # They would wait for the lock of a held key until they are `Unavailable`.
        await committed(store, job)
        await submitted(store, "c", key="free")


async def test_submitting_takes_an_asyncpg_connection_that_is_in_a_transaction(url: str, store: PostgresStore) -> None:
    jobs = [NewJob(envelope("a"), ordered=True)]
    async with connected(url) as connection:
        with pytest.raises(ConfigurationError, match="begin one"):
            await store.submit_in(connection, jobs)
    with pytest.raises(ConfigurationError, match="asyncpg"):
        await store.submit_in(object(), jobs)
    assert await store.job("a") is None


async def test_submitting_on_a_connection_to_another_database_says_so(server: TestServer, store: PostgresStore) -> None:
    async with connected(server.url("postgres")) as connection, connection.transaction():
        with pytest.raises(ConfigurationError, match="jobkit migrate"):
            await store.submit_in(connection, [NewJob(envelope("a"), ordered=True)])


async def test_a_job_on_a_key_that_a_caller_submitted_to_waits_for_the_callers_transaction(
    url: str, store: PostgresStore
) -> None:
    """order: the sequence that a caller was given is before the ones given later, or given again."""
    for end in ("commit", "rollback"):
        async with connected(url) as connection:
            transaction = connection.transaction()
            await transaction.start()
            await store.submit_in(connection, [NewJob(envelope(f"in {end}", key=end), ordered=True)])
            later = asyncio.create_task(submitted(store, f"later {end}", key=end))
            await store.counts()
            assert not later.done()
            await (transaction.commit() if end == "commit" else transaction.rollback())
            assert (await later).sequence == (2 if end == "commit" else 1)


async def test_a_job_cancelled_in_a_callers_transaction_is_cancelled_when_that_commits(
    url: str, store: PostgresStore
) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    async with connected(url) as connection, connection.transaction():
        await place_order(connection)
        (answer,) = await store.cancel_in(connection, ["a"], by="ann", reason="")
        assert answer.cancelled
        assert [receipt.job_id for receipt in await store.cancelled(["a"])] == []
    assert [receipt.job_id for receipt in await store.cancelled(["a"])] == ["a"]
    assert isinstance(await store.open(a, fence()), Duplicate)
    await committed(store, b)
    assert await orders(url) == [1]


async def test_a_job_cancelled_in_a_transaction_that_is_rolled_back_goes_on(url: str, store: PostgresStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    assert isinstance(await store.open(job, under), Opened)
    async with connected(url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await store.cancel_in(connection, ["a"], by="ann", reason="")
        committing = asyncio.create_task(store.commit(job, under, NOTHING))
        await store.counts()
        assert not committing.done()
        await transaction.rollback()
        assert isinstance(await committing, Committed)
    assert (await store.counts()).jobs[JobState.CANCELLED] == 0


async def test_the_opening_of_a_job_that_a_caller_cancels_waits_and_is_refused(url: str, store: PostgresStore) -> None:
    """Also where the key has no row yet that could be locked: the job's own is."""
    for submit in (submitted, unordered):
        job = await submit(store, submit.__name__, key=submit.__name__)
        async with connected(url) as connection, connection.transaction():
            await store.cancel_in(connection, [job.id], by="ann", reason="")
            opening = asyncio.create_task(store.open(job, fence()))
            await store.counts()
        assert isinstance(await opening, Duplicate)
        assert [receipt.job_id for receipt in await store.cancelled([job.id])] == [job.id]


async def test_cancelling_takes_an_asyncpg_connection_that_is_in_a_transaction(url: str, store: PostgresStore) -> None:
    async with connected(url) as connection:
        with pytest.raises(ConfigurationError, match="begin one"):
            await store.cancel_in(connection, ["a"], by="ann", reason="")
        assert await store.cancel_in(connection, [], by="ann", reason="") == []
