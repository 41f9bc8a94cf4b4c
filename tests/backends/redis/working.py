"""Workers that commit jobs of some keys until their server is gone, and what must be so of each key afterwards."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from jobkit.backends.redis.store import RedisStore
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Duplicate, Effects, LogEntry, NewJob, Opened
from jobkit.testing.conformance.values import envelope


class Astray(Exception):
    """The store has forgotten what it told: only one that lost its last moments does."""


@dataclass
class Key:
    """What the worker of one key was told."""

    name: str
    accepted: list[str] = field(default_factory=list)
    committed: list[str] = field(default_factory=list)
    token: int = 0


def effects_of(job: Envelope) -> Effects:
    """Return effects of every kind, all of which tell the job."""
    told = job.id.encode()
    follow_up = NewJob(envelope(f"after {job.id}", type="after", key=job.key), ordered=True)
    return Effects(
        result=told,
        records={"first": told, "second": told},
        entries=[LogEntry("first", told), LogEntry("second", told)],
        follow_ups=[follow_up],
    )


async def work(on: RedisStore, key: Key, rng: random.Random, over: asyncio.Event | None = None) -> None:
    """Submit and commit jobs of a key until the server is gone, which raises, or until it is over."""
    while over is None or not over.is_set():
        job = envelope(f"{key.name}/{len(key.accepted)}/{rng.getrandbits(40)}", key=key.name)
        await on.submit([NewJob(job, ordered=True)])
        key.accepted.append(job.id)
        for record in reversed(await on.jobs(type="t", key=key.name, limit=20)):
            if not record.state.ended:
                await commit_one(on, key, Envelope(record.id, "t", b"{}", record.key, record.sequence))


async def commit_one(on: RedisStore, key: Key, job: Envelope) -> None:
    key.token += 1
    under = Fence(key.token, f"n{key.token}", "me")
    answer = await on.open(job, under)
    if not isinstance(answer, Opened | Duplicate):
        raise Astray(answer)
    if isinstance(await on.commit(job, under, effects_of(job)), Committed):
        key.committed.append(job.id)


async def check(on: RedisStore, key: Key, *, lossless: bool = True) -> None:
    """See that each job of the key is as it was, or committed with all its effects; if `lossless`, none is lost."""
    log = await on.log("t", key.name, limit=100_000)
    done = [entry.job_id for entry in log if entry.kind == "first"]
    assert [entry.job_id for entry in log if entry.kind == "second"] == done
    assert len(set(done)) == len(done)
    jobs = {job.id: job for job in await on.jobs(type="t", key=key.name, limit=100_000)}
    if lossless:
        assert set(key.accepted) <= set(jobs)
        assert set(key.committed) <= set(done)
    assert {id for id, job in jobs.items() if job.state is JobState.COMMITTED} == set(done)
    assert all(jobs[id].result == id.encode() for id in done)
    last = done[-1].encode() if done else None
    assert [await on.record("t", key.name, name) for name in ("first", "second")] == [last, last]
    after = {job.id for job in await on.jobs(type="after", key=key.name, limit=100_000)}
    assert after == {f"after {id}" for id in done}
    published = [entry.envelope.id for entry in await on.outbox(older_than=-1, limit=100_000)]
    assert {id for id in published if id.startswith(f"after {key.name}/")} == after
    row = await on.key("t", key.name)
    assert row
    assert row.log_length == len(log)
    # What was lost may have been given up.
    assert row.committed_sequence == len(done) if lossless else row.committed_sequence >= len(done)
