"""Finding jobs whose message is lost, a part of the store: those that the store itself would bring to nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition

# So many pages of a type's jobs are looked through for the oldest that waits.
_PAGES = 4


@dataclass(frozen=True, slots=True)
class Adrift:
    """A job that only a message can bring to a worker. `number` is its place in the order of acceptance.

    `running`: it was opened, by `owner` at last; whether that one still works on it, its lease tells. `delayed`: its
    last attempt failed, and the broker may rightly keep its message back for a while yet (`rules.kept_back`).
    """

    number: int
    envelope: Envelope
    running: bool
    owner: str | None
    delayed: bool = False


class MessageLoss(Protocol):
    """What whoever leads a partition reads to publish again what the broker has lost."""

    async def horizon(self) -> int:
        """Return the highest number of a job accepted so far, the upper bound that `adrift` is to be asked with."""
        ...

    async def adrift(
        self, partition: Partition, partitions: int, *, after: int, upto: int, limit: int
    ) -> tuple[Sequence[Adrift], int | None]:
        """Return a page of the jobs that the store itself would bring to nobody, in order of acceptance.

        That is, those of one of the type's `partitions` that have yet to end and are neither in the outbox nor in
        flight nor parked nor scheduled, with a number above `after` and at most `upto`. About `limit` jobs of the type
        are looked at, whatever becomes of them; the number to go on `after` comes with the page, or None at the end.
        """
        ...


async def oldest_waiting(store: MessageLoss, type: str, *, at_once: int = 500) -> float | None:
    """Return when the oldest job of a type was submitted that waits in a queue; None where none is found soon.

    A Unix time. So many jobs are looked at in one page, and `_PAGES` of them: before it are those that run. Raises
    `Unavailable`.
    """
    after: int | None = 0
    upto = await store.horizon()
    for _ in range(_PAGES):
        page, after = await store.adrift(Partition(type, 0), 1, after=after or 0, upto=upto, limit=at_once)
        for job in page:
            if not (job.running or job.delayed):
                return job.envelope.submitted_at
        if after is None:
            break
    return None
