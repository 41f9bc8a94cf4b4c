"""Group commit by itself: what shares a call, what never does, and whom a failure reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from jobkit.backends.postgres.batching import Group

A_TURN = 0


class Server:
    """Takes groups of numbers to their doubles, once it is let go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.going = asyncio.Event()
        self.going.set()
        self.bad: set[int] = set()
        self.held: set[int] = set()
        self.let_go = asyncio.Event()
        self.away: Exception | None = None
        self.under_way = 0
        self.most_under_way = 0

    async def send(self, calls: Sequence[int]) -> list[int]:
        self.groups.append(list(calls))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.going.wait()
        self.under_way -= 1
        if self.away is not None:
            raise self.away
        if self.bad & set(calls):
            raise asyncpg.DataError("bad")
        if self.held & set(calls):
            raise asyncpg.LockNotAvailableError("held")
        return [2 * call for call in calls]

    async def wait(self, calls: Sequence[int]) -> list[int]:
        await self.let_go.wait()
        return await self.send(calls)


def group(server: Server, *, lanes: int = 1, largest: int = 5, apart: int = 1_000_000) -> Group[int, int]:
    return Group(
        server.send,
        wait=server.wait,
        explain=lambda error: RuntimeError(f"explained {error!r}"),
        apart=lambda call: call % apart,
        lanes=lanes,
        largest=largest,
    )


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(A_TURN)


async def test_what_is_asked_for_in_one_turn_of_the_loop_is_one_group() -> None:
    server = Server()
    asking = group(server)
    assert await asyncio.gather(*(asking.ask(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert server.groups == [[0, 1, 2, 3, 4]]


async def test_a_group_has_no_more_than_so_many_calls() -> None:
    server = Server()
    asking = group(server, largest=3)
    assert await asyncio.gather(*(asking.ask(n) for n in range(8))) == [2 * n for n in range(8)]
    assert server.groups == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_calls_that_must_stay_apart_share_no_group_and_keep_their_order() -> None:
    server = Server()
    asking = group(server, apart=10)
    await asyncio.gather(*(asking.ask(n) for n in (1, 11, 2, 21, 12)))
    assert server.groups == [[1, 2], [11, 12], [21]]


async def test_what_is_asked_for_while_the_lanes_are_taken_makes_up_the_next_group() -> None:
    server = Server()
    server.going.clear()
    asking = group(server, lanes=2, largest=100)
    calls = []
    for n in range(6):
        calls.append(asyncio.create_task(asking.ask(n)))
        await turns()
    assert server.groups == [[0], [1]]
    server.going.set()
    assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8, 10]
    assert server.groups == [[0], [1], [2, 3, 4, 5]]
    assert server.most_under_way == 2


async def test_a_call_that_fails_fails_alone() -> None:
    server = Server()
    server.bad = {3}
    asking = group(server)
    answers = await asyncio.gather(*(asking.ask(n) for n in range(5)), return_exceptions=True)
    failed = answers.pop(3)
    assert answers == [0, 2, 4, 8]
    assert "explained DataError" in str(failed)
    assert server.groups == [[0, 1, 2, 3, 4], [0], [1], [2], [3], [4]]


@pytest.mark.parametrize("error", [asyncpg.ConnectionDoesNotExistError("cut"), TimeoutError("late")])
async def test_where_the_connection_is_to_blame_nobody_is_asked_again(error: Exception) -> None:
    server = Server()
    server.away = error
    asking = group(server)
    answers = await asyncio.gather(*(asking.ask(n) for n in range(5)), return_exceptions=True)
    assert all(isinstance(answer, RuntimeError) for answer in answers)
    # An error of its own for each: the caller's traceback is added to it.
    assert len({id(answer) for answer in answers}) == 5
    assert len(server.groups) == 1


async def test_where_nobody_answers_those_that_wait_are_told_so_too() -> None:
    server = Server()
    server.going.clear()
    server.away = TimeoutError("no answer")
    asking = group(server, largest=1)
    calls = [asyncio.create_task(asking.ask(n)) for n in range(4)]
    await turns()
    server.going.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert server.groups == [[0]]
    server.away = None
    assert await asking.ask(7) == 14


async def test_a_call_whose_caller_was_cancelled_is_not_sent_and_holds_up_nobody() -> None:
    server = Server()
    server.going.clear()
    asking = group(server, largest=2)
    calls = [asyncio.create_task(asking.ask(n)) for n in range(5)]
    await turns()
    calls[0].cancel()
    calls[3].cancel()
    await turns()
    server.going.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answers[1], answers[2], answers[4]] == [2, 4, 8]
    assert server.groups == [[0, 1], [2, 4]]


async def test_closing_waits_for_what_was_asked_for() -> None:
    server = Server()
    asking = group(server, largest=1)
    calls = [asyncio.create_task(asking.ask(n)) for n in range(3)]
    cancelled = asyncio.create_task(asking.ask(9))
    await asyncio.sleep(A_TURN)
    cancelled.cancel()
    await asking.aclose()
    assert server.groups == [[0], [1], [2]]
    assert await asyncio.gather(*calls) == [0, 2, 4]


async def test_a_call_that_finds_a_lock_held_keeps_nobody_waiting() -> None:
    server = Server()
    server.held = {1, 2}
    asking = group(server)
    waiting = [asyncio.ensure_future(asking.ask(n)) for n in (1, 2)]
    # They were in one group with the third, and have the only lane no longer.
    assert await asking.ask(3) == 6
    assert await asyncio.gather(*(asking.ask(n) for n in range(4, 9))) == [8, 10, 12, 14, 16]
    assert not any(call.done() for call in waiting)
    server.held = {2}
    server.let_go.set()
    assert await waiting[0] == 2
    with pytest.raises(RuntimeError, match="held"):
        await waiting[1]


async def test_who_closes_waits_for_those_that_wait_for_a_lock() -> None:
    server = Server()
    server.held = {1}
    asking = group(server)
    waiting = asyncio.ensure_future(asking.ask(1))
    await turns()
    closing = asyncio.ensure_future(asking.aclose())
    await turns()
    assert not closing.done()
    server.held = set()
    server.let_go.set()
    await closing
    assert await waiting == 2
