"""Virtual time: what the simulation stands on. Nothing here takes real time."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from jobkit.testing.virtual_time import (
    Process,
    ThreadForbidden,
    VirtualClock,
    VirtualDeadlock,
    VirtualSpin,
    current_process,
    run_virtual,
    running_loop,
    spawn_outside,
)


def test_an_hour_takes_no_time() -> None:
    async def main() -> float:
        clock = VirtualClock()
        before = clock.now()
        await clock.sleep(3600)
        return clock.now() - before

    # In real time it would run into the time limit of tests.
    assert run_virtual(main()) == pytest.approx(3600)


def test_timers_fire_in_order_of_their_time() -> None:
    async def main() -> list[int]:
        fired: list[int] = []

        async def after(seconds: int) -> None:
            await anyio.sleep(seconds)
            fired.append(seconds)

        async with anyio.create_task_group() as tasks:
            for seconds in (5, 1, 4, 2, 3):
                tasks.start_soon(after, seconds)
        return fired

    assert run_virtual(main(), seed=3) == [1, 2, 3, 4, 5]


def test_anyio_deadlines_are_virtual() -> None:
    async def main() -> float:
        started = running_loop().time()
        with anyio.move_on_after(7.5) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(2.5):
                await anyio.sleep(100)
        return running_loop().time() - started

    assert run_virtual(main()) == pytest.approx(10)


def test_cancelling_a_group_ends_its_tasks() -> None:
    async def main() -> list[str]:
        ended: list[str] = []

        async def work(name: str) -> None:
            try:
                await anyio.sleep(1000)
            finally:
                ended.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, "a")
            tasks.start_soon(work, "b")
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        return ended

    assert run_virtual(main()) == ["a", "b"]


def test_a_deadlock_names_who_waits() -> None:
    async def main() -> None:
        await anyio.Event().wait()

    with pytest.raises(VirtualDeadlock, match=r"wait for what will never come[\s\S]*main"):
        run_virtual(main())


def test_a_cancelled_timer_does_not_hide_a_deadlock() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(10, print).cancel()
        await anyio.Event().wait()

    with pytest.raises(VirtualDeadlock):
        run_virtual(main())


def test_code_that_spins_is_caught() -> None:
    async def main() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(VirtualSpin):
        run_virtual(main())


def test_threads_are_refused() -> None:
    async def by_anyio() -> None:
        await anyio.to_thread.run_sync(print)

    async def by_path() -> None:
        await anyio.Path("anything").exists()

    async def by_executor() -> None:
        await asyncio.get_running_loop().run_in_executor(None, print)

    async def by_asyncio() -> None:
        await asyncio.to_thread(print)

    for use in (by_anyio, by_path, by_executor, by_asyncio):
        with pytest.raises(ThreadForbidden):
            run_virtual(use())


def test_a_thread_that_calls_in_is_refused() -> None:
    refused: list[BaseException] = []

    def intrude(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(print)
        except ThreadForbidden as error:
            refused.append(error)

    async def main() -> None:
        thread = threading.Thread(target=intrude, args=(asyncio.get_running_loop(),))
        thread.start()
        thread.join()
        await anyio.sleep(1)

    with pytest.raises(ThreadForbidden, match="called into virtual time"):
        run_virtual(main())
    assert len(refused) == 1


def test_threads_are_allowed_again_afterwards() -> None:
    async def nothing() -> None:
        pass

    run_virtual(nothing())
    assert anyio.run(partial(anyio.to_thread.run_sync, lambda: 7)) == 7


def test_the_wall_clock_jumps_and_the_other_does_not() -> None:
    async def main() -> None:
        clock = VirtualClock()
        now, wall = clock.now(), clock.wall()
        clock.jump_wall(-3600)
        assert clock.now() == now
        assert clock.wall() == wall - 3600
        await clock.sleep(10)
        assert clock.now() == pytest.approx(now + 10)
        assert clock.wall() == pytest.approx(wall - 3590)

    run_virtual(main())


def test_a_fast_clock_sleeps_shorter() -> None:
    async def main() -> None:
        clock, started = VirtualClock(rate=1.25, offset=-500), running_loop().time()
        now = clock.now()
        await clock.sleep(10)
        assert clock.now() >= now + 10
        assert running_loop().time() - started == pytest.approx(8, abs=1e-3)

    run_virtual(main())


def test_a_sleep_is_never_short() -> None:
    async def main() -> None:
        rng = random.Random(1)
        clock = VirtualClock(rate=1.003, offset=rng.random())
        for _ in range(2_000):
            seconds = rng.random()
            until = clock.now() + seconds
            await clock.sleep(seconds)
            assert clock.now() >= until

    run_virtual(main())


# ---- processes ---------------------------------------------------------------------------------------------------


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


# ---- the seed decides all ----------------------------------------------------------------------------------------


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
from test_virtual_time import _race, run_virtual
print(run_virtual(_race(3), seed=5))
"""


def test_the_order_of_cancellation_does_not_depend_on_addresses() -> None:
    """anyio keeps scopes and tasks in sets; their addresses differ from one interpreter to the next."""
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", _RACE_ELSEWHERE, here]
    runs = {subprocess.check_output([*command, str(layout)], text=True) for layout in range(3)}
    assert len(runs) == 1
    assert runs.pop().count("!") == 24
