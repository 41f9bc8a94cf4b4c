"""What the broker and Redis allow one Python process, without leases, fences, order or deduplication: three ceilings.

Each is plain aio-pika on a quorum queue, with confirms and an ack after the work: publishing; consuming; and consuming
with two Redis scripts for each message, those of concurrent messages in one pipeline on one connection. Run as a
process of its own, as a worker is. It leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from jobkit.lab.bench.report import Ceilings

if TYPE_CHECKING:
    from redis.asyncio import Redis

_BATCH = 500
_PREFETCH = 250
_BODY = b'{"on":"key-1234"}'

# The least that a lease takes: a token that rises, and a holder with a time to live.
_CLAIM = """
local token = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return redis.call('SET', KEYS[1], token, 'NX', 'PX', ARGV[1]) and token or 0
"""
# And the least that a commit takes: the token is still the holder's, a result, and the end of the lease.
_COMMIT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return redis.call('DEL', KEYS[1])
"""
_LIFE_MILLISECONDS = 60_000

Work = Callable[[str], Awaitable[None]]


class Batches:
    """Scripts on one connection: all that are asked for while an answer is awaited make up the next pipeline."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._asked: list[tuple[str, tuple[Any, ...], asyncio.Future[Any]]] = []
        self._bell = asyncio.Event()
        self._task = asyncio.create_task(self._serve())

    async def run(self, sha: str, *arguments: Any) -> Any:
        """Run a script with two keys and return its answer."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((sha, arguments, answer))
        self._bell.set()
        return await answer

    async def aclose(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while True:
            await self._bell.wait()
            self._bell.clear()
            await asyncio.sleep(0)
            asked, self._asked = self._asked, []
            pipeline = self._redis.pipeline(transaction=False)
            for sha, arguments, _ in asked:
                pipeline.evalsha(sha, 2, *arguments)
            try:
                answers = await pipeline.execute()
            except Exception as error:  # noqa: BLE001  (it goes to the callers, who would wait for ever otherwise)
                for *_, answer in asked:
                    answer.set_exception(error)
            else:
                for (*_, answer), value in zip(asked, answers, strict=True):
                    answer.set_result(value)


async def measure(broker_url: str, redis_url: str | None, jobs: int) -> Ceilings:
    """Return what one process reaches with so many messages."""
    async with await aio_pika.connect(broker_url) as connection, connection.channel() as channel:
        name = f"jobkit-bench-{uuid4().hex}"
        queue = await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        try:
            published = await _publish(channel, name, jobs)
            consumed = await _consume(channel, queue, jobs, _nothing)
            if redis_url is None:
                return Ceilings(published, consumed, None)
            await _publish(channel, name, jobs)
            return Ceilings(published, consumed, await _consume_with_scripts(channel, queue, jobs, redis_url))
        finally:
            # Quorum queues know neither of the two conditions.
            await queue.delete(if_unused=False, if_empty=False)


async def _publish(channel: AbstractChannel, queue: str, jobs: int) -> float:
    started = time.perf_counter()
    for start in range(0, jobs, _BATCH):
        await asyncio.gather(
            *(
                channel.default_exchange.publish(
                    aio_pika.Message(
                        _BODY,
                        message_id=f"{number:036}",
                        type="bench",
                        content_type="application/json",
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    ),
                    queue,
                )
                for number in range(start, min(start + _BATCH, jobs))
            )
        )
    return jobs / (time.perf_counter() - started)


async def _nothing(_: str) -> None:
    pass


async def _consume(channel: AbstractChannel, queue: AbstractQueue, jobs: int, work: Work) -> float:
    left = jobs
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def take(message: AbstractIncomingMessage) -> None:
        nonlocal left
        try:
            await work(message.message_id or "")
            await message.ack()
        except Exception as error:
            # aio-pika only logs what a callback raises.
            if not done.done():
                done.set_exception(error)
            raise
        left -= 1
        if left == 0:
            done.set_result(None)

    await channel.set_qos(prefetch_count=_PREFETCH)
    started = time.perf_counter()
    tag = await queue.consume(take)
    await done
    seconds = time.perf_counter() - started
    await queue.cancel(tag)
    return jobs / seconds


async def _consume_with_scripts(channel: AbstractChannel, queue: AbstractQueue, jobs: int, redis_url: str) -> float:
    # Only here: a set-up without Redis needs no driver.
    from redis.asyncio import Redis

    async with Redis.from_url(redis_url, max_connections=1) as redis, aclosing(Batches(redis)) as batches:
        claim, commit = await redis.script_load(_CLAIM), await redis.script_load(_COMMIT)

        async def work(id: str) -> None:
            lease, token, result = (f"{{jobkit-bench}}:{kind}:{id}" for kind in ("lease", "token", "result"))
            granted = await batches.run(claim, lease, token, _LIFE_MILLISECONDS)
            await batches.run(commit, lease, result, granted, "null", _LIFE_MILLISECONDS)

        return await _consume(channel, queue, jobs, work)


def main() -> None:
    """Measure what stdin asks for, as JSON, and print the ceilings as JSON."""
    asked = json.load(sys.stdin)
    found = asyncio.run(measure(asked["broker_url"], asked["redis_url"], asked["jobs"]))
    json.dump(asdict(found), sys.stdout)


if __name__ == "__main__":
    main()
