"""Waits for a job or for a message in a process of its own; run by `test_notifier.py`.

It polls so seldom that only a bell can have woken it. Prints "ready" before it waits, and "woken" after.
"""

from __future__ import annotations

import asyncio
import sys

from jobkit.backends.sqlite import notifier
from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.engine import open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition


async def wait(path: str, what: str) -> None:
    notifier.POLL_SECONDS = 3600.0
    async with open_engine(path, SystemClock()) as engine:
        store, broker = SqliteStore(engine), SqliteBroker(engine)
        await store.outbox(older_than=-1, limit=1)
        if what == "queue":
            async with broker.consume(Partition("t", 0), "child") as consumer:
                print("ready", flush=True)
                await consumer.receive(1)
        else:
            print("ready", flush=True)
            await store.wait_finished(["a"], 3600)
        print("woken", flush=True)


if __name__ == "__main__":
    asyncio.run(wait(sys.argv[1], sys.argv[2]))
