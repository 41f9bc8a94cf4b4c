"""Several places at once: whoever answers first is taken, and nothing of the others is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from jobkit.backends.first_to_answer import NoneAnswered, first_to_answer

# So long that only a failure can have the next attempt begin.
FOR_EVER = 3600.0


def failing(words: str) -> Callable[[], Awaitable[str]]:
    async def attempt() -> str:
        raise OSError(words)

    return attempt


def answering(answer: str) -> Callable[[], Awaitable[str]]:
    async def attempt() -> str:
        return answer

    return attempt


async def test_the_next_begins_at_once_where_one_fails() -> None:
    assert await first_to_answer([failing("a"), failing("b"), answering("c")], print, stagger=FOR_EVER) == "c"


async def test_while_one_answers_the_next_is_not_even_begun() -> None:
    begun: list[str] = []

    async def other() -> str:
        begun.append("other")
        return "other"

    assert await first_to_answer([answering("one"), other], print, stagger=FOR_EVER) == "one"
    assert begun == []


async def test_one_that_is_silent_is_overtaken_and_cancelled() -> None:
    ended = asyncio.Event()

    async def silent() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    assert await first_to_answer([silent, answering("two")], print, stagger=0) == "two"
    assert ended.is_set()


async def test_of_two_that_answer_together_one_is_discarded() -> None:
    both_begun, now = asyncio.Event(), asyncio.Event()
    discarded: list[str] = []

    async def one() -> str:
        await now.wait()
        return "one"

    async def two() -> str:
        both_begun.set()
        await now.wait()
        return "two"

    waiting = asyncio.create_task(first_to_answer([one, two], discarded.append, stagger=0))
    await both_begun.wait()
    now.set()
    taken = await waiting
    await asyncio.sleep(0)
    assert sorted([taken, *discarded]) == ["one", "two"]


async def test_where_none_answers_each_reason_is_told_in_order() -> None:
    with pytest.raises(NoneAnswered, match="a; b") as told:
        await first_to_answer([failing("a"), failing("b")], print, stagger=FOR_EVER)
    assert [str(error) for error in told.value.errors] == ["a", "b"]


async def test_who_is_cancelled_leaves_no_attempt_behind() -> None:
    both_begun = asyncio.Event()
    ended: list[int] = []

    async def silent(begun: Callable[[], None]) -> str:
        begun()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)
        return ""

    attempts = [partial(silent, lambda: None), partial(silent, both_begun.set)]
    waiting = asyncio.create_task(first_to_answer(attempts, print, stagger=0))
    await both_begun.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert len(ended) == 2
