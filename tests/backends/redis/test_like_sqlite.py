"""Long random histories on Redis and on SQLite side by side: each answer is the same, and so is what is left behind."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from jobkit.backends.redis.store import open_store
from jobkit.backends.sqlite.connection import MEMORY
from jobkit.backends.sqlite.engine import open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.errors import JobConflict
from jobkit.lab.servers.redis import RedisServer
from jobkit.model.blob import BlobRef
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.store import (
    Accepted,
    Committed,
    Conflict,
    Duplicate,
    Effects,
    Gap,
    Known,
    LogEntry,
    NewJob,
    Opened,
    Refused,
    Stale,
    Superseded,
)
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.manual_clock import ManualClock
from jobkit.testing.conformance.values import failure
from tests.conformance.redis_harness import AGE_STORE

STEPS = 700
TYPES, KEYS = ("t", "u"), ("a", "a/b", "é", None)
# Nothing is kept of these but their marks, so that they can be forgotten.
LOOSE_KEYS = ("loose", "looser")
# What the two need not agree on: times, and how positions and letters are counted.
UNLIKE = {"position", "number", "submitted_at", "started_at", "finished_at", "died_at", "since", "at"}


def comparable(value: Any) -> Any:
    """Return a value without what the two stores need not agree on."""
    if isinstance(value, Receipt):
        return ("Receipt", value.job_id, value.kind)
    if isinstance(value, Exception):
        return (type(value).__name__, str(value))
    if is_dataclass(value):
        told = {field.name: comparable(getattr(value, field.name)) for field in fields(value) if field.compare}
        return (type(value).__name__, {name: told[name] for name in told if name not in UNLIKE})
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    return value


async def snapshot(store: FullStore) -> dict[str, Any]:
    """Return all of a store that anybody can see."""
    keys = await store.keys(limit=10_000)
    seen = comparable(
        {
            "jobs": await store.jobs(limit=10_000),
            "running": await store.jobs(state=JobState.RUNNING, limit=3),
            "of a key": await store.jobs(type="t", key="a", limit=5),
            "committed": await store.jobs(state=JobState.COMMITTED, limit=7),
            # One that was never opened is held to the floor, of whenever that is.
            "keys": [key if key.nonce else replace(key, token=0) for key in keys],
            "other keys": [(key.type, key.key) for key in await store.keys(after=("t", "a"), limit=3)],
            "logs": [await store.log(key.type, key.key, after=2, limit=50) for key in keys],
            "records": [await store.record(key.type, key.key, name) for key in keys for name in "xyz"],
            "outbox": await store.outbox(older_than=-1, limit=10_000),
            "dead": await store.dead(limit=10_000),
            "dead of a type": await store.dead(type="u", limit=4),
            "gaps": sorted(await store.gaps(), key=lambda gap: (gap.type, gap.key)),
            "counts": await store.counts(),
            "shelved": [await store.shelved(Partition("t", index), limit=10_000) for index in range(2)],
        }
    )
    assert isinstance(seen, dict)
    return seen


class History:
    """Draws one step after another; a step is carried out on each store."""

    def __init__(self, seed: int, elapse: Callable[[FullStore], Awaitable[Any]]) -> None:
        self.elapse = elapse
        self.rng = random.Random(seed)
        self.accepted: list[Envelope] = []
        self.seen: set[type] = set()
        self.token = 1

    def fence(self) -> Fence:
        """Mostly the newest, so that something gets done."""
        if self.rng.random() < 0.35:
            self.token += 1
        token = self.token if self.rng.random() < 0.85 else self.rng.randint(1, self.token + 1)
        return Fence(token, f"n{token}{self.rng.choice('aaaaab')}", "me")

    def id(self) -> str:
        return f"job {self.rng.randint(0, 60)}"

    def any_envelope(self) -> Envelope:
        """One that was never accepted here, perhaps; of a foreign publisher, or with a body that conflicts."""
        key = self.rng.choice(KEYS if self.rng.random() < 0.8 else LOOSE_KEYS)
        sequence = self.rng.choice([None, None, 1, 2, 3, self.rng.randint(1, 30), 2**62])
        return Envelope(
            id=self.id(),
            type=self.rng.choice(TYPES),
            key=key,
            body=self.rng.choice([b"{}", b"{}", b"\xff\x00"]),
            sequence=None if key in LOOSE_KEYS else sequence,
            trace=self.rng.choice([{}, {"traceparent": "00-ab-cd-01"}, {"a": "b", "traceparent": "x"}]),
            submitted_at=1.5,
        )

    def envelope(self) -> Envelope:
        if self.accepted and self.rng.random() < 0.85:
            return self.rng.choice(self.accepted[-25:])
        return self.any_envelope()

    def with_key(self) -> Envelope:
        job = self.envelope()
        return job if job.key is not None else job.with_key(self.rng.choice([key for key in KEYS if key]))

    def new_job(self) -> NewJob:
        job = replace(self.any_envelope(), sequence=None)
        return NewJob(job, ordered=job.key in KEYS[:-1] and self.rng.random() < 0.7)

    def effects(self) -> Effects:
        many = self.rng.randint
        return Effects(
            result=b"%d" % many(0, 9),
            records={name: b"%d" % many(0, 9) for name in self.rng.sample("xyz", many(0, 2))},
            entries=[LogEntry(f"kind {many(0, 9)}", b"{}") for _ in range(many(0, 2))],
            follow_ups=[self.new_job() for _ in range(many(0, 2) if self.rng.random() < 0.4 else 0)],
            blobs=[BlobRef("b", f"at {many(0, 9)}", 1, "ab")] if self.rng.random() < 0.2 else [],
        )

    def step(self) -> tuple[str, Callable[[FullStore], Awaitable[Any]]]:
        """Return a step; what is random in it is drawn before, and the same for both."""
        job, fence, number, effects = self.with_key(), self.fence(), self.rng.randint(1, 12), self.effects()
        effects = Effects() if job.key in LOOSE_KEYS else effects
        type, key = self.rng.choice(TYPES), self.rng.choice([key for key in KEYS if key])
        new = [self.new_job() for _ in range(self.rng.randint(1, 3))]
        # Only what was accepted is ever parked: all else is found to be in conflict before.
        ordered = self.rng.choice([known for known in self.accepted[-40:] if known.sequence] or [None])
        raw = self.rng.choice([None, self.envelope()])
        before = self.rng.randint(1, 12)
        age, kept = self.rng.choice([(500, 10**9), (2_500, 10**9), (10**9, 20)])

        async def take_out(store: FullStore) -> object:
            entries = await store.outbox(older_than=-1, limit=1_000)
            await store.published([entry.position for entry in entries[::number]])
            return entries

        async def letter(store: FullStore) -> int:
            letters = await store.dead(limit=1_000)
            return letters[number % len(letters)].number if letters else 1_000_000

        async def requeue(store: FullStore) -> object:
            return await store.requeue_dead(await letter(store))

        async def purge(store: FullStore) -> object:
            return await store.purge_dead(await letter(store))

        async def one_letter(store: FullStore) -> object:
            return await store.dead_letter(await letter(store))

        async def park(store: FullStore) -> object:
            if ordered is None or await is_another(store, ordered):
                return None
            return await store.park(ordered, reason=f"r{number}")

        async def commit(store: FullStore) -> object:
            return None if await is_another(store, job) else await store.commit(job, fence, effects)

        async def do(store: FullStore) -> object:
            return [await store.open(job, fence), await commit(store)]

        async def bury_message(store: FullStore) -> object:
            packed = b"raw" if raw is None else raw.pack()
            return await store.bury_message(packed, raw, reason=f"why {number % 2}", detail="d")

        steps: dict[str, tuple[int, Callable[[FullStore], Awaitable[Any]]]] = {
            "submit": (12, lambda store: store.submit(new)),
            "open": (20, lambda store: store.open(job, fence)),
            "commit": (10, commit),
            "do": (30, do),
            "fail": (6, lambda store: store.fail(job, fence, failure(number))),
            "bury": (5, lambda store: store.bury(job, fence, reason="hopeless", detail="d")),
            "bury message": (3, bury_message),
            "park": (10, park),
            "shelve": (6, lambda store: store.shelve(job, Partition("t", number % 2))),
            "progress": (4, lambda store: store.progress(job, fence, fraction=number / 100, message="m")),
            "requeue": (6, requeue),
            "purge": (2, purge),
            "resume": (2, lambda store: store.resume_gap(type, key)),
            "skip": (2, lambda store: store.skip_gap(type, key, before=before)),
            "take out": (4, take_out),
            "job": (2, lambda store: store.job(job.id)),
            "letter": (1, one_letter),
            "key": (1, lambda store: key_of(store, type, key)),
            "read": (2, lambda store: store.outbox(older_than=500, limit=number)),
            "prune": (3, lambda store: store.prune(older_than=age, keep_at_most=kept, batch=number)),
            "elapse": (2, self.elapse),
        }
        (name,) = self.rng.choices(list(steps), [weight for weight, _ in steps.values()])
        return name, steps[name][1]

    def note(self, answer: Any) -> None:
        """Remember which answers there were, and what was accepted, to go on with it."""
        answers = answer if isinstance(answer, list) else [answer]
        self.seen |= {type(item) for item in answers}
        self.accepted += [item.envelope for item in answers if isinstance(item, Accepted)]


async def is_another(store: FullStore, job: Envelope) -> bool:
    """Return whether the id is known on another key. Opening, which comes before, says then that it is in conflict."""
    known = await store.job(job.id)
    return known is not None and (known.type, known.key or job.key) != (job.type, job.key)


async def key_of(store: FullStore, type: str, key: str) -> object:
    found = await store.key(type, key)
    return found and (found if found.nonce else replace(found, token=0))


@asynccontextmanager
async def both(server: RedisServer, clock: ManualClock) -> AsyncIterator[tuple[FullStore, FullStore]]:
    async with open_engine(MEMORY, clock, boot="this boot") as engine:
        redis = await open_store(server.url(), SystemClock())
        try:
            yield SqliteStore(engine), redis
        finally:
            await redis.aclose()


async def outcome(step: Callable[[FullStore], Awaitable[Any]], store: FullStore) -> Any:
    try:
        return await step(store)
    except (ValueError, JobConflict) as error:
        return error


@pytest.mark.parametrize("seed", range(8, 24 if "CAMPAIGN" in os.environ else 12))
async def test_every_history_goes_as_on_sqlite(server: RedisServer, seed: int) -> None:
    await live(server, seed)


async def live(server: RedisServer, seed: int) -> None:
    """Live through one history."""
    clock = ManualClock()
    async with both(server, clock) as (sqlite, redis):

        async def elapse(store: FullStore) -> None:
            if store is sqlite:
                clock.advance(1_000)
            else:
                server.evaluate(AGE_STORE, 1_000)

        history = History(seed, elapse)
        for number in range(STEPS):
            # No two jobs end in the same moment, so that it is clear which goes first.
            clock.advance(0.001)
            name, step = history.step()
            expected, found = await outcome(step, sqlite), await outcome(step, redis)
            assert comparable(found) == comparable(expected), (number, name)
            history.note(found)
            if number % 20 == 0:
                assert await snapshot(redis) == await snapshot(sqlite), (number, name)
        assert await snapshot(redis) == await snapshot(sqlite)
    # Else the histories would have become tame.
    assert history.seen >= {Opened, Duplicate, Gap, Stale, Committed, Refused, Accepted, Receipt}
    assert len(history.seen & {Known, Conflict, Superseded}) >= 2
