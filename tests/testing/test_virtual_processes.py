"""Processes in virtual time: they stop, go on and die whole, and the seed decides how they are interleaved."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread

from jobkit.testing.virtual_time import (
    Process,
    current_process,
    run_virtual,
    running_loop,
    spawn_outside,
)


async def _ticking(times: list[float]) -> None:
    while True:
        await anyio.sleep(1)
        times.append(running_loop().time())


def test_nothing_of_a_frozen_process_proceeds() -> None:
    async def main() -> None:
        process, times = Process("p"), list[float]()
        process.spawn(_ticking(times))
        await anyio.sleep(2.5)
        assert len(times) == 2
        process.freeze()
        await anyio.sleep(10)
        assert len(times) == 2
        process.thaw()
        await anyio.sleep(0.001)
        assert times[2:] == [process.thawed_at], "what fell due while frozen happens at the moment of the thaw"
        await anyio.sleep(1.5)
        assert len(times) == 4

    run_virtual(main(), seed=1)


def test_freezing_holds_child_tasks_cancel_scopes_and_replies() -> None:
    async def main() -> None:
        process, seen = Process("p"), list[str]()
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def child(what: str, wait: Callable[[], Awaitable[object]]) -> None:
            await wait()
            seen.append(what)

        async def deadline() -> None:
            with anyio.move_on_after(5):
                await anyio.sleep_forever()

        async def root() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child, "deadline", deadline)
                tasks.start_soon(child, "reply", lambda: reply)

        process.spawn(root())
        await anyio.sleep(1)
        process.freeze()
        reply.set_result("")
        await anyio.sleep(60)
        assert seen == []
        process.thaw()
        await anyio.sleep(0.001)
        assert sorted(seen) == ["deadline", "reply"]

    run_virtual(main())


def test_the_order_after_a_thaw_is_drawn_from_the_seed() -> None:
    async def main() -> tuple[int, ...]:
        process, seen = Process("p"), list[int]()

        async def after(seconds: int) -> None:
            await anyio.sleep(seconds)
            seen.append(seconds)

        for seconds in range(1, 6):
            process.spawn(after(seconds))
        await anyio.sleep(0.5)
        process.freeze()
        await anyio.sleep(10)
        process.thaw()
        await anyio.sleep(1)
        return tuple(seen)

    orders = {run_virtual(main(), seed=seed) for seed in range(10)}
    assert len(orders) > 3
    assert all(sorted(order) == [1, 2, 3, 4, 5] for order in orders)


def test_not_even_cleanup_runs_in_a_killed_process() -> None:
    cleaned: list[float] = []

    async def main() -> None:
        process = Process("p")

        async def work() -> None:
            try:
                await anyio.sleep(5)
            finally:
                cleaned.append(running_loop().time())

        process.spawn(work())
        await anyio.sleep(1)
        process.kill()
        process.thaw()
        await anyio.sleep(100)
        assert cleaned == []

    run_virtual(main())
    assert len(cleaned) == 1, "the tasks are torn down with the loop, so that nothing is left behind"


def test_a_process_killed_before_its_tasks_began_leaves_nothing_behind() -> None:
    async def main() -> None:
        process = Process("p")

        async def work() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 5)
                process.kill()
                await anyio.sleep(5)

        process.spawn(work())
        await anyio.sleep(10)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_virtual(main())
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_what_is_spawned_outside_outlives_its_process() -> None:
    async def main() -> None:
        process, arrived = Process("p"), list[Process | None]()

        async def request() -> None:
            await anyio.sleep(2)
            arrived.append(current_process())

        async def work() -> None:
            assert current_process() is process
            await spawn_outside(request())

        process.spawn(work())
        await anyio.sleep(1)
        process.kill()
        await anyio.sleep(2)
        assert arrived == [None]

    run_virtual(main())


async def _race(processes: int) -> str:
    """Return who came when, in a race with ties, nested scopes and cancellation of all at once."""
    order: list[str] = []

    async def runner(name: str) -> None:
        try:
            with anyio.CancelScope():
                for _ in range(3):
                    await anyio.sleep(1)
                    order.append(name)
                await anyio.sleep_forever()
        finally:
            order.append(f"{name}!")

    async def root(name: str) -> None:
        with anyio.move_on_after(10):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(runner, f"{name}{number}")

    roots = [Process(name).spawn(root(name)) for name in "abc"[:processes]]
    await asyncio.gather(*roots)
    return " ".join(order)


def test_the_same_seed_gives_the_same_run() -> None:
    assert run_virtual(_race(3), seed=11) == run_virtual(_race(3), seed=11)


def test_different_seeds_interleave_processes_differently() -> None:
    assert len({run_virtual(_race(3), seed=seed) for seed in range(10)}) > 5


def test_within_one_process_the_order_is_that_of_asyncio() -> None:
    assert len({run_virtual(_race(1), seed=seed) for seed in range(10)}) == 1


# Runs the race in memory that is laid out differently for each argument.
_RACE_ELSEWHERE = """
import random, sys
sys.path.insert(0, sys.argv[1])
layout = random.Random(int(sys.argv[2]))
ballast = [bytearray(layout.randrange(1000)) for _ in range(20_000)]
layout.shuffle(ballast)
del ballast[::2]
from test_virtual_processes import _race, run_virtual
print(run_virtual(_race(3), seed=5))
"""


def test_the_order_of_cancellation_does_not_depend_on_addresses() -> None:
    """anyio keeps scopes and tasks in sets; their addresses differ from one interpreter to the next."""
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", _RACE_ELSEWHERE, here]
    runs = {subprocess.check_output([*command, str(layout)], text=True) for layout in range(3)}
    assert len(runs) == 1
    assert runs.pop().count("!") == 24
