"""Many workers at once, each with connections of its own: one mark at a time, no deadlock, right counts."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

import asyncpg
import pytest

from jobkit.backends.postgres.pool import ASIDE_CONNECTIONS, WORK_CONNECTIONS
from jobkit.backends.postgres.store import PostgresStore
from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Committed, Effects, Gap, Known, LogEntry, NewJob, Opened, Refused, Stale
from jobkit.testing.conformance.values import NOTHING, envelope, fence, submitted, unordered
from tests.backends.postgres.conftest import opened

WORKERS = 50


async def _stores(stack: AsyncExitStack, url: str, count: int) -> list[PostgresStore]:
    return [await stack.enter_async_context(opened(url)) for _ in range(count)]


async def _deadlocks(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        # What the backends counted is told with a delay, except at their end or when asked for.
        await connection.execute("SELECT pg_stat_force_next_flush()")
        return int(
            await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("known", [True, False])
async def test_of_fifty_workers_that_open_one_key_at_once_each_sees_a_mark_that_only_rises(
    url: str, known: bool
) -> None:
    """fencing: whoever is told `Opened` had the highest token so far, and only the last of them can commit."""
    async with AsyncExitStack() as stack:
        stores = await _stores(stack, url, WORKERS)
        # Half of them hold a token that somebody else holds too, as after a coordinator lost its data.
        fences = [Fence(1 + n // 2, f"nonce-{n}", f"worker-{n}") for n in range(WORKERS)]
        random.Random(7).shuffle(fences)
        job = await unordered(stores[0], "a") if known else envelope("a")
        answers = await asyncio.gather(*(store.open(job, fence) for store, fence in zip(stores, fences, strict=True)))
        winners = [fence for fence, answer in zip(fences, answers, strict=True) if isinstance(answer, Opened)]
        losers = {fence: answer for fence, answer in zip(fences, answers, strict=True) if fence not in winners}
        for loser, answer in losers.items():
            assert isinstance(answer, Stale)
            assert answer.mark >= loser.token
        tokens = [winner.token for winner in winners]
        assert len(set(tokens)) == len(tokens)
        # The n-th to open it was told that it was the n-th.
        opens = {winner.token: answer.opens for winner, answer in zip(
            winners, (answer for answer in answers if isinstance(answer, Opened)), strict=True
        )}  # fmt: skip
        assert [opens[token] for token in sorted(tokens)] == list(range(1, len(tokens) + 1))
        commits = await asyncio.gather(
            *(store.commit(job, fence, NOTHING) for store, fence in zip(stores, fences, strict=True))
        )
        assert sum(isinstance(answer, Committed) for answer in commits) == 1
        highest = max(winners, key=lambda winner: winner.token)
        assert isinstance(commits[fences.index(highest)], Committed)
        key = await stores[0].key("t", "k")
        assert key
        assert (key.token, key.nonce) == (highest.token, highest.nonce)


async def test_ordered_keys_that_many_work_on_at_once_go_in_order_and_follow_ups_in_circles_lock_nobody_out(
    url: str,
) -> None:
    """order, single-effect: with jobs of each key submitting to the others' keys, in transactions of many."""
    keys, rounds = [f"k{n}" for n in range(12)], 6
    async with AsyncExitStack() as stack:
        stores = await _stores(stack, url, 4)
        rng = random.Random(11)
        tokens = iter(range(1, 1_000_000))
        todo: asyncio.Queue[Envelope] = asyncio.Queue()
        for key in keys:
            todo.put_nowait(await submitted(stores[0], f"{key}/0", key=key))
        done: Counter[str] = Counter()
        expected = len(keys) * rounds

        async def work(store: PostgresStore) -> None:
            while True:
                job = await todo.get()
                fence = Fence(next(tokens), f"n{rng.random()}", "w")
                answer = await store.open(job, fence)
                if not isinstance(answer, Opened):
                    assert isinstance(answer, Gap | Stale)
                    todo.put_nowait(job)
                    continue
                step = int(job.id.rpartition("/")[2])
                other = keys[(keys.index(job.key or "") + 5) % len(keys)]
                follow = NewJob(envelope(f"{job.id.partition('/')[0]}/{step + 1}", key=other), ordered=True)
                effects = Effects(follow_ups=[follow] if step + 1 < rounds else [], entries=[LogEntry("did", b"1")])
                committed = await store.commit(job, fence, effects)
                if isinstance(committed, Refused):
                    todo.put_nowait(job)
                    continue
                assert isinstance(committed, Committed)
                done[job.id] += 1
                for entry in committed.outbox:
                    todo.put_nowait(entry.envelope)
                if sum(done.values()) == expected:
                    finished.set()

        finished = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work(stores[n % 4])) for n in range(40)]
            async with asyncio.timeout(60):
                await finished.wait()
            for worker in workers:
                worker.cancel()
        assert set(done.values()) == {1}
        for key in keys:
            log = await stores[0].log("t", key)
            assert [entry.sequence for entry in log] == list(range(1, rounds + 1))
    assert await _deadlocks(url) == 0


async def test_two_jobs_that_submit_to_each_others_keys_commit_at_once_without_a_deadlock(url: str) -> None:
    pairs = [(f"a{n}", f"b{n}") for n in range(60)]
    async with AsyncExitStack() as stack:
        stores = await _stores(stack, url, 2)
        commits = []
        for pair in pairs:
            for store, own, other in zip(stores, pair, reversed(pair), strict=True):
                job = await submitted(store, own, key=own)
                under = fence()
                await store.open(job, under)
                follow = NewJob(envelope(f"from {own}", key=other), ordered=True)
                commits.append(store.commit(job, under, Effects(follow_ups=[follow])))
        answers = await asyncio.gather(*commits)
        assert all(isinstance(answer, Committed) for answer in answers)
    assert await _deadlocks(url) == 0


async def test_batches_that_overlap_in_another_order_are_accepted_once_and_without_a_deadlock(url: str) -> None:
    async with AsyncExitStack() as stack:
        stores = await _stores(stack, url, 8)
        batch = [NewJob(envelope(f"j{n}", key=f"k{n % 5}"), ordered=n % 3 != 0) for n in range(60)]
        for _ in range(5):
            shuffled = [random.Random(n).sample(batch, len(batch)) for n in range(len(stores))]
            answers = await asyncio.gather(*(store.submit(jobs) for store, jobs in zip(stores, shuffled, strict=True)))
            kinds = Counter(type(answer) for answer in (one for many in answers for one in many))
            assert set(kinds) <= {Accepted, Known}
        jobs = await stores[0].jobs(limit=1_000)
        assert Counter(job.id for job in jobs) == Counter(job.envelope.id for job in batch)
        for key in {job.key for job in jobs}:
            sequences = sorted(job.sequence for job in jobs if job.key == key and job.sequence is not None)
            assert sequences == list(range(1, len(sequences) + 1))
        assert (await stores[0].counts()).outbox == len(batch)
    assert await _deadlocks(url) == 0


async def test_a_follow_up_that_conflicts_fails_its_own_job_only(store: PostgresStore) -> None:
    """nothing of the one is written, all of the others, though they were sent together."""
    await unordered(store, "taken", key="elsewhere")
    jobs = [await submitted(store, f"j{n}", key=f"k{n}") for n in range(10)]
    fences = [fence() for _ in jobs]
    await asyncio.gather(*(store.open(job, under) for job, under in zip(jobs, fences, strict=True)))

    def effects(number: int) -> Effects:
        follow = envelope("taken" if number == 4 else f"after {number}", key="other")
        return Effects(records={"n": b"1"}, entries=[LogEntry("x", b"1")], follow_ups=[NewJob(follow, ordered=True)])

    answers = await asyncio.gather(
        *(store.commit(job, under, effects(n)) for n, (job, under) in enumerate(zip(jobs, fences, strict=True))),
        return_exceptions=True,
    )
    refused = answers.pop(4)
    assert isinstance(refused, JobConflict)
    assert "j4" in str(refused)
    assert "taken" in str(refused)
    assert all(isinstance(answer, Committed) for answer in answers)
    assert await store.record("t", "k4", "n") is None
    assert await store.log("t", "k4") == []
    record = await store.job("j4")
    assert record
    assert record.state is JobState.RUNNING
    assert isinstance(await store.commit(jobs[4], fences[4], NOTHING), Committed)


async def test_calls_share_round_trips_and_connections_are_bounded(
    url: str, database: str, store: PostgresStore
) -> None:
    count = 400
    jobs = [await submitted(store, f"j{n}", key=f"k{n}") for n in range(count)]
    before = store.round_trips
    await asyncio.gather(*(store.open(job, fence()) for job in jobs), *(store.counts() for _ in range(20)))
    assert store.round_trips - before <= 20 + count / 20
    connection = await asyncpg.connect(url)
    try:
        open_now = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'jobkit'", database
        )
    finally:
        await connection.close()
    # And one for the notifier.
    assert 1 < open_now <= WORK_CONNECTIONS + ASIDE_CONNECTIONS + 1


async def test_nothing_stays_open_once_a_store_is_closed(url: str, database: str) -> None:
    async with opened(url) as store:
        await submitted(store, "a")
        await store.wait_finished(["a"], 0.0)
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(10):
            while await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'jobkit'", database
            ):
                continue
    finally:
        await connection.close()
