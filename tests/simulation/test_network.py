"""The simulated network itself: each way to misbehave does what it says, and no more."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from jobkit.errors import Unavailable
from jobkit.testing.virtual_time import running_loop
from simulation.bench import Bench, on_bench
from simulation.network import Mishap, Weather


def test_in_calm_weather_a_call_returns_and_takes_a_little_time() -> None:
    async def test(bench: Bench) -> None:
        started = running_loop().time()
        assert await bench.spawn(bench.open(41)) == 42
        assert started < bench.server.effects[0] < running_loop().time() < started + 0.1
        (call,) = bench.seen.calls
        assert (call.node, call.plane, call.method, call.arguments) == ("n", "store", "open", {"number": 41})
        assert bench.seen.effects == [(call, 42)]

    on_bench(test)


def test_an_error_of_the_backend_reaches_the_caller() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(ValueError, match="no"):
            await bench.spawn(bench.seam.call("store", "fail", bench.server.fail))

    on_bench(test)


def test_a_lost_request_has_no_effect_and_is_unavailable() -> None:
    async def test(bench: Bench) -> None:
        started = running_loop().time()
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())
        assert running_loop().time() - started >= 1
        await anyio.sleep(100)
        assert bench.server.effects == []

    on_bench(test, Weather(lost_request=1))


def test_a_lost_reply_has_its_effect_and_is_unavailable() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())
        assert len(bench.server.effects) == 1

    on_bench(test, Weather(lost_reply=1))


def test_a_slow_call_may_take_effect_after_its_caller_gave_up() -> None:
    async def attempt(bench: Bench) -> bool:
        try:
            await bench.spawn(bench.open())
        except Unavailable:
            before = len(bench.server.effects)
            await anyio.sleep(100)
            return before == 0 and len(bench.server.effects) == 1
        return False

    weather = Weather(slow=1, slowness=(10, 20))
    assert any(on_bench(attempt, weather, seed) for seed in range(20))


def test_a_slow_reply_may_be_waited_for() -> None:
    async def attempt(bench: Bench) -> bool:
        started = running_loop().time()
        try:
            await bench.spawn(bench.open())
        except Unavailable:
            return False
        return running_loop().time() - started > 9

    assert any(on_bench(attempt, Weather(slow=1, slowness=(10, 20)), seed) for seed in range(20))


def test_an_idempotent_call_may_take_effect_twice() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.spawn(bench.open()) == 2
        await anyio.sleep(60)
        assert len(bench.server.effects) == 2

    on_bench(test, Weather(duplicate=1))


def test_a_cut_stops_requests_and_replies_of_one_node_and_plane_until_it_is_mended() -> None:
    async def test(bench: Bench) -> None:
        bench.node.cut("store")
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())
        assert bench.server.effects == []
        assert await bench.spawn(bench.seam.call("coordinator", "open", bench.server.open, 1)) == 2
        bench.node.mend("store")
        assert await bench.spawn(bench.open()) == 2

    on_bench(test)


def test_a_cut_between_request_and_reply_loses_the_reply() -> None:
    async def test(bench: Bench) -> None:
        task = bench.spawn(bench.open())
        await bench.server.reached.wait()
        bench.node.cut("store")
        with pytest.raises(Unavailable):
            await task

    on_bench(test, Weather(latency=(0.01, 0.02)))


def test_a_paused_node_gets_its_reply_and_its_wakeups_only_on_resume() -> None:
    async def test(bench: Bench) -> None:
        woken: list[float] = []

        async def sleeper() -> None:
            await bench.node.clock.sleep(2)
            woken.append(running_loop().time())

        task = bench.spawn(bench.open())
        bench.spawn(sleeper())
        await anyio.sleep(0.001)
        started = running_loop().time()
        bench.node.pause(30)
        await anyio.sleep(29)
        assert len(bench.server.effects) == 1, "what was sent takes effect all the same"
        assert not task.done()
        assert woken == []
        assert await task == 2
        await anyio.sleep(0.001)
        assert woken == [pytest.approx(started + 30)]

    on_bench(test)


def test_nothing_of_a_crashed_node_is_sent_or_returns() -> None:
    async def test(bench: Bench) -> None:
        cleaned: list[str] = []

        async def work() -> None:
            try:
                await bench.open()
                await bench.open()
            finally:
                cleaned.append("cleaned")

        task = bench.spawn(work())
        await bench.server.reached.wait()
        bench.node.crash()
        await anyio.sleep(100)
        assert len(bench.server.effects) == 1
        assert not task.done()
        assert cleaned == []

    on_bench(test)


def test_a_request_under_way_when_its_node_crashes_may_or_may_not_take_effect() -> None:
    async def attempt(bench: Bench) -> int:
        bench.spawn(bench.open())
        await anyio.sleep(0.001)
        bench.node.crash()
        await anyio.sleep(100)
        return len(bench.server.effects)

    assert {on_bench(attempt, Weather(latency=(1, 2)), seed) for seed in range(10)} == {0, 1}


@pytest.mark.parametrize(("when", "effects"), [("before", 1), ("during", 2), ("after", 2)])
def test_a_node_crashes_at_a_named_step(when: Any, effects: int) -> None:
    async def test(bench: Bench) -> None:
        bench.node.mishaps.append(Mishap("store.open", when, nth=2))
        crashes: list[str] = []
        bench.node.on_crash = lambda: crashes.append("crash")

        async def work() -> None:
            for number in range(5):
                await bench.open(number)

        task = bench.spawn(work())
        await anyio.sleep(100)
        assert len(bench.server.effects) == effects
        assert crashes == ["crash"]
        assert not task.done()

    on_bench(test)


def test_a_node_pauses_between_its_decision_and_its_request() -> None:
    async def test(bench: Bench) -> None:
        bench.node.mishaps.append(Mishap("store.open", "before", nth=1, pause=30))
        started = running_loop().time()
        assert await bench.spawn(bench.open()) == 2
        assert bench.seen.calls[0].sent_at == started
        assert bench.server.effects[0] >= started + 30

    on_bench(test)


def test_a_request_can_lie_in_a_buffer_while_its_node_is_stopped() -> None:
    async def test(bench: Bench) -> None:
        bench.node.trap("store.open", "during", pause=20, delay=50)
        started = running_loop().time()
        task = bench.spawn(bench.open())
        with pytest.raises(Unavailable):
            await task
        assert running_loop().time() == pytest.approx(started + 20)
        await anyio.sleep(40)
        assert bench.server.effects == [pytest.approx(started + 50, abs=0.1)]

    on_bench(test)


def test_a_cancelled_call_may_still_take_effect_and_a_cancelled_wait_does_not_go_on() -> None:
    async def test(bench: Bench) -> None:
        async def work() -> None:
            with anyio.move_on_after(0.001):
                await bench.open()
            with anyio.move_on_after(1):
                await bench.seam.call("store", "wait_finished", bench.server.wait_finished, 50)

        await bench.spawn(work())
        await anyio.sleep(1)
        assert len(bench.server.effects) == 1
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "store.wait_finished"]

    on_bench(test, Weather(latency=(0.01, 0.02)))


def test_nothing_goes_out_once_the_simulation_is_over() -> None:
    async def test(bench: Bench) -> None:
        bench.network.closed = True
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())

    on_bench(test)


def test_the_same_seed_draws_the_same_fates() -> None:
    async def storm(bench: Bench) -> list[tuple[float, str]]:
        async def work() -> list[tuple[float, str]]:
            seen = []
            for number in range(50):
                try:
                    outcome = str(await bench.open(number))
                except Unavailable:
                    outcome = "unavailable"
                seen.append((running_loop().time(), outcome))
            return seen

        return await bench.spawn(work())

    weather = Weather(lost_request=0.1, lost_reply=0.1, duplicate=0.1, slow=0.1)
    assert on_bench(storm, weather, 7) == on_bench(storm, weather, 7)
    assert on_bench(storm, weather, 7) != on_bench(storm, weather, 8)
