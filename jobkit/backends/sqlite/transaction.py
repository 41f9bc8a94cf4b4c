"""What an operation on the database is handed: statements to run, one moment, and whom to wake."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


class Transaction:
    """What an operation sees: the database, and one moment.

    `now` is store time in seconds; `wall` is Unix time, for people only.
    """

    __slots__ = ("execute", "executemany", "now", "topics", "wall")

    def __init__(self, connection: sqlite3.Connection, now: float, wall: float) -> None:
        self.execute: Callable[..., sqlite3.Cursor] = connection.execute
        self.executemany: Callable[..., sqlite3.Cursor] = connection.executemany
        self.now = now
        self.wall = wall
        self.topics: set[str] = set()

    def notify(self, topic: str) -> None:
        """Wake who waits for `topic`, once this transaction is durable."""
        self.topics.add(topic)
