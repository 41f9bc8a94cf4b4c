"""Schedules, for programs without an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from jobkit.client.client import Client
from jobkit.client.schedules import ScheduleBook
from jobkit.client.sync.blocking import Blocks, blocking

T = TypeVar("T")


class SyncScheduleBook:
    """The schedules of a store, as `ScheduleBook` has them."""

    def __init__(self, client: Blocks[Client]) -> None:
        self._client = client

    def call(self, function: Callable[[ScheduleBook], Awaitable[T]]) -> T:
        """Run `function` with the asynchronous book, and return what it returns."""
        return self._client.call(lambda client: function(client.schedules))

    def call_with(self, connection: Any, function: Callable[[ScheduleBook, Any], Awaitable[T]]) -> T:
        """Do so, with a connection of the caller's."""
        return self._client.call_with(connection, lambda client, lent: function(client.schedules, lent))

    list = blocking(ScheduleBook.list)
    show = blocking(ScheduleBook.show)
    add = blocking(ScheduleBook.add)
    pause = blocking(ScheduleBook.pause)
    resume = blocking(ScheduleBook.resume)
    trigger = blocking(ScheduleBook.trigger)
    remove = blocking(ScheduleBook.remove)
