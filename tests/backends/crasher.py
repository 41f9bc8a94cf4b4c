"""Dies at one point of an operation after another; run by `test_crash.py`.

For each operation, and for each SQLite statement it consists of, the process forks; the child opens a copy of a
prepared database, begins the operation and ends without warning just before that statement is carried out. The last
child of each operation ends right after the operation. What is on disk then is for the test to judge.

Everything is deterministic, so that the databases of two children may be compared row by row.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path

import anyio
import anyio.to_thread

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.model.blob import BlobRef
from jobkit.model.partition import Partition
from jobkit.ports.coordinator import LeaseRef
from jobkit.ports.store import Effects, LogEntry, NewJob
from jobkit.testing.conformance.manual_clock import ManualClock
from jobkit.testing.conformance.values import committed, envelope, failure, fence, opened, submitted

HERE = Partition("t", 0)
UNDER = fence(50, "n50", "me")
EFFECTS = Effects(
    result=b"[1]",
    records={"one": b"1", "two": b"2"},
    entries=[LogEntry("x", b"1"), LogEntry("y", b"2")],
    follow_ups=[NewJob(envelope("next 1"), True), NewJob(envelope("next 2", key="other"), False)],
    blobs=[BlobRef("b", "t/k/50-n50/b", 1, "ab")],
)
FIRST, SECOND, THIRD = (envelope(id, sequence=number) for number, id in enumerate(("a", "b", "c"), start=1))


class Planes:
    """The planes of one process."""

    def __init__(self, engine: Engine) -> None:
        self.store = SqliteStore(engine)
        self.broker = SqliteBroker(engine)
        self.coordinator = SqliteCoordinator(engine)


async def prepare(planes: Planes) -> None:
    """Bring the database to where every operation finds something to do."""
    store = planes.store
    await planes.broker.declare("t", 2)
    await planes.broker.publish([(HERE, envelope(id)) for id in "abc"])
    await planes.coordinator.claim("held", owner="me", nonce="n", ttl=100.0)
    for id in "abc":
        await submitted(store, id)
    for number, id in enumerate("xyz"):
        await committed(store, await submitted(store, id, key="done"), under=fence(number + 1))
    dead = await submitted(store, "dead", key="dying")
    await store.bury(dead, await opened(store, dead, fence(9)), reason="hopeless")
    await store.open(THIRD, fence(10, "n10"))
    await store.park(THIRD, reason="gap")
    await store.open(SECOND, fence(11, "n11"))
    await store.park(SECOND, reason="gap")
    await store.open(FIRST, UNDER)
    await store.shelve(FIRST, HERE)


OPERATIONS: Mapping[str, Callable[[Planes], Awaitable[object]]] = {
    "submit": lambda planes: planes.store.submit([NewJob(envelope(f"new {n}", key="new"), True) for n in range(3)]),
    "open": lambda planes: planes.store.open(FIRST, fence(60, "n60")),
    "commit": lambda planes: planes.store.commit(FIRST, UNDER, EFFECTS),
    "fail": lambda planes: planes.store.fail(FIRST, UNDER, failure(1)),
    "bury": lambda planes: planes.store.bury(FIRST, UNDER, reason="hopeless"),
    "bury_message": lambda planes: planes.store.bury_message(FIRST.pack(), FIRST, reason="why"),
    "shelve": lambda planes: planes.store.shelve(SECOND, HERE),
    "requeue_dead": lambda planes: planes.store.requeue_dead(1),
    "resume_gap": lambda planes: planes.store.resume_gap("t", "k"),
    "skip_gap": lambda planes: planes.store.skip_gap("t", "k", before=3),
    "prune": lambda planes: planes.store.prune(older_than=-1, keep_at_most=0),
    "publish": lambda planes: planes.broker.publish([(HERE, envelope(f"p{n}")) for n in range(3)]),
    "declare": lambda planes: planes.broker.declare("u", 3),
    "claim": lambda planes: planes.coordinator.claim("free", owner="me", nonce="n", ttl=10.0),
    "release": lambda planes: planes.coordinator.release(LeaseRef("held", 1, "n")),
}


def die() -> None:
    os._exit(1)


class Fuse:
    """Counts the statements that SQLite carries out, and ends the process before the n-th."""

    def __init__(self, statements: int) -> None:
        self._left = statements

    def burn(self, _statement: str) -> None:
        if self._left == 0:
            die()
        self._left -= 1


async def prepared(path: Path) -> None:
    async with open_engine(str(path), ManualClock(), boot="this boot") as engine:
        await prepare(Planes(engine))


async def live_and_die(path: Path, operation: str, statements: int) -> None:
    """Carry the operation out, up to that statement. Never returns."""
    async with open_engine(str(path), ManualClock(), boot="this boot") as engine:
        connection: sqlite3.Connection = engine._connection  # the only way to be in the middle
        connection.set_trace_callback(Fuse(statements).burn)
        await OPERATIONS[operation](Planes(engine))
        path.with_suffix(".done").touch()
        die()


def in_child(work: Coroutine[None, None, None]) -> None:
    """Run `work` in a process of its own; forked, because starting one anew takes a hundred times as long."""
    child = os.fork()
    if child == 0:
        asyncio.run(work)
        os._exit(0)
    work.close()
    os.waitpid(child, 0)


def main(directory: Path) -> None:
    # Loads what is loaded on first use, once for all children.
    asyncio.run(anyio.to_thread.run_sync(gc.freeze))
    in_child(prepared(directory / "prepared.db"))
    for operation in OPERATIONS:
        for statements in range(1_000):
            path = directory / f"{operation}-{statements:03}.db"
            shutil.copyfile(directory / "prepared.db", path)
            in_child(live_and_die(path, operation, statements))
            if path.with_suffix(".done").exists():
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]))
