"""What a backend brings so that the suites can run on it.

To add a backend: write a fixture that yields its plane's harness, as docs/writing-a-backend.md shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pytest

from jobkit.model.partition import Partition
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store

T = TypeVar("T")
P_co = TypeVar("P_co", covariant=True)

# Real time: what should happen at once has failed when it has not happened by then.
PATIENCE_SECONDS = 10.0


class FullStore(Store, Inspection, Protocol):
    """Both halves of a store, as the suites use them."""


@dataclass(frozen=True)
class Harness(Generic[P_co]):
    """One plane of one backend, with data that lives as long as the test.

    `process` opens the plane as one more process would. `elapse` lets that many seconds pass on the clock which the
    backend decides expiry by. `ttl` is a duration, in seconds, which a test can afford to wait for.
    """

    process: Callable[[], AbstractAsyncContextManager[P_co]]
    elapse: Callable[[float], Awaitable[None]]
    ttl: float


@dataclass(frozen=True)
class BrokerHarness(Harness[P_co]):
    """A broker's harness also knows what only the author of a backend can.

    `publish_raw` puts a body, which need not be an envelope, into a queue as a foreign publisher would. `limit_body`
    has an open broker take no payload above so many bytes, until the patch is undone.
    """

    publish_raw: Callable[[Partition, bytes], Awaitable[None]]
    limit_body: Callable[[Any, int, pytest.MonkeyPatch], None]


async def soon(awaitable: Awaitable[T]) -> T:
    """Await what should not need any time to pass."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await awaitable


async def a_moment() -> None:
    """Let everything that is ready run, so that a task that would end too early has had its chance."""
    for _ in range(50):
        await asyncio.sleep(0)
