"""Group commit: what is asked for at once shares a transaction, and nobody suffers from a neighbour."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from jobkit.backends.sqlite.connection import MEMORY
from jobkit.backends.sqlite.engine import Engine, EnginePlane, open_engine
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.errors import Unavailable
from jobkit.model.clock import SystemClock


@pytest.fixture(params=["file", "memory"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    path = MEMORY if request.param == "memory" else str(tmp_path / "a.db")
    async with open_engine(path, SystemClock()) as opened:
        await opened.plane("store").write(lambda t: t.execute("CREATE TABLE numbers (n INTEGER)"))
        yield opened


@pytest.fixture
def plane(engine: Engine) -> EnginePlane:
    return engine.plane("store")


def insert(transaction: Transaction, number: int) -> Transaction:
    transaction.execute("INSERT INTO numbers VALUES (?)", (number,))
    return transaction


def insert_and_fail(transaction: Transaction, number: int) -> None:
    insert(transaction, number)
    raise LookupError(f"no {number}")


def numbers(transaction: Transaction) -> list[int]:
    return [n for (n,) in transaction.execute("SELECT n FROM numbers ORDER BY n")]


async def test_what_is_asked_for_at_once_shares_one_transaction(plane: EnginePlane) -> None:
    transactions = await asyncio.gather(*(plane.write(insert, number) for number in range(200)))
    assert len({id(transaction) for transaction in transactions}) == 1
    assert await plane.read(numbers) == list(range(200))


async def test_what_is_asked_for_during_a_commit_shares_the_next_one(plane: EnginePlane) -> None:
    async def caller(start: int) -> list[int]:
        return [id(await plane.write(insert, start + step)) for step in range(5)]

    async with asyncio.timeout(10):
        told = await asyncio.gather(*(caller(start * 5) for start in range(50)))
    assert len({transaction for own in told for transaction in own}) <= 10
    assert await plane.read(numbers) == list(range(250))


async def test_a_transaction_is_bounded_however_much_is_asked_for(plane: EnginePlane) -> None:
    transactions = await asyncio.gather(*(plane.write(insert, number) for number in range(1_000)))
    shares = Counter(id(transaction) for transaction in transactions)
    assert max(shares.values()) <= 256
    assert await plane.read(numbers) == list(range(1_000))


async def test_an_operation_that_raises_fails_alone_and_leaves_nothing(plane: EnginePlane) -> None:
    answers = await asyncio.gather(
        *(plane.write(insert_and_fail if number % 7 == 0 else insert, number) for number in range(100)),
        return_exceptions=True,
    )
    for number, answer in enumerate(answers):
        assert isinstance(answer, LookupError) == (number % 7 == 0)
    assert await plane.read(numbers) == [number for number in range(100) if number % 7]


async def test_a_single_operation_that_raises_leaves_nothing(plane: EnginePlane) -> None:
    with pytest.raises(LookupError, match="no 1"):
        await plane.write(insert_and_fail, 1)
    assert await plane.read(numbers) == []
    await plane.write(insert, 2)
    assert await plane.read(numbers) == [2]


async def test_a_failed_statement_fails_its_caller_alone(plane: EnginePlane) -> None:
    async with asyncio.TaskGroup() as tasks:
        good = tasks.create_task(plane.write(insert, 1))
        with pytest.raises(sqlite3.OperationalError, match="nosuch"):
            await plane.write(lambda transaction: transaction.execute("INSERT INTO nosuch VALUES (1)"))
    assert good.done()
    assert await plane.read(numbers) == [1]


@pytest.mark.parametrize("turns", range(8))
async def test_a_caller_that_is_cancelled_disturbs_nobody(plane: EnginePlane, turns: int) -> None:
    callers = [asyncio.create_task(plane.write(insert, number)) for number in range(20)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert not any(isinstance(answer, BaseException) for answer in answers[1::2])
    found = await plane.read(numbers)
    # What the cancelled asked for either happened as a whole or not at all.
    assert set(range(1, 20, 2)) <= set(found) <= set(range(20))
    assert len(found) == len(set(found))


async def test_a_caller_cancelled_before_its_turn_is_dropped(plane: EnginePlane) -> None:
    caller = asyncio.create_task(plane.write(insert, 1))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert await plane.read(numbers) == []


async def test_waiters_are_notified_of_what_was_committed_and_not_for_what_failed(
    engine: Engine, plane: EnginePlane
) -> None:
    def notify(transaction: Transaction, topic: str, fail: bool) -> None:
        transaction.notify(topic)
        if fail:
            raise LookupError

    with engine.notifier.subscribe("good") as good, engine.notifier.subscribe("bad") as bad:
        await asyncio.gather(
            plane.write(notify, "bad", True), plane.write(notify, "good", False), return_exceptions=True
        )
        await asyncio.wait_for(good.wait(3600), 10)
        silence = asyncio.create_task(bad.wait(0.2))
        began = time.monotonic()
        await silence
        assert time.monotonic() - began >= 0.19


async def test_closing_finishes_what_runs_and_refuses_what_comes(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    async with open_engine(path, SystemClock()) as engine:
        plane = engine.plane("broker")
        await plane.write(lambda t: t.execute("CREATE TABLE numbers (n INTEGER)"))
        running = asyncio.create_task(plane.write(insert, 1))
        for _ in range(2):
            await asyncio.sleep(0)
    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], Transaction)
    with pytest.raises(Unavailable, match=r"^broker: .*closed"):
        await plane.write(insert, 2)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT n FROM numbers").fetchall() == [(1,)]


async def test_callers_that_wait_when_the_engine_closes_are_told(tmp_path: Path) -> None:
    async with open_engine(str(tmp_path / "a.db"), SystemClock()) as engine:
        plane = engine.plane("store")
        await plane.write(lambda t: t.execute("CREATE TABLE numbers (n INTEGER)"))
        with closing(sqlite3.connect(engine.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(plane.write(insert, 1))
            await asyncio.sleep(0.01)
            await engine.aclose()
            with pytest.raises(Unavailable, match="closed"):
                await waiting


async def test_time_never_runs_backwards_from_one_transaction_to_the_next(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    async with open_engine(path, SystemClock()) as one, open_engine(path, SystemClock()) as other:
        await one.plane("store").write(lambda t: t.execute("CREATE TABLE moments (at REAL)"))

        async def note(engine: Engine) -> None:
            for _ in range(50):
                await engine.plane("store").write(
                    lambda t: t.execute("INSERT INTO moments VALUES (?)", (t.now,)).lastrowid
                )

        await asyncio.gather(*(note(engine) for engine in (one, other) * 3))
        moments = await one.plane("store").read(
            lambda t: [at for (at,) in t.execute("SELECT at FROM moments ORDER BY rowid")]
        )
    assert len(moments) == 300
    assert moments == sorted(moments)


async def test_two_processes_that_write_all_the_time_lose_nothing_and_both_get_on(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    async with open_engine(path, SystemClock()) as one, open_engine(path, SystemClock()) as other:
        await one.plane("store").write(lambda t: t.execute("CREATE TABLE counter (n INTEGER)"))
        await one.plane("store").write(lambda t: t.execute("INSERT INTO counter VALUES (0)"))

        def increment(transaction: Transaction) -> int:
            (n,) = transaction.execute("SELECT n FROM counter").fetchone()
            transaction.execute("UPDATE counter SET n = ?", (n + 1,))
            return int(n)

        async def hammer(engine: Engine) -> None:
            for _ in range(40):
                await engine.plane("store").write(increment)

        async with asyncio.timeout(30):
            await asyncio.gather(*(hammer(engine) for engine in (one, other) * 5))
        assert await one.plane("store").read(lambda t: t.execute("SELECT n FROM counter").fetchone()) == (400,)


async def test_the_loop_turns_while_another_process_holds_the_database(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    async with open_engine(path, SystemClock()) as engine:
        plane = engine.plane("store")
        await plane.write(lambda t: t.execute("CREATE TABLE numbers (n INTEGER)"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(plane.write(insert, 1))
            # A loop that waited for the lock would come back only when the writer has given up.
            for _ in range(100):
                await asyncio.sleep(0.001)
            assert not writing.done()
            # Readers are served meanwhile.
            assert await plane.read(numbers) == []
            other.execute("COMMIT")
            await asyncio.wait_for(writing, 10)
        assert await plane.read(numbers) == [1]
