"""Unique names in transactions of callers' own: held once those commit, and never where they are rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import pytest

from jobkit.backends.postgres.store import PostgresStore
from jobkit.errors import Unavailable
from jobkit.model.unique import Unique
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Kept, NewJob, Opened, SubmitAnswer
from jobkit.testing.conformance.values import envelope, fence, unordered

T = TypeVar("T")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def named(id: str, name: str = "one", *, replace: bool = False) -> NewJob:
    return NewJob(envelope(id, key=id), ordered=False, unique=Unique(name, replace=replace))


async def asked(store: PostgresStore, job: NewJob) -> SubmitAnswer:
    (answer,) = await store.submit([job])
    return answer


@asynccontextmanager
async def waiting(connection: Any, asking: Awaitable[T], lock: str) -> AsyncIterator[asyncio.Task[T]]:
    """Ask, and go on once somebody waits for a lock of that kind; what was asked for ends after the block."""
    task = asyncio.ensure_future(asking)
    while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = $1", lock):
        assert not task.done()
        await asyncio.sleep(0.01)
    yield task


async def test_who_asks_meanwhile_waits_and_is_told_of_the_job_that_was_accepted(
    url: str, store: PostgresStore
) -> None:
    async with connected(url) as connection, connected(url) as looking:
        transaction = connection.transaction()
        await transaction.start()
        (first,) = await store.submit_in(connection, [named("a")])
        assert isinstance(first, Accepted)
        async with waiting(looking, asked(store, named("b")), "advisory") as other:
            # Nobody else does, not even a submitter of the same process.
            assert isinstance(await asked(store, named("another", "another one")), Accepted)
            await unordered(store, "plain")
            await transaction.commit()
            assert await other == Kept("a", "a", None, None)


async def test_where_it_is_rolled_back_the_name_was_never_held(url: str, store: PostgresStore) -> None:
    async with connected(url) as connection, connected(url) as looking:
        transaction = connection.transaction()
        await transaction.start()
        await store.submit_in(connection, [named("a")])
        async with waiting(looking, asked(store, named("b")), "advisory") as other:
            await transaction.rollback()
            assert isinstance(await other, Accepted)
    assert await store.job("a") is None


async def test_a_job_that_is_kept_begins_after_the_transaction_that_it_was_kept_for(
    url: str, store: PostgresStore
) -> None:
    """Its processor sees what was changed together with asking for it."""
    await asked(store, named("a"))
    async with connected(url) as connection, connected(url) as looking:
        async with connection.transaction():
            assert await store.submit_in(connection, [named("b")]) == [Kept("a", "a", None, None)]
            async with waiting(looking, store.open(named("a").envelope, fence()), "transactionid") as opening:
                assert not opening.done()
        assert isinstance(await opening, Opened)


async def test_a_job_that_is_replaced_in_a_transaction_that_is_rolled_back_is_untouched(
    url: str, store: PostgresStore
) -> None:
    await asked(store, named("a"))
    async with connected(url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        (answer,) = await store.submit_in(connection, [named("b", replace=True)])
        assert isinstance(answer, Accepted)
        assert answer.replaced == "a"
        await transaction.rollback()
    (left,) = await store.jobs()
    assert (left.id, left.state) == ("a", JobState.QUEUED)
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == ["a"]


async def test_who_sees_an_older_state_of_things_is_told_that_another_was_in_the_way(
    url: str, store: PostgresStore
) -> None:
    async with connected(url) as connection:
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        # From here on it sees nothing newer.
        await connection.fetch("SELECT count(*) FROM jobkit.jobs")
        await asked(store, named("a"))
        with pytest.raises(Unavailable, match="in the way"):
            await store.submit_in(connection, [named("b")])
        await transaction.rollback()
    assert [job.id for job in await store.jobs()] == ["a"]


async def test_names_are_asked_for_in_one_order_however_they_are_given(store: PostgresStore) -> None:
    """No deadlock, which PostgreSQL would take a second to find."""
    names = [f"n{number}" for number in range(20)]
    async with asyncio.timeout(20):
        rounds = await asyncio.gather(
            *(
                store.submit([named(f"{turn}-{name}", name, replace=turn % 2 > 0) for name in names[:: (-1) ** turn]])
                for turn in range(12)
            )
        )
    accepted = [answer for answers in rounds for answer in answers if isinstance(answer, Accepted)]
    assert len({job.id for job in await store.jobs(state=JobState.QUEUED)}) == len(names)
    assert len(accepted) - sum(answer.replaced is not None for answer in accepted) == len(names)
