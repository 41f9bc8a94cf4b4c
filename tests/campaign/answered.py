"""Asking a store that may be away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from jobkit.errors import Unavailable

T = TypeVar("T")

_AGAIN_SECONDS = 0.2


async def answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer, as a person does."""
    while True:
        try:
            return await ask()
        except Unavailable:
            await anyio.sleep(_AGAIN_SECONDS)
