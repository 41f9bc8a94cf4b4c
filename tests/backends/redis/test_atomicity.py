"""Nothing takes back what a script has written, so whatever can stop one stops it before that, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError

from jobkit.backends.redis import scripts as scripts_module
from jobkit.backends.redis.store import RedisStore
from jobkit.errors import Unavailable
from jobkit.lab.servers.redis import RedisServer, start_server
from jobkit.model.envelope import Envelope
from jobkit.ports.coordinator import Granted, LeaseRef
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Effects, LogEntry, NewJob
from jobkit.testing.conformance.values import NOTHING, committed, envelope, fence, opened, submitted, unordered
from tests.backends.redis.opened import coordinator, store
from tests.conformance.redis_harness import AGE_STORE

MEGABYTE = 1 << 20


def fill_up(server: RedisServer, room: int) -> None:
    """Leave the server so many bytes."""
    server.call("CONFIG", "SET", "maxmemory", server.call("INFO", "memory")["used_memory"] + room)


def heavy(told: bytes) -> Effects:
    """Return effects of every kind that take four megabytes together."""
    large = told * (MEGABYTE // 8 // len(told))
    return Effects(
        result=large,
        records={f"r{number}": large for number in range(15)},
        entries=[LogEntry("k", large) for _ in range(15)],
        follow_ups=[NewJob(envelope(f"after {told.decode()}", body=large, key="after"), ordered=True)],
    )


async def is_whole(on: RedisStore, job: Envelope) -> bool:
    """Return whether a job is committed with all of its `heavy` effects; without any of them, it is not."""
    record, row = await on.job(job.id), await on.key("t", job.key or "")
    assert record
    assert row
    done = record.state is JobState.COMMITTED
    assert row.log_length == len(await on.log("t", row.key)) == (15 if done else 0)
    assert row.committed_sequence == int(done)
    records = [await on.record("t", row.key, f"r{number}") for number in range(15)]
    assert records == [record.result] * 15
    assert (record.result is not None) == done == (await on.job(f"after {job.id}") is not None)
    return done


async def test_memory_that_runs_out_in_the_midst_of_commits_leaves_each_whole_or_undone(server: RedisServer) -> None:
    async with store(server.url()) as on:
        jobs = [await submitted(on, f"job {number}", key=f"key {number}") for number in range(12)]
        unders = [await opened(on, job) for job in jobs]
        fill_up(server, 24 * MEGABYTE)
        # One after another: the next is refused because the last one went on beyond the end of memory.
        answers: list[object] = []
        for job, under in zip(jobs, unders, strict=True):
            answers += await asyncio.gather(on.commit(job, under, heavy(job.id.encode())), return_exceptions=True)
        assert all(isinstance(answer, Committed | Unavailable) for answer in answers), answers
        wholes = [await is_whole(on, job) for job in jobs]
        assert wholes == [isinstance(answer, Committed) for answer in answers]
        assert any(wholes)
        assert not all(wholes)
        server.call("CONFIG", "SET", "maxmemory", "0")
        for job, under in zip(jobs, unders, strict=True):
            assert isinstance(await on.commit(job, under, heavy(job.id.encode())), Committed)
            assert await is_whole(on, job)


async def test_where_memory_is_full_forgetting_goes_on_and_makes_room(server: RedisServer) -> None:
    async with store(server.url()) as on:
        for number in range(50):
            job = await (submitted if number % 2 else unordered)(on, f"j{number}", key=f"k{number}")
            await committed(on, job, Effects(result=b"1" * 100_000))
        waiting = await submitted(on, "waiting", key="waiting")
        server.evaluate(AGE_STORE, 10)
        fill_up(server, -MEGABYTE)
        with pytest.raises(Unavailable, match="its memory is full"):
            await on.open(waiting, fence())
        assert await on.prune(older_than=1, keep_at_most=10**9) == 50
        await committed(on, waiting)
        assert await on.open(await submitted(on, "next", key="k1"), fence())


async def test_leases_are_renewed_and_released_where_memory_is_full(server: RedisServer) -> None:
    async with coordinator(server.url()) as on:
        answer = await on.claim("t/k", owner="me", nonce="n", ttl=30.0)
        assert isinstance(answer, Granted)
        lease = LeaseRef("t/k", answer.token, "n")
        fill_up(server, -MEGABYTE // 2)
        with pytest.raises(Unavailable, match="its memory is full"):
            await on.claim("t/other", owner="me", nonce="n", ttl=30.0)
        assert await on.renew([lease], ttl=30.0) == {lease}
        assert await on.release(lease)
        assert await on.leases() == []


async def test_a_lease_that_cannot_be_given_an_end_is_not_given(server: RedisServer) -> None:
    async with coordinator(server.url()) as on:
        with pytest.raises(RedisError, match=r"out of range|invalid expire"):
            await on.claim("t/k", owner="me", nonce="n", ttl=1e16)
        assert await on.leases() == []
        assert server.call("EXISTS", "{jobkit}:lease:t/k") == 0


async def test_opening_a_store_leaves_nothing_that_would_stop_the_next_one(server: RedisServer) -> None:
    # As an earlier version left it for a moment, and one that is broken off might.
    server.call("SET", "{jobkit}:check", "")
    for _ in range(20):
        async with store(server.url()):
            assert server.call("KEYS", "*") == [b"{jobkit}:store"]


async def test_what_is_larger_than_a_request_may_be_is_refused_before_it_is_sent(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts_module, "_MOST_BYTES", 10_000_000)
    async with store(server.url()) as on:
        job = await submitted(on, "a")
        under = await opened(on, job)
        with pytest.raises(ValueError, match="more than Redis takes in one request"):
            await on.commit(job, under, Effects(result=b"1" * 10_000_000))
        assert isinstance(await on.commit(job, under, Effects(result=b"1" * 9_900_000)), Committed)


# ---- a server that cannot answer just now --------------------------------------------------------------------------


async def test_a_server_busy_with_a_script_of_somebody_else_is_unavailable_until_that_ends(server: RedisServer) -> None:
    server.call("CONFIG", "SET", "busy-reply-threshold", "10")
    async with store(server.url()) as on:
        job = await submitted(on, "a")
        under = await opened(on, job)
        endless = asyncio.create_task(asyncio.to_thread(server.evaluate, "while true do end"))
        while True:
            try:
                await on.record("t", "k", "none")
            except Unavailable as error:
                assert "busy with a script" in str(error)  # noqa: PT017  (until then, it may not have begun)
                break
        with pytest.raises(Unavailable, match="busy with a script"):
            await on.commit(job, under, NOTHING)
        await asyncio.to_thread(server.call, "SCRIPT", "KILL")
        with pytest.raises(RedisError, match="killed"):
            await endless
        assert isinstance(await on.commit(job, under, NOTHING), Committed)


@pytest.fixture
def reloading() -> Iterator[RedisServer]:
    started = start_server({"enable-debug-command": "local", "loading-process-events-interval-bytes": "1024"})
    yield started
    started.process.kill()


async def test_a_server_that_loads_its_data_is_unavailable_until_it_has(reloading: RedisServer) -> None:
    async with store(reloading.url()) as on:
        jobs = [await submitted(on, f"{number}", key=f"{number}", body=b"x" * 1_000) for number in range(300)]
        under = await opened(on, jobs[0])
        reloading.call("CONFIG", "SET", "key-load-delay", "2000")
        loaded = asyncio.create_task(asyncio.to_thread(reloading.call, "DEBUG", "RELOAD"))
        refusals = []
        while not loaded.done():
            try:
                await on.job("0")
            except Unavailable as error:
                refusals.append(str(error))
        await loaded
        assert any("still loading its data" in refusal for refusal in refusals)
        assert isinstance(await on.commit(jobs[0], under, NOTHING), Committed)
        assert (await on.counts()).keys == 300
