"""How the store asks the server: in whose turn a call is sent, and how many there were."""

from __future__ import annotations

from typing import Any

from jobkit.backends.postgres.notifier import Notifier
from jobkit.backends.postgres.pool import ConnectionPool, query
from jobkit.backends.postgres.sanitize import fit_all


class Calls:
    """The connections that each part of the store shares, and the notifier that it tells of changes."""

    def __init__(self, sessions: ConnectionPool, notifier: Notifier) -> None:
        self._sessions = sessions
        self._notifier = notifier

    @property
    def round_trips(self) -> int:
        """How many calls were sent to the server so far."""
        return self._sessions.round_trips

    async def _row(self, statement: str, *args: object, aside: bool = False) -> Any:
        return (await self._sessions.run(query(statement, *fit_all(args)), aside=aside))[0]

    async def _look(self, statement: str, *args: object) -> list[Any]:
        return await self._sessions.run(query(statement, *fit_all(args)), aside=True)
