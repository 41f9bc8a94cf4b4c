"""Virtual time: what the simulation stands on. Nothing here takes real time."""

from __future__ import annotations

import asyncio
import random
import threading
from functools import partial

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from jobkit.testing.virtual_time import (
    ThreadForbidden,
    VirtualClock,
    VirtualDeadlock,
    VirtualSpin,
    run_virtual,
    running_loop,
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
