"""Users' own statements and the store's in one transaction, for a store that is a database in which users have tables.

No store has to offer it: who asks another for it is told `NotTransactional`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.inspection import Cancellation
from jobkit.ports.store import Committed, Duplicate, Effects, NewJob, Refused, SubmitAnswer

# Writes with the connection it is called with, whose kind the store's documentation tells.
Participant = Callable[[Any], Awaitable[object]]


@runtime_checkable
class ForeignConnection(Protocol):
    """A caller's connection by another driver than the store's own, with a transaction open."""

    async def fetch_rows(self, sql: str, arguments: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
        """Run one statement and return its rows by column. Raises what the driver does.

        It is in the `format` style of PEP 249: a `%s` stands for each argument.
        """
        ...


@runtime_checkable
class TransactionalStore(Protocol):
    """What a store can besides, where it is a database in which users have tables of their own."""

    async def commit_with(
        self, envelope: Envelope, fence: Fence, effects: Effects, participants: Sequence[Participant]
    ) -> Committed | Duplicate | Refused:
        """Commit as `Store.commit` does, with what the participants write in the same transaction.

        They run one after another once the mark is verified, and only where the job is committed here and now; again
        where the transaction was rolled back, never once it is committed. Raises `ParticipantFailed`, with nothing
        written, where one of them raises or takes too long.
        """
        ...

    async def submit_in(self, connection: Any, jobs: Sequence[NewJob]) -> Sequence[SubmitAnswer]:
        """Accept jobs as `Store.submit` does, in the transaction that a caller has open on a connection to this store.

        That is one of the store's own driver, or a `ForeignConnection`. Nothing of it is true before the transaction
        commits, and it may not be published before. Raises
        `ConfigurationError` where there is no open transaction, or the connection leads elsewhere.
        """
        ...

    async def cancel_in(self, connection: Any, ids: Sequence[str], *, by: str, reason: str) -> Sequence[Cancellation]:
        """Cancel jobs as `Inspection.cancel` does, in a caller's transaction; as `submit_in` does it."""
        ...
