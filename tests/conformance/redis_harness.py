"""Redis under the suites: the run's own server, emptied for each test.

Its clock cannot be moved. Time passes for a test by making everything in the database that much older, and by moving
the clock that the clients measure their waits with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobkit.backends.redis.coordinator import RedisCoordinator, open_coordinator
from jobkit.backends.redis.store import RedisStore, open_store
from jobkit.lab.servers.redis import empty_server
from jobkit.model.clock import SystemClock
from jobkit.ports.coordinator import Coordinator
from jobkit.testing.conformance.harness import FullStore, Harness

AGE_COORDINATOR = """
    local seconds = tonumber(ARGV[1])
    for _, lease in ipairs(redis.call('KEYS', '{jobkit}:lease:*')) do
        redis.call('PEXPIRE', lease, math.floor(redis.call('PTTL', lease) - 1000 * seconds))
    end
    for _, limit in ipairs(redis.call('KEYS', '{jobkit}:limit:*')) do
        for _, holder in ipairs(redis.call('ZRANGE', limit, 0, -1)) do
            redis.call('ZINCRBY', limit, -1000 * seconds, holder)
        end
        redis.call('PEXPIRE', limit, math.floor(redis.call('PTTL', limit) - 1000 * seconds))
    end
    for _, owners in ipairs({'members', 'waiting'}) do
        for _, owner in ipairs(redis.call('ZRANGE', '{jobkit}:' .. owners, 0, -1)) do
            redis.call('ZINCRBY', '{jobkit}:' .. owners, -1000 * seconds, owner)
        end
    end
"""
# An entry of a stream cannot be changed, so the stream is made anew.
AGE_STORE = """
    local seconds = tonumber(ARGV[1])
    local function age(row, field)
        local time = redis.call('HGET', row, field)
        if time then
            redis.call('HSET', row, field, string.format('%.6f', time - seconds))
        end
    end
    for _, row in ipairs(redis.call('KEYS', '{jobkit}:key:*')) do
        age(row, 'touched')
    end
    for _, log in ipairs(redis.call('KEYS', '{jobkit}:log:*')) do
        for place, packed in ipairs(redis.call('LRANGE', log, 0, -1)) do
            local entry = cmsgpack.unpack(packed)
            entry[6] = string.format('%.6f', entry[6] - seconds)
            redis.call('LSET', log, place - 1, cmsgpack.pack(entry))
        end
    end
    for _, identity in ipairs(redis.call('ZRANGE', '{jobkit}:coordinators', 0, -1)) do
        redis.call('ZINCRBY', '{jobkit}:coordinators', -seconds, identity)
    end
    for _, id in ipairs(redis.call('ZRANGE', '{jobkit}:jobs', 0, -1)) do
        age('{jobkit}:job:' .. id, 'retry_at')
        age('{jobkit}:job:' .. id, 'delayed_until')
    end
    for _, id in ipairs(redis.call('LRANGE', '{jobkit}:ended', 0, -1)) do
        age('{jobkit}:job:' .. id, 'finished_at')
        age('{jobkit}:job:' .. id, 'settled')
    end
    for _, id in ipairs(redis.call('ZRANGE', '{jobkit}:due', 0, -1)) do
        redis.call('ZINCRBY', '{jobkit}:due', -seconds, id)
    end
    for _, id in ipairs(redis.call('ZRANGE', '{jobkit}:undeclared', 0, -1)) do
        redis.call('ZINCRBY', '{jobkit}:undeclared', -seconds, id)
    end
    for _, row in ipairs(redis.call('KEYS', '{jobkit}:schedule:*')) do
        age(row, 'seen')
    end
    for _, name in ipairs(redis.call('ZRANGE', '{jobkit}:schedules_due', 0, -1)) do
        redis.call('ZINCRBY', '{jobkit}:schedules_due', -seconds, name)
        age('{jobkit}:schedule:' .. name, 'due')
    end
    for _, id in ipairs(redis.call('ZRANGE', '{jobkit}:expiring', 0, -1)) do
        redis.call('ZINCRBY', '{jobkit}:expiring', -seconds, id)
    end
    local entries = redis.call('XRANGE', '{jobkit}:outbox', '-', '+')
    redis.call('DEL', '{jobkit}:outbox')
    for _, entry in ipairs(entries) do
        entry[2][2] = string.format('%.6f', entry[2][2] - seconds)
        redis.call('XADD', '{jobkit}:outbox', entry[1], unpack(entry[2]))
    end
"""


class MovableClock(SystemClock):
    """The machine's clock, but for what a test has added to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@asynccontextmanager
async def redis_coordinator(name: str, directory: Path) -> AsyncIterator[Harness[Coordinator]]:
    server, clock = empty_server(), MovableClock()

    @asynccontextmanager
    async def process() -> AsyncIterator[RedisCoordinator]:
        coordinator = await open_coordinator(server.url(), clock)
        try:
            yield coordinator
        finally:
            await coordinator.aclose()

    async def elapse(seconds: float) -> None:
        await asyncio.to_thread(server.evaluate, AGE_COORDINATOR, seconds)
        clock.ahead += seconds

    yield Harness(process, elapse, 30.0)


@asynccontextmanager
async def redis_store(name: str, directory: Path) -> AsyncIterator[Harness[FullStore]]:
    server, clock = empty_server(), MovableClock()

    @asynccontextmanager
    async def process() -> AsyncIterator[RedisStore]:
        store = await open_store(server.url(), clock)
        try:
            yield store
        finally:
            await store.aclose()

    async def elapse(seconds: float) -> None:
        await asyncio.to_thread(server.evaluate, AGE_STORE, seconds)
        clock.ahead += seconds

    yield Harness(process, elapse, 30.0)
