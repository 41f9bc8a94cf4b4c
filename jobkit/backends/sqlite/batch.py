"""Running a batch of operations in one transaction, which is left open for the engine to commit.

Each operation happens as a whole or not at all, and one that raises takes none of its neighbours with it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from jobkit.backends.sqlite.faults import is_busy
from jobkit.backends.sqlite.store_clock import TICK_SECONDS, note_time
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane


@dataclass(eq=False, slots=True)
class Call:
    """One operation that was asked for, and where its outcome goes."""

    operation: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    plane: Plane
    writes: bool
    future: asyncio.Future[Any]

    def run(self, transaction: Transaction) -> Any:
        """Run it, and return its outcome."""
        return self.operation(transaction, *self.args, **self.kwargs)


@dataclass(eq=False, slots=True)
class Batch:
    """The calls that share a transaction, and what became of them, in the same order.

    `isolated`: one of them failed, so each is run within a savepoint of its own.
    """

    calls: list[Call]
    isolated: bool = False
    outcomes: list[Any] = field(default_factory=list)
    topics: Iterable[str] = ()

    @property
    def writes(self) -> bool:
        """Whether any of them takes the write lock."""
        return any(call.writes for call in self.calls)


@dataclass(frozen=True, slots=True)
class Raised:
    """The outcome of a call that failed, by itself."""

    error: Exception


class BatchRunner:
    """Runs batches on one connection. `offset` makes store time of the clock's."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock, offset: float) -> None:
        self._connection = connection
        self._clock = clock
        self._offset = offset
        self._ticked = float("-inf")

    def run(self, batch: Batch) -> None:
        """Run the batch's operations in a transaction and leave it open."""
        transaction = self._begin(batch.writes)
        if not batch.isolated:
            try:
                batch.outcomes = [call.run(transaction) for call in batch.calls]
            except Exception as error:
                if is_busy(error):
                    raise
                # Which of them were in order is found by running each within a savepoint of its own.
                self.roll_back()
                batch.isolated = True
                transaction = self._begin(batch.writes)
        if batch.isolated:
            transaction = self._run_each(transaction, batch)
        batch.topics = transaction.topics

    def roll_back(self) -> None:
        """Undo what is open, if anything is."""
        self._ticked = float("-inf")
        if self._connection.in_transaction:
            self._connection.rollback()

    def _run_each(self, transaction: Transaction, batch: Batch) -> Transaction:
        """Run each operation within a savepoint, and return the transaction in which those that succeed stand.

        For some errors, a full disk among them, SQLite gives up the whole transaction. Then the others are run in a new
        one without the operation that brought it about.
        """
        given_up: dict[int, Exception] = {}
        while True:
            batch.outcomes = []
            for place, call in enumerate(batch.calls):
                if place in given_up:
                    batch.outcomes.append(Raised(given_up[place]))
                    continue
                try:
                    batch.outcomes.append(self._run_apart(transaction, call))
                except Exception as error:
                    if is_busy(error):
                        raise
                    given_up[place] = error
                    break
            else:
                return transaction
            self.roll_back()
            transaction = self._begin(batch.writes)

    def _begin(self, writes: bool) -> Transaction:
        self._connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        # Read under the write lock, so that time does not run backwards from one transaction to the next.
        now = self._clock.now() + self._offset
        if writes and now - self._ticked >= TICK_SECONDS:
            note_time(self._connection, now)
            self._ticked = now
        return Transaction(self._connection, now, self._clock.wall())

    def _run_apart(self, transaction: Transaction, call: Call) -> Any:
        topics = set(transaction.topics)
        self._connection.execute("SAVEPOINT operation")
        try:
            outcome = call.run(transaction)
        except Exception as error:
            if is_busy(error) or not self._connection.in_transaction:
                # Nobody's operation stands.
                raise
            self._connection.execute("ROLLBACK TO operation")
            transaction.topics = topics
            outcome = Raised(error)
        self._connection.execute("RELEASE operation")
        return outcome
