"""Calls of one function that share a statement: how many there are, in which order, and one that fails."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from jobkit.backends.postgres.store import PostgresStore
from jobkit.model.partition import Partition
from jobkit.testing.conformance.values import envelope, fence, opened, submitted, unordered

_PARTITION = Partition("t", 0)
_MANY = 40


async def test_jobs_that_are_set_aside_together_take_as_many_round_trips_as_one(store: PostgresStore) -> None:
    """A worker that hands over on a slow link: one by one they took five seconds."""
    jobs = [await unordered(store, f"job-{number}", key=f"key-{number}") for number in range(_MANY)]
    before = store.round_trips
    receipts = await asyncio.gather(*(store.shelve(job, _PARTITION) for job in jobs))
    assert [receipt.job_id for receipt in receipts] == [job.id for job in jobs]
    # The first does not wait for others.
    assert store.round_trips - before <= 2
    shelved = await store.shelved(_PARTITION, limit=_MANY)
    assert {entry.envelope.id for entry in shelved} == {job.id for job in jobs}


async def test_jobs_of_one_key_go_aside_in_the_order_in_which_that_was_asked(store: PostgresStore) -> None:
    jobs = [await submitted(store, f"job-{number}", key="k") for number in range(_MANY)]
    backwards = list(reversed(jobs))
    await asyncio.gather(*(store.shelve(job, _PARTITION) for job in backwards))
    shelved = await store.shelved(_PARTITION, limit=_MANY)
    assert [entry.envelope.id for entry in shelved] == [job.id for job in backwards]


@pytest.mark.parametrize("held", ["", "first"])
async def test_jobs_that_go_aside_together_are_locked_as_everybody_locks_them_keys_first_and_jobs_by_number(
    url: str, store: PostgresStore, held: str
) -> None:
    """Whoever holds the keys gets their jobs: one that shelves them, in any order, and waits for a key, has none."""
    first, second = [await submitted(store, id, key="k1") for id in ("first", "second")]
    await submitted(store, "other", key="k2")
    unknown = envelope("unknown", key="k2")
    look = await asyncpg.connect(url)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM jobkit.keys WHERE key IN ('k1', 'k2') ORDER BY key FOR UPDATE")
            await connection.execute("SELECT FROM jobkit.jobs WHERE id = $1 FOR UPDATE", held)
            # Those behind the one that goes at once share a statement.
            going = asyncio.gather(
                *(store.shelve(job, _PARTITION) for job in (unknown, second, first, envelope("more", key="k2")))
            )
            async with asyncio.timeout(10):
                while not await look.fetchval(  # noqa: ASYNC110  (there is no event to wait for)
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')"
                ):
                    await asyncio.sleep(0.01)
            await connection.execute("SELECT FROM jobkit.jobs WHERE key = 'k1' ORDER BY number FOR UPDATE NOWAIT")
        assert [receipt.job_id for receipt in await going] == ["unknown", "second", "first", "more"]
    finally:
        await look.close()
        await connection.close()


async def test_progress_of_many_jobs_is_noted_together_and_of_each_by_its_own_fence(store: PostgresStore) -> None:
    jobs = [await unordered(store, f"job-{number}", key=f"key-{number}") for number in range(_MANY)]
    fences = [await opened(store, job) for job in jobs]
    fences[3] = fence()
    before = store.round_trips
    noted = await asyncio.gather(
        *(
            store.progress(job, under, fraction=0.5, message=f"half of {job.id}")
            for job, under in zip(jobs, fences, strict=True)
        )
    )
    assert store.round_trips - before <= 2
    assert [number for number, one in enumerate(noted) if not one] == [3]
    for number in (0, _MANY - 1):
        record = await store.job(f"job-{number}")
        assert record
        assert (record.progress, record.message) == (0.5, f"half of job-{number}")
