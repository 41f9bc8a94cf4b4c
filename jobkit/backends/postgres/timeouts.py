"""How long an answer of the server is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

_log = structlog.get_logger("jobkit.postgres")


@contextmanager
def cut_after(seconds: float, connection: Any) -> Iterator[None]:
    """Cut the connection after so many seconds, which ends the query on it. Raises `TimeoutError` then.

    The query is not cancelled: for that the driver would open another connection, to a server that does not answer.
    """
    loop = asyncio.get_running_loop()
    was_cut = False

    def cut() -> None:
        nonlocal was_cut
        was_cut = True
        _log.warning("the store did not answer in time; the connection is cut", seconds=seconds)
        connection.terminate()

    timer = loop.call_later(seconds, cut)
    try:
        yield
    except Exception as error:
        if was_cut:
            raise TimeoutError(f"no answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
