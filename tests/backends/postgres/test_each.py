"""Calls of one function that share a statement: how many there are, in which order, and one that fails."""

from __future__ import annotations

import asyncio

from jobkit.backends.postgres.store import PostgresStore
from jobkit.model.partition import Partition
from jobkit.testing.conformance.values import fence, opened, submitted, unordered

_PARTITION = Partition("t", 0)
_MANY = 40


async def test_jobs_that_are_set_aside_together_take_as_many_round_trips_as_one(store: PostgresStore) -> None:
    """A worker that hands over on a slow link: one by one they took five seconds."""
    jobs = [await unordered(store, f"job-{number}", key=f"key-{number}") for number in range(_MANY)]
    before = store.round_trips
    receipts = await asyncio.gather(*(store.shelve(job, _PARTITION) for job in jobs))
    assert [receipt.id for receipt in receipts] == [job.id for job in jobs]
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
