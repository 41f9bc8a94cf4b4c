"""Lending the connections of a pool: while another one is made, whoever waits takes the first that is given back.

To make a connection takes several round trips. The driver's pool has who finds all others lent make one and wait for
it; on a slow link those are the jobs under way, although a connection is free after one round trip. And where all are
`kept`, they are there before a link becomes slow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import asyncpg

from jobkit.model.side_by_side import side_by_side

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    # The classes are generic for the type checker only.
    Connection = PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]


class Lender:
    """Lends the connections of one pool, in the order in which they are asked for."""

    def __init__(self, pool: Pool, connect_seconds: float) -> None:
        self.pool = pool
        self._connect_seconds = connect_seconds
        self._kept = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._growing: asyncio.Task[None] | None = None

    async def borrow(self) -> Connection:
        """Return a connection that is to be given back. Raises what the driver does where none can be made.

        That is `TimeoutError`, too, where none is given back for as long as one may take to be made.
        """
        if self._all_lent():
            async with asyncio.timeout(self._connect_seconds):
                await self._until_given_back(first=False)
                while self._all_lent():
                    await self._until_given_back(first=True)
        try:
            return await self.pool.acquire(timeout=self._connect_seconds)
        except BaseException:
            self._look_again()
            raise

    async def give_back(self, connection: Connection) -> None:
        """Have a connection lent to the next one."""
        try:
            await self.pool.release(connection)
        finally:
            self._look_again()

    def keep(self) -> None:
        """Have as many connections as there may be from now on, made in the background."""
        if not self._kept:
            self._kept = True
            self._grow_soon()

    def _all_lent(self) -> bool:
        """Return whether there are connections, and all of them are in use; without any, who asks makes one."""
        return self.pool.get_size() > 0 and self.pool.get_idle_size() == 0

    async def _until_given_back(self, *, first: bool) -> None:
        """Wait for the next one, as the first in the line or the last."""
        self._grow_soon()
        given_back = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(given_back)
        else:
            self._waiting.append(given_back)
        try:
            await given_back
        except asyncio.CancelledError:
            if given_back.done() and not given_back.cancelled():
                self._look_again()
            raise

    def _grow_soon(self) -> None:
        if self._growing is None and self.pool.get_size() < self.pool.get_max_size():
            self._growing = asyncio.create_task(self._grow())

    async def _grow(self) -> None:
        """Make one more connection, or all that are missing."""
        try:
            if self._kept:
                # Side by side, and each takes another one: those that are there already come back at once.
                lent = self.pool.get_size() - self.pool.get_idle_size()
                await side_by_side(self._make for _ in range(self.pool.get_max_size() - lent))
            else:
                await self._make()
        finally:
            self._growing = None
            self._look_again()

    async def _make(self) -> None:
        try:
            await self.give_back(await self.pool.acquire(timeout=self._connect_seconds))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            # Nobody waits for it: what is the matter is told to those who have no other.
            return

    def _look_again(self) -> None:
        """Have the next one that waits look again; where no connection is left all do, and may each make one."""
        none_left = self.pool.get_size() == 0
        while self._waiting:
            next = self._waiting.popleft()
            if not next.done():
                next.set_result(None)
                if not none_left:
                    return

    def end(self) -> None:
        """Have no more connections made in the background."""
        if self._growing is not None:
            self._growing.cancel()
