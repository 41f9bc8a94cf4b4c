"""Asking a plane that may be away: a page shows the rest without it, and says so."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import anyio

from jobkit.errors import Unavailable
from jobkit.model.plane import Plane

T = TypeVar("T")

_PATIENCE_SECONDS = 5.0


async def told(asked: Awaitable[T], otherwise: T, plane: Plane, away: dict[Plane, str]) -> T:
    """Return the answer, or `otherwise` where the plane is away; then `away` says why."""
    try:
        with anyio.fail_after(_PATIENCE_SECONDS):
            return await asked
    except (Unavailable, TimeoutError) as error:
        away.setdefault(plane, str(error) or f"no answer within {_PATIENCE_SECONDS:g} s")
        return otherwise
