"""Tenants' jobs in transactions that overlap: nothing is locked for them, and none is left waiting."""

from __future__ import annotations

import asyncio

import asyncpg

from jobkit.backends.postgres.store import PostgresStore
from jobkit.model.tenancy import Tenancy
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, NewJob
from jobkit.testing.conformance.values import committed, envelope, outbox_ids


def of_tenant(id: str, places: int = 1, tenant: str = "a") -> NewJob:
    return NewJob(envelope(id, key=id), ordered=False, tenancy=Tenancy(tenant, places))


async def test_one_that_was_accepted_while_the_last_place_was_given_up_is_found(url: str, store: PostgresStore) -> None:
    await store.submit([of_tenant("first")])
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    (answer,) = await store.submit_in(connection, [of_tenant("second")])
    assert isinstance(answer, Accepted)
    assert answer.waits
    # It sees nothing of the other, and waits for nothing.
    assert (await committed(store, of_tenant("first").envelope)).outbox == []
    await transaction.commit()
    assert await outbox_ids(store) == []
    record = await store.job("second")
    assert record is not None
    assert (record.waits_for_place, record.due_at) == (True, None)
    # As five seconds later.
    await connection.execute("UPDATE jobkit.jobs SET due = due - 5 WHERE id = 'second'")
    assert await store.overdue() == []
    await store.release_due(limit=10)
    await connection.close()
    assert await outbox_ids(store) == ["second"]


async def test_of_many_that_end_at_the_same_time_each_gives_its_place_on(store: PostgresStore) -> None:
    jobs = [of_tenant(f"{tenant}{number}", 8, tenant) for number in range(30) for tenant in "ab"]
    await asyncio.gather(*(store.submit([job]) for job in jobs))
    left = {job.envelope.id: job.envelope for job in jobs}
    while left:
        ready = [id for id in await outbox_ids(store) if id in left]
        assert ready, left
        await asyncio.gather(*(committed(store, left.pop(id)) for id in ready))
    assert (await store.counts()).jobs[JobState.COMMITTED] == len(jobs)
