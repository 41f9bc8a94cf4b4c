"""Has processes work through jobs and kills each at a random moment; run by `test_crash.py`.

Arguments: the database, and how many processes. Each job logs one entry and submits its successor.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Granted, LeaseRef
from jobkit.ports.store import Committed, Duplicate, Effects, LogEntry, NewJob, Opened
from jobkit.testing.conformance.values import envelope

QUEUE = Partition("t", 0)
KEYS = 8


def job(key: str, number: int) -> NewJob:
    return NewJob(envelope(f"{key}-{number}", key=key), ordered=True)


async def work(path: str, name: str, progress: Callable[[], object]) -> None:
    """Work for ever, and call `progress` when it begins and after each job."""
    async with open_engine(path, SystemClock()) as engine:
        store, broker, coordinator = SqliteStore(engine), SqliteBroker(engine), SqliteCoordinator(engine)

        async def publish() -> None:
            entries = await store.outbox(older_than=-1, limit=1_000)
            await broker.publish([(QUEUE, entry.envelope) for entry in entries])
            await store.published([entry.position for entry in entries])

        async def do(message: Envelope) -> Receipt:
            key, number = message.key or "", int(message.id.partition("-")[2])
            # A dead process's lease is not waited for: the store alone has to keep the effects right.
            resource, nonce = f"t/{key}/{name}", f"{name}/{message.id}"
            claim = await coordinator.claim(resource, owner=name, nonce=nonce, ttl=60.0)
            assert isinstance(claim, Granted)
            under = Fence(claim.token, nonce, name)
            answer: object = await store.open(message, under)
            if isinstance(answer, Opened):
                effects = Effects(
                    entries=[LogEntry("did", str(number).encode())],
                    records={"last": str(number).encode()},
                    follow_ups=[job(key, number + 1)],
                )
                answer = await store.commit(message, under, effects)
            await coordinator.release(LeaseRef(resource, claim.token, nonce))
            assert isinstance(answer, Committed | Duplicate), answer
            return answer.receipt

        await broker.declare("t", 1)
        await store.submit([job(f"k{number}", 1) for number in range(KEYS)])
        progress()
        async with broker.consume(QUEUE, name) as consumer:
            while True:
                await publish()
                for delivery in await consumer.receive(100):
                    assert delivery.envelope
                    await consumer.ack(delivery, await do(delivery.envelope))
                    progress()


def kill_at_random(path: str, name: str, rng: random.Random) -> None:
    """Start one process, forked because that is fast, and kill it some time after it has begun, or done some jobs."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        asyncio.run(work(path, name, lambda: os.write(said, b".")))
    os.close(said)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        os.read(heard, 1)
    time.sleep(rng.uniform(0.0, 0.1))  # not a wait for anything: chance says where it is hit
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(heard)
    assert os.WIFSIGNALED(status), f"{name} ended by itself"


def main(path: str, processes: int) -> None:
    rng = random.Random(1)
    for number in range(processes):
        kill_at_random(path, f"process {number}", rng)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
