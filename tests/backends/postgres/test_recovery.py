"""The server dies, restarts, hangs, or its answers are lost: what was answered stays true, and work goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncpg
import pytest

from jobkit.backends.postgres.store import PostgresStore
from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Effects, Known, LogEntry, NewJob, Opened
from jobkit.testing.conformance.values import NOTHING, committed, envelope, fence, submitted, unordered
from tests.backends.postgres.conftest import opened
from tests.lab.servers.postgres import TestServer

PATIENCE_SECONDS = 30.0


async def committed_in_the_end(store: PostgresStore, job: Envelope, under: Fence, effects: Effects) -> Committed:
    """Ask until there is an answer, as the runner does."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                answer = await store.commit(job, under, effects)
            except Unavailable:
                await asyncio.sleep(0.05)
                continue
            assert isinstance(answer, Committed)
            return answer


async def test_a_killed_server_has_all_that_was_answered_and_each_job_whole_or_not_at_all(
    mortal: TestServer,
) -> None:
    """single-effect, nothing-lost: killed with -9 in the middle of many commits, then started again."""
    async with mortal.own_database() as database, opened(mortal.url(database)) as store:
        jobs = [await submitted(store, f"j{n}", key=f"k{n % 20}") for n in range(200)]
        fences: dict[str, Fence] = {}
        answered: set[str] = set()
        many_are_answered = asyncio.Event()

        def effects(job: Envelope) -> Effects:
            follow = NewJob(envelope(f"after {job.id}", type="next"), ordered=False)
            return Effects(
                result=f'"{job.id}"'.encode(),
                records={job.id: b"1"},
                entries=[LogEntry("a", b"1"), LogEntry("b", b"2")],
                follow_ups=[follow],
            )

        async def work(key: int) -> None:
            for job in jobs[key::20]:
                under = fences[job.id] = fence()
                assert isinstance(await store.open(job, under), Opened)
                assert isinstance(await store.commit(job, under, effects(job)), Committed)
                answered.add(job.id)
                if len(answered) >= 40:
                    many_are_answered.set()

        async with asyncio.timeout(PATIENCE_SECONDS):
            workers = [asyncio.create_task(work(key)) for key in range(20)]
            await many_are_answered.wait()
            await asyncio.to_thread(mortal.kill)
            for ended in await asyncio.gather(*workers, return_exceptions=True):
                assert isinstance(ended, Unavailable)
        assert len(answered) < len(jobs)
        await asyncio.to_thread(mortal.start)

        async with opened(mortal.url(database)) as anew:
            # Without anybody's help the store that was there before works again too.
            for job in jobs:
                record = await store.job(job.id)
                assert record
                entries = [entry for entry in await anew.log("t", job.key or "") if entry.job_id == job.id]
                follow = await anew.job(f"after {job.id}")
                whole = record.state is JobState.COMMITTED
                assert whole or job.id not in answered
                assert [entry.kind for entry in entries] == (["a", "b"] if whole else [])
                assert (await anew.record("t", job.key or "", job.id) is not None) == whole
                assert (follow is not None) == whole
                assert record.result == (f'"{job.id}"'.encode() if whole else None)
            counts = await anew.counts()
            records = await anew.jobs(limit=10_000)
            assert counts.jobs == {state: sum(record.state is state for record in records) for state in JobState}
            assert counts.outbox == len(await anew.outbox(older_than=-1, limit=10_000))
            for job in jobs:
                if (asked := fences.get(job.id)) and (record := await anew.job(job.id)) and record.opens:
                    await committed_in_the_end(anew, job, asked, effects(job))


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_a_store_works_again_by_itself_after_its_server_was_away(mortal: TestServer, how: str) -> None:
    async with mortal.own_database() as database, opened(mortal.url(database)) as store:
        job = await submitted(store, "a")
        under = fence()
        await store.open(job, under)
        waiting = asyncio.create_task(store.wait_finished(["a"], 3600))
        await store.counts()
        await asyncio.to_thread(mortal.kill if how == "kill" else mortal.stop)
        for call in (store.open(job, under), store.counts(), store.submit([NewJob(envelope("b"), ordered=True)])):
            with pytest.raises(Unavailable):
                await call
        await asyncio.to_thread(mortal.start)
        await committed_in_the_end(store, job, under, NOTHING)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(Unavailable):
                await waiting
        assert (await store.counts()).jobs[JobState.COMMITTED] == 1


async def test_a_paused_server_costs_a_bounded_wait_and_what_was_asked_for_may_still_happen(
    mortal: TestServer,
) -> None:
    async with mortal.own_database() as database, opened(mortal.url(database), call_seconds=0.5) as store:
        job = await unordered(store, "a")
        under = fence()
        await store.open(job, under)
        mortal.pause()
        try:
            async with asyncio.timeout(8):
                with pytest.raises(Unavailable):
                    await store.commit(job, under, NOTHING)
        finally:
            mortal.resume()
        await committed_in_the_end(store, job, under, NOTHING)
        assert [record.state for record in await store.jobs()] == [JobState.COMMITTED]


async def test_a_commit_whose_answer_was_lost_is_answered_the_same_when_asked_again(
    server: TestServer, database: str, proxy: Proxy
) -> None:
    """single-effect: and the follow-ups that it released come with the answer."""
    async with opened(server.url(database, port=proxy.port)) as near, opened(server.url(database)) as far:
        # So that a connection is there, and the statement is prepared on it.
        await committed(near, await unordered(near, "before", key="other"))
        job = await submitted(near, "a")
        under = fence()
        await near.open(job, under)
        effects = Effects(entries=[LogEntry("x", b"1")], follow_ups=[NewJob(envelope("b", type="next"), ordered=True)])
        proxy.hold("down")
        commit = asyncio.create_task(near.commit(job, under, effects))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await far.job("a")).state is not JobState.COMMITTED:  # type: ignore[union-attr]
                continue
        assert not commit.done()
        proxy.cut()
        with pytest.raises(Unavailable):
            await commit
        proxy.heal()
        answer = await committed_in_the_end(near, job, under, effects)
        assert [entry.envelope.id for entry in answer.outbox] == ["b"]
        assert len(await far.log("t", "k")) == 1
        # The follow-up; what has ended has left the outbox.
        assert (await far.counts()).outbox == 1


async def test_a_submit_whose_answer_was_lost_is_known_when_asked_again(
    server: TestServer, database: str, proxy: Proxy
) -> None:
    async with opened(server.url(database, port=proxy.port)) as near, opened(server.url(database)) as far:
        # So that a connection is there.
        await submitted(near, "a")
        job = NewJob(envelope("b"), ordered=True)
        proxy.hold("down")
        submit = asyncio.create_task(near.submit([job]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await far.job("b") is None:
                continue
        proxy.cut()
        with pytest.raises(Unavailable):
            await submit
        proxy.heal()
        (answer,) = await near.submit([job])
        assert isinstance(answer, Known)
        assert answer.envelope.sequence == 2
        assert (await far.counts()).outbox == 2


async def test_commits_are_durable_whatever_the_database_is_set_to(server: TestServer, own_database: str) -> None:
    await server.execute(f"ALTER DATABASE {own_database} SET synchronous_commit = off", database=own_database)
    async with opened(server.url(own_database)) as store:
        seen = []

        async def look(connection: asyncpg.Connection[asyncpg.Record]) -> None:
            seen.append(await connection.fetchval("SHOW synchronous_commit"))

        job = await unordered(store, "a")
        under = fence()
        await store.open(job, under)
        await store.commit_with(job, under, NOTHING, [look])
        assert seen == ["on"]


async def test_connections_that_the_server_ended_are_replaced(
    server: TestServer, url: str, database: str, store: PostgresStore
) -> None:
    job = await submitted(store, "a")
    for _ in range(3):
        await server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with suppress(Unavailable):
                    assert isinstance(await store.open(job, fence()), Opened)
                    break
