"""Retention among others who work: it waits for nobody, and lowers no mark in whatever way a key comes back."""

from __future__ import annotations

import asyncpg

from jobkit.backends.postgres.store import PostgresStore
from jobkit.ports.store import Effects, LogEntry, Opened, Stale
from jobkit.testing.conformance.values import committed, envelope, fence, submitted, unordered
from tests.lab.servers.postgres import TestServer

MANY = 10**9


async def test_what_somebody_has_locked_is_left_for_the_next_time(url: str, store: PostgresStore) -> None:
    for name in "abc":
        await committed(store, await submitted(store, name, key=name))
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM jobkit.keys WHERE key = 'b' FOR UPDATE")
            # To wait for the lock would end as `Unavailable`.
            assert await store.prune(older_than=MANY, keep_at_most=0) == 2
        assert [job.id for job in await store.jobs()] == ["b"]
    finally:
        await connection.close()
    assert await store.prune(older_than=MANY, keep_at_most=0) == 1
    assert await store.jobs() == []


async def test_a_look_at_a_log_of_which_nothing_is_old_enough_locks_nothing(url: str, store: PostgresStore) -> None:
    await committed(store, await submitted(store, "a", key="k"), Effects(entries=[LogEntry("done", b"1")]))
    connection = await asyncpg.connect(url)
    try:
        before = await connection.fetchval("SELECT xmax::text FROM jobkit.keys WHERE key = 'k'")
        assert await store.trim_log("t", "k", upto=MANY, older_than=MANY) == 0
        assert await connection.fetchval("SELECT xmax::text FROM jobkit.keys WHERE key = 'k'") == before
    finally:
        await connection.close()


async def test_one_forgets_at_a_time_and_the_other_does_not_wait(url: str, store: PostgresStore) -> None:
    await committed(store, await submitted(store, "a"))
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            assert await connection.fetchval("SELECT jobkit.prune(0, 0, 10, 10, 3600, 32)") == 1
            assert await store.prune(older_than=MANY, keep_at_most=0) == 0
    finally:
        await connection.close()


async def test_a_forgotten_key_that_comes_back_in_any_way_refuses_the_tokens_it_refused(
    server: TestServer, database: str, store: PostgresStore
) -> None:
    """fencing: be it by a job with a sequence, by an operator, or by a job that is parked."""
    await committed(store, await unordered(store, "old"), under=fence(50))
    await server.elapse(database, 10)
    await store.prune(older_than=5, keep_at_most=MANY)
    assert await store.key("t", "k") is None
    ordered = await submitted(store, "new", key="k")
    assert await store.open(ordered, fence(50)) == Stale(50)
    await store.skip_gap("t", "skipped", before=2)
    assert await store.open(envelope("x", key="skipped", sequence=2), fence(49)) == Stale(50)
    await store.park(envelope("y", key="parked", sequence=2), reason="gap")
    assert await store.open(envelope("z", key="parked", sequence=1), fence(50)) == Stale(50)
    assert isinstance(await store.open(ordered, fence(51)), Opened)


async def test_a_skip_that_is_refused_leaves_no_key_behind(store: PostgresStore) -> None:
    try:
        await store.skip_gap("t", "never seen", before=1)
    except ValueError:
        assert await store.key("t", "never seen") is None
        assert (await store.counts()).keys == 0
    else:
        raise AssertionError("nothing was there to skip")
