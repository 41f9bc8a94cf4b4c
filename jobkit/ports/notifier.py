"""Notifications between those who wait and those who write, within a process and across processes.

A notification promises nothing: it may be lost, and it may come for nothing. Whoever waits looks again after about a
second anyway, so notifications decide how soon something is seen, never whether.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

from jobkit.model.partition import Partition

# What every backend logs, as a warning, when it cannot be notified by other processes.
NOTIFICATIONS_LOST = "notifications interrupted: waiting falls back to polling"


def job_topic(id: str) -> str:
    """Return the topic of one job: it ended, or progressed."""
    return f"job/{id}"


def lease_topic(resource: str) -> str:
    """Return the topic of one lease, or of all below a prefix that ends in "/": one was released."""
    return f"lease/{resource}"


def limit_topic(bucket: str) -> str:
    """Return the topic of one limit: a lease that had it was released."""
    # Never one that ends in "/", which has a meaning.
    return f"limit/{bucket}="


def queue_topic(partition: Partition) -> str:
    """Return the topic of one partition's queue: there is a message in it, or its consumer has left."""
    return f"queue/{partition}"


class Subscription(AbstractContextManager["Subscription"], Protocol):
    """One waiter on topics, for the block. It is entered before looking, so that nothing in between is missed."""

    async def wait(self, seconds: float) -> bool:
        """Return once a topic was notified since the last return, or it is time to look again: in `seconds` at most.

        Return whether it was notified.
        """
        ...


class Listener(Protocol):
    """What waits for notifications, in one process."""

    def subscribe(self, *topics: str) -> Subscription:
        """Return a waiter on `topics`; where one ends in "/" and the backend has leases, on all below it."""
        ...


class Notifier(Listener, Protocol):
    """What sends them too. Where the server's own scripts do that in the same step as the write, there is none."""

    def notify(self, topics: Collection[str]) -> None:
        """Wake whoever waits for one of `topics`, here and in other processes."""
        ...
