"""The in-flight table, a part of the store: jobs whose delivery was acked before they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition


@dataclass(frozen=True, slots=True)
class Shelved:
    """A job whose delivery was acked while it runs or waits; `envelope` is all that is needed to run it again."""

    position: int
    envelope: Envelope


class InFlight(Protocol):
    """What runs for long or waits behind it; whoever leads the partition brings it back to a worker."""

    async def shelve(self, envelope: Envelope, partition: Partition) -> Receipt:
        """Move a job from its delivery into the in-flight table, so that the delivery can be acked before it ends.

        Whatever ends the job takes it out again; one that has ended is not put in. A message that conflicts with the
        job of its id, or that is superseded (see `open`), is dead-lettered instead. Idempotent.

        It goes to `partition`, or where by the type's layout nobody leads that, to its key's. Where it is in the table
        already, it keeps its place. As long as the one of its key before it is in another partition, it goes there, or
        stays where it is.
        """
        ...

    async def shelved(
        self, partition: Partition, *, limit: int, key: str | None = None, after: int = 0
    ) -> Sequence[Shelved]:
        """Return jobs in the in-flight table behind the position `after`, oldest first; of one key, where it is given.

        Those that run, those that wait behind them, and those whose worker is gone.
        """
        ...

    async def shelved_keys(self, partition: Partition, *, limit: int, after: str = "") -> Sequence[str]:
        """Return keys above `after`, in order, that have jobs in the in-flight table, however many each has."""
        ...
