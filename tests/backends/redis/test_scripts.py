"""Many calls on one connection: each gets its own answer or none, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.redis import RedisServer
from jobkit.model.fence import Fence
from jobkit.ports.coordinator import Granted, LeaseRef
from jobkit.ports.store import Committed, Opened
from jobkit.testing.conformance.values import NOTHING, submitted
from tests.backends.redis.opened import REPLY_SECONDS, coordinator, eventually, script, scripts, store

ECHO = script("return a[1]")
ADD = script("return call('INCRBY', PREFIX .. 'sum', a[1])")
# Counts the call, then fails where it is told to.
STUMBLE = script(
    "call('INCR', PREFIX .. 'sum') if a[1] == 'bad' then call('LPUSH', PREFIX .. 'sum', 1) end return a[1]"
)


async def test_cancelled_callers_never_leave_their_answers_to_somebody_else(server: RedisServer, proxy: Proxy) -> None:
    rng = random.Random(7)
    answered = cancelled = 0
    proxy.delay(0.002)
    async with scripts(server.url(port=proxy.port)) as asked:

        async def caller(number: int) -> None:
            nonlocal answered, cancelled
            for count in range(5):
                text = f"{number}/{count}"
                call = asyncio.create_task(asked.run(ECHO, text))
                if rng.random() < 0.5:
                    await asyncio.sleep(rng.uniform(0.0, 0.01))
                    call.cancel()
                try:
                    assert await call == text.encode()
                    answered += 1
                except asyncio.CancelledError:
                    cancelled += 1

        await asyncio.gather(*(caller(number) for number in range(300)))
        assert await asked.run(ECHO, "last") == b"last"
    assert answered > 300
    assert cancelled > 300
    assert proxy.accepted == 1


async def test_what_is_asked_for_at_once_goes_in_one_request_and_is_answered_in_full(server: RedisServer) -> None:
    async with scripts(server.url()) as asked:
        await asked.run(ECHO, "first")
        before = asked.round_trips
        answers = await asyncio.gather(*(asked.run(ECHO, f"{number}") for number in range(60)))
        assert answers == [b"%d" % number for number in range(60)]
        assert asked.round_trips == before + 1


async def test_requests_stay_small_enough_for_large_arguments(server: RedisServer) -> None:
    async with scripts(server.url()) as asked:
        texts = [f"{number}" * 300_000 for number in range(10)]
        assert await asyncio.gather(*(asked.run(ECHO, text) for text in texts)) == [text.encode() for text in texts]
        assert asked.round_trips >= 3


async def test_an_error_of_one_call_is_its_own(server: RedisServer) -> None:
    async with scripts(server.url()) as asked:
        answers = await asyncio.gather(
            *(asked.run(STUMBLE, word) for word in ("a", "bad", "c")), return_exceptions=True
        )
        assert isinstance(answers[1], ResponseError)
        assert "WRONGTYPE" in str(answers[1])
        assert (answers[0], answers[2]) == (b"a", b"c")
    assert server.call("GET", "{jobkit}:sum") == b"3"


async def test_scripts_that_the_server_forgot_are_sent_again_and_run_once(server: RedisServer) -> None:
    async with scripts(server.url()) as asked:
        assert await asked.run(ADD, "1") == 1
        for _ in range(5):
            await asyncio.to_thread(server.call, "SCRIPT", "FLUSH")
            await asyncio.gather(*(asked.run(ADD, "1") for _ in range(10)))
    assert server.call("GET", "{jobkit}:sum") == b"51"


async def test_a_server_that_falls_silent_is_unavailable_within_the_bound_and_comes_back(
    server: RedisServer, proxy: Proxy
) -> None:
    async with scripts(server.url(port=proxy.port)) as asked:
        await asked.run(ECHO, "a")
        proxy.hold()
        started = time.monotonic()
        answers = await asyncio.gather(*(asked.run(ECHO, f"{n}") for n in range(20)), return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers)
        assert "does not answer in time" in str(answers[0])
        # Not one after the other.
        assert REPLY_SECONDS <= time.monotonic() - started < 4 * REPLY_SECONDS
        proxy.heal()
        # What is answered to the connection of before is nobody's.
        assert await asked.run(ECHO, "z") == b"z"


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_request_whose_answer_was_lost_ran_once_or_not_at_all(
    server: RedisServer, proxy: Proxy, direction: str
) -> None:
    async with scripts(server.url(port=proxy.port), reply_seconds=0.3) as asked:
        assert await asked.run(ADD, "1") == 1
        proxy.hold("up" if direction == "up" else "down")
        with pytest.raises(Unavailable):
            await asked.run(ADD, "10")
        proxy.cut()
        proxy.heal()
        assert await asked.run(ADD, "100") in ((101,) if direction == "up" else (111,))


async def test_a_server_that_stands_still_is_unavailable_and_works_when_it_goes_on(server: RedisServer) -> None:
    async with scripts(server.url()) as asked:
        await asked.run(ECHO, "a")
        server.process.pause()
        with pytest.raises(Unavailable):
            await asked.run(ECHO, "b")
        server.process.resume()
        assert await asked.run(ECHO, "c") == b"c"


async def test_a_server_that_is_gone_is_unavailable_at_once_and_found_again_when_it_is_back(
    server: RedisServer,
) -> None:
    async with scripts(server.url(), reply_seconds=60) as asked:
        await asked.run(ECHO, "a")
        waiting = [asyncio.create_task(asked.run(ECHO, f"{n}")) for n in range(3)]
        server.process.kill()
        await asyncio.wait(waiting, timeout=10)
        assert all(task.done() for task in waiting)
        for task in waiting:
            assert task.exception() is None or isinstance(task.exception(), Unavailable)
        with pytest.raises(Unavailable, match="cannot be reached"):
            await asked.run(ECHO, "b")
        server.process.start()
        assert await asked.run(ECHO, "c") == b"c"


async def test_a_connection_that_ended_while_nobody_asked_troubles_nobody(server: RedisServer, proxy: Proxy) -> None:
    async with scripts(server.url(port=proxy.port)) as asked:
        with capture_logs() as logs:
            for number in range(1, 6):
                assert await asked.run(ADD, "1") == number
                proxy.cut()
                await eventually(lambda: logs)
                assert logs.pop()["event"] == "connection lost"


@pytest.mark.parametrize(
    "answer", [b"-ERR no\r\n" * 2, b"$-1\r\n", b"*0\r\n", b"nonsense\r\n", b"*1\r\n$1\r\nx\r\n" * 2, b""]
)
async def test_answers_that_cannot_be_right_end_the_connection_and_reach_nobody(answer: bytes) -> None:
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.read(10_000)
        writer.write(answer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as liar:
        port = liar.sockets[0].getsockname()[1]
        async with scripts(f"redis://127.0.0.1:{port}", reply_seconds=0.2) as asked:
            for _ in range(6):
                try:
                    assert await asked.run(ECHO, "x") == b"x"
                except ResponseError:
                    assert answer.startswith(b"-ERR")
                except Unavailable:
                    continue
            assert len(connections) >= 3
        for connection in connections:
            connection.close()


async def test_nobody_waits_on_what_is_closed(server: RedisServer, proxy: Proxy) -> None:
    async with scripts(server.url(port=proxy.port)) as asked:
        await asked.run(ECHO, "a")
        proxy.hold()
        waiting = [asyncio.create_task(asked.run(ECHO, f"{n}")) for n in range(3)]
        await asyncio.sleep(0)
        await asked.aclose()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers)
        with pytest.raises(Unavailable, match="closed"):
            await asked.run(ECHO, "b")


async def test_closing_ends_even_while_the_connection_is_breaking(server: RedisServer, proxy: Proxy) -> None:
    for number in range(60):
        async with scripts(server.url(port=proxy.port)) as asked:
            await asked.run(ECHO, "a")
            waiting = asyncio.create_task(asked.run(ECHO, "b"))
            proxy.cut()
            for _ in range(number // 4):
                await asyncio.sleep(0)
            async with asyncio.timeout(60):
                await asked.aclose()
                await asyncio.wait([waiting])
            assert waiting.exception() is None or isinstance(waiting.exception(), Unavailable)


async def test_a_server_that_was_demoted_is_looked_for_anew(server: RedisServer, proxy: Proxy) -> None:
    async with scripts(server.url(port=proxy.port)) as asked:
        await asked.run(ADD, "1")
        server.call("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Unavailable, match="accepts no writes"):
            await asked.run(ADD, "1")
        server.call("REPLICAOF", "NO", "ONE")
        assert await asked.run(ADD, "1") == 2
        assert proxy.accepted == 2


async def test_five_hundred_callers_at_once_are_all_answered(server: RedisServer) -> None:
    async with scripts(server.url()) as asked:
        totals = await asyncio.gather(*(asked.run(ADD, "1") for _ in range(500)))
        assert sorted(totals) == list(range(1, 501))


async def test_a_job_takes_one_round_trip_for_each_step_and_those_of_concurrent_jobs_share_theirs(
    server: RedisServer,
) -> None:
    async with store(server.url()) as truth, coordinator(server.url()) as leases:

        async def work(number: int) -> None:
            job, nonce = jobs[number], f"n{number}"
            granted = await leases.claim(f"t/{number}", owner="me", nonce=nonce, ttl=30.0)
            assert isinstance(granted, Granted)
            under = Fence(granted.token, nonce, "me")
            assert isinstance(await truth.open(job, under), Opened)
            assert isinstance(await truth.commit(job, under, NOTHING), Committed)
            assert await leases.release(LeaseRef(f"t/{number}", granted.token, nonce))

        # Accepted before: one that the store does not know costs a round trip more, for its envelope.
        jobs = [await submitted(truth, f"{number}", key=f"{number}") for number in range(65)]
        before = truth.round_trips
        await work(0)
        assert (truth.round_trips - before, leases.round_trips) == (2, 2)
        await asyncio.gather(*(work(number) for number in range(1, 65)))
        # Mostly two more each; some fall apart where answers come just when others ask.
        assert truth.round_trips - before + leases.round_trips < 64
