"""The store in trouble: killed, full, demoted or cut off, it has done all of a thing or nothing."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobkit.backends.redis.store import RedisStore
from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.redis import DURABLE, RedisServer, start_server
from jobkit.model.partition import Partition
from jobkit.model.tenancy import Tenancy
from jobkit.ports.store import Committed, Effects, NewJob, Opened, Stale
from jobkit.testing.conformance.values import NOTHING, committed, envelope, failure, fence, opened, submitted, unordered
from tests.backends.redis.opened import eventually, store
from tests.backends.redis.working import Key, check, effects_of, work
from tests.conformance.redis_harness import AGE_STORE

KILLS = 6


@pytest.fixture
def durable() -> Iterator[RedisServer]:
    started = start_server(DURABLE)
    yield started
    started.process.kill()


# ---- killed --------------------------------------------------------------------------------------------------------


async def test_a_server_killed_while_jobs_commit_has_committed_each_in_full_or_not_at_all(durable: RedisServer) -> None:
    rng = random.Random(11)
    keys = [Key(f"key {number}") for number in range(12)]

    def committed() -> int:
        return sum(len(key.committed) for key in keys)

    for _ in range(KILLS):
        async with store(durable.url()) as on:
            workers = [asyncio.create_task(work(on, key, rng)) for key in keys]
            enough = committed() + 10
            await eventually(lambda enough=enough: committed() > enough)
            await asyncio.sleep(rng.uniform(0.0, 0.2))
            await asyncio.to_thread(durable.process.kill)
            for outcome in await asyncio.gather(*workers, return_exceptions=True):
                assert isinstance(outcome, Unavailable), outcome
        await asyncio.to_thread(durable.process.start)
        async with store(durable.url()) as on:
            for key in keys:
                await check(on, key)
            counts = await on.counts()
            assert sum(counts.jobs.values()) == len(await on.jobs(limit=100_000))


async def test_a_commit_whose_answer_was_lost_is_answered_when_it_is_asked_for_again(
    server: RedisServer, proxy: Proxy
) -> None:
    async with store(server.url(port=proxy.port)) as on:
        job = await submitted(on, "a")
        under = await opened(on, job)
        proxy.hold("down")
        commit = asyncio.create_task(on.commit(job, under, effects_of(job)))
        await eventually(lambda: server.call("HGET", "{jobkit}:job:a", "state") == b"committed")
        proxy.cut()
        with pytest.raises(Unavailable):
            await commit
        proxy.heal()
        again = await on.commit(job, under, effects_of(job))
        assert isinstance(again, Committed)
        assert [entry.envelope.id for entry in again.outbox] == ["after a"]
        assert len(await on.log("t", "k")) == 2


# ---- full, demoted, cut off ----------------------------------------------------------------------------------------


async def everything(on: RedisStore) -> dict[str, Any]:
    return {
        "jobs": await on.jobs(limit=1_000),
        "keys": await on.keys(),
        "outbox": await on.outbox(older_than=-1, limit=1_000),
        "dead": await on.dead(),
        "gaps": await on.gaps(),
        "shelved": await on.shelved(Partition("t", 0), limit=100),
        "counts": await on.counts(),
    }


REFUSALS = {
    "full": (("CONFIG", "SET", "maxmemory", "1mb"), ("CONFIG", "SET", "maxmemory", "0"), "its memory is full"),
    "demoted": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "accepts no writes"),
    "alone": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
        "too few of its replicas",
    ),
}


@pytest.mark.parametrize("trouble", REFUSALS)
async def test_a_server_that_takes_no_writes_has_written_nothing_and_works_again_later(
    server: RedisServer, trouble: str
) -> None:
    begin, end, what = REFUSALS[trouble]
    async with store(server.url()) as on:
        job, other = await submitted(on, "a"), await submitted(on, "b")
        dying, running = await submitted(on, "c", key="dying"), await submitted(on, "d", key="running")
        number_of_dead = 1
        await on.bury(dying, await opened(on, dying), reason="hopeless")
        under = await opened(on, job)
        await on.shelve(job, Partition("t", 0))
        await on.open(other, fence())
        under = await opened(on, job)
        before = await everything(on)
        server.call(*begin)
        for write in (
            lambda: on.submit([NewJob(envelope("new"), ordered=True)]),
            lambda: on.open(running, fence()),
            lambda: on.commit(job, under, effects_of(job)),
            lambda: on.fail(job, under, failure(1)),
            lambda: on.bury(job, under, reason="no"),
            lambda: on.bury_message(b"raw", other, reason="no"),
            lambda: on.park(other, reason="no"),
            lambda: on.shelve(other, Partition("t", 0)),
            lambda: on.progress(job, under, fraction=0.5, message="m"),
            lambda: on.requeue_dead(number_of_dead),
            lambda: on.skip_gap("t", "k", before=5),
        ):
            with pytest.raises(Unavailable, match=re.escape(what)):
                await write()
        server.call(*end)
        assert await everything(on) == before
        assert isinstance(await on.commit(job, under, effects_of(job)), Committed)


async def test_work_that_goes_on_at_once_when_memory_is_full_is_all_refused_and_none_of_it_half_done(
    server: RedisServer,
) -> None:
    async with store(server.url()) as on:
        jobs = [await submitted(on, f"j{number}", key=f"k{number}") for number in range(50)]
        fences = [await opened(on, job) for job in jobs]
        before = await everything(on)
        server.call("CONFIG", "SET", "maxmemory", "1mb")
        answers = await asyncio.gather(
            *(on.commit(job, under, effects_of(job)) for job, under in zip(jobs, fences, strict=True)),
            return_exceptions=True,
        )
        assert all(isinstance(answer, Unavailable) for answer in answers)
        # What frees memory is still done.
        await on.published([before["outbox"][0].position])
        server.call("CONFIG", "SET", "maxmemory", "0")
        after = await everything(on)
        assert after["jobs"] == before["jobs"]
        assert after["outbox"] == before["outbox"][1:]


async def test_waits_end_without_wake_ups(server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "deaf", "on", ">pw", "~{jobkit}:*", "resetchannels", "+@all")
    async with store(server.url(login="deaf:pw")) as on:
        job = await submitted(on, "a")
        under = await opened(on, job)
        await on.outbox(older_than=0, limit=10)
        waits = [asyncio.create_task(on.wait_finished(["a"], 30))]
        await on.counts()
        await committed(on, await unordered(on, "b", key="l"))
        await on.commit(job, under, NOTHING)
        async with asyncio.timeout(10):
            await asyncio.gather(*waits)


async def test_wake_ups_come_before_anybody_polls(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.backends.redis.notifier.POLL_SECONDS", 60.0)
    async with store(server.url()) as watcher, store(server.url()) as worker:
        await eventually(lambda: server.call("PUBSUB", "NUMSUB", "{jobkit}:hints")[1] == 2)
        job = await submitted(worker, "a")
        under = await opened(worker, job)
        await watcher.outbox(older_than=0, limit=10)
        for wait, cause in (
            (watcher.wait_finished(["a"], 60), lambda: worker.progress(job, under, fraction=0.5, message="half")),
            (watcher.wait_finished(["a"], 60), lambda: worker.commit(job, under, NOTHING)),
        ):
            waiting = asyncio.create_task(wait)
            await eventually(lambda: server.call("KEYS", "{jobkit}:wanted:*"))
            await cause()
            async with asyncio.timeout(10):
                await waiting


# ---- time and space ------------------------------------------------------------------------------------------------


async def test_a_position_is_not_used_again_even_where_the_last_moments_were_lost(server: RedisServer) -> None:
    async with store(server.url()) as on:
        await submitted(on, "a")
        (lost,) = await on.outbox(older_than=-1, limit=10)
        server.call("FLUSHALL")
        await submitted(on, "b")
        await on.published([lost.position])
        assert [entry.envelope.id for entry in await on.outbox(older_than=-1, limit=10)] == ["b"]


async def test_entries_made_before_the_servers_clock_was_set_back_are_published(server: RedisServer) -> None:
    async with store(server.url()) as on:
        await submitted(on, "a")
        server.evaluate(AGE_STORE, -3600)
        assert [entry.envelope.id for entry in await on.outbox(older_than=60, limit=10)] == ["a"]
        await submitted(on, "b")
        positions = [entry.position for entry in await on.outbox(older_than=-1, limit=10)]
        assert positions == sorted(set(positions))


async def test_a_key_that_was_never_opened_shows_the_floor_that_it_is_held_to(server: RedisServer) -> None:
    async with store(server.url()) as on:
        await committed(on, await unordered(on, "a", key="idle"), under=fence(500))
        waiting = await submitted(on, "b", key="new")
        server.evaluate(AGE_STORE, 1)
        await on.prune(older_than=0, keep_at_most=0)
        assert await on.key("t", "idle") is None
        row = await on.key("t", "new")
        assert row
        assert row.token == 500
        assert await on.open(waiting, fence(500)) == Stale(500)
        assert isinstance(await on.open(waiting, fence(501)), Opened)


async def test_what_is_forgotten_leaves_nothing_behind(server: RedisServer) -> None:
    async with store(server.url()) as on:
        await committed(on, await unordered(on, "first"))
        await on.published([entry.position for entry in await on.outbox(older_than=-1, limit=10)])
        server.evaluate(AGE_STORE, 1)
        await on.prune(older_than=0, keep_at_most=0)
        before = {key for key in server.call("KEYS", "*") if b":wanted:" not in key}
        for number in range(60):
            job = await unordered(on, f"j{number}", key=f"k{number % 7}")
            under = await opened(on, job)
            await on.fail(job, under, failure(1))
            await on.progress(job, under, fraction=0.5, message="m" * 100)
            await on.shelve(job, Partition("t", 0))
            if number % 5 == 0:
                await on.bury(job, under, reason="hopeless")
                (letter,) = await on.dead()
                await on.requeue_dead(letter.number)
                under = await opened(on, job)
            assert isinstance(await on.commit(job, under, Effects(result=b"1" * 200)), Committed)
            await on.bury_message(b"?", replace(job, body=b"other"), reason="why")
            (letter,) = await on.dead()
            assert await on.purge_dead(letter.number)
        await on.published([entry.position for entry in await on.outbox(older_than=-1, limit=1_000)])
        # What was requeued is told of to who leads.
        await on.release_due(limit=1_000)
        server.evaluate(AGE_STORE, 1)
        assert await on.prune(older_than=0, keep_at_most=10**9) == 60
        await on.prune(older_than=0, keep_at_most=10**9)
        after = {key for key in server.call("KEYS", "*") if b":wanted:" not in key}
        assert after <= before | {b"{jobkit}:outbox"}, after - before
        counts = await on.counts()
        assert not any(counts.jobs.values())
        assert (counts.keys, counts.outbox, counts.dead, counts.shelved, counts.parked) == (0, 0, 0, 0, 0)


# ---- older than the code -------------------------------------------------------------------------------------------


async def test_jobs_that_waited_for_places_before_they_were_counted_leave_no_count_below_none(
    server: RedisServer,
) -> None:
    async with store(server.url()) as here:
        jobs = [NewJob(envelope(f"j{n}", key=f"j{n}"), ordered=False, tenancy=Tenancy("a", 1)) for n in range(3)]
        await here.submit(jobs)
        assert await here.waiting_for_places(["t"]) == {"t": 2}
        (counter,) = server.call("KEYS", "*places awaited")
        server.call("DEL", counter)
        await here.cancel(["j1"], by="test", reason="")
        assert await here.waiting_for_places(["t"]) == {}
        await here.submit([replace(jobs[0], envelope=envelope("j3", key="j3"))])
        assert await here.waiting_for_places(["t"]) == {"t": 1}
