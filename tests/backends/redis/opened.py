"""Parts of the backend, opened for a block as a process would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from jobkit.backends.redis.address import parse_address
from jobkit.backends.redis.connection import Connector
from jobkit.backends.redis.coordinator import RedisCoordinator
from jobkit.backends.redis.scripts import Script, Scripts, load_script
from jobkit.backends.redis.store import RedisStore, open_store
from jobkit.model.clock import SystemClock

# Long enough for a busy machine, and short enough to be waited for.
REPLY_SECONDS = 1.0
_CALLS = load_script()


def script(body: str) -> Script:
    """Return a script of which only the body of `run` is said; `a` are its arguments."""
    head, _, tail = _CALLS.text.partition("-- What every script ends with")
    return Script(f"{head}\nlocal function run(a)\n{body}\nend\n--{tail}")


@asynccontextmanager
async def scripts(url: str, *, plane: str = "store", reply_seconds: float = REPLY_SECONDS) -> AsyncIterator[Scripts]:
    opened = Scripts(Connector(parse_address(url)), plane, reply_seconds=reply_seconds)
    try:
        yield opened
    finally:
        await opened.aclose()


@asynccontextmanager
async def coordinator(url: str) -> AsyncIterator[RedisCoordinator]:
    opened = RedisCoordinator(Connector(parse_address(url)), SystemClock())
    try:
        yield opened
    finally:
        await opened.aclose()


async def eventually(condition: Callable[[], object]) -> None:
    """Return once `condition` holds, which nothing tells of, so that it must be looked at again and again."""
    async with asyncio.timeout(60.0):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@asynccontextmanager
async def store(url: str) -> AsyncIterator[RedisStore]:
    opened = await open_store(url, SystemClock())
    try:
        yield opened
    finally:
        await opened.aclose()
