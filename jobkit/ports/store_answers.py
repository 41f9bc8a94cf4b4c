"""What a store answers: how far a job had come, and what became of a write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobkit.model.envelope import Envelope
from jobkit.model.failure import Failure as Failure
from jobkit.model.fence import Receipt


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job is durable: `envelope` is as it was accepted, with its sequence; `position` is its outbox entry.

    One that is scheduled has neither until it is due, at the Unix time `due` on the store's clock. In the same
    transaction the job `replaced`, which held its unique name and had not begun, was cancelled. One that `waits` for a
    place of its tenant's has neither, too: it is scheduled, for no time, and goes to the outbox once there is one.
    """

    envelope: Envelope
    position: int | None
    due: float | None = None
    replaced: str | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """The same job (id and digest) was accepted before; nothing was written."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Kept:
    """Another job, `id`, holds the unique name and is left as it is; nothing was written.

    Of that one, `key` may yet have to be derived, `sequence` is its place in an order, and `due` when it is scheduled.
    """

    id: str
    key: str | None
    sequence: int | None
    due: float | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The id is known with another type, key or payload."""

    id: str


SubmitAnswer = Accepted | Known | Kept | Conflict


def replaced(answers: Sequence[SubmitAnswer]) -> set[str]:
    """Return the ids of the jobs that others took the place of."""
    return {answer.replaced for answer in answers if isinstance(answer, Accepted) and answer.replaced is not None}


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A job that is accepted, has yet to end, and whose message may not have reached the broker."""

    position: int
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Opened:
    """The mark is set and the job may be worked on.

    `opens` counts how often this job was opened under a new fence, this time included. `silent` counts the earlier of
    these starts whose end nobody reported, neither by a failed attempt nor with `interrupted`: it may have taken those
    workers down. `failures` are its latest failed attempts, oldest first. The key's log has `log_length` entries, and
    gets no more from anybody else while the fence is the mark.
    """

    opens: int
    failures: tuple[Failure, ...]
    log_length: int
    silent: int = 0


@dataclass(frozen=True, slots=True)
class Early:
    """The job failed, and its next attempt is due in `seconds` by the store's clock: it is not opened before."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The job has ended already; the receipt allows the ack. Its kind is "cancelled" or "expired" where it ended so.

    Or it is "scheduled", not due yet: it will have a message of its own then. Or it was "moved": its priority is
    another one by now, and so is its message.
    """

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Gap:
    """The key waits for sequence `expected`, which is lower than this job's.

    `blocked`: it will not come by itself, because it is dead-lettered or the key has jobs parked.
    """

    expected: int
    blocked: bool


@dataclass(frozen=True, slots=True)
class Stale:
    """The store has seen token `mark` (or this token with another nonce): claim again with `floor=mark`."""

    mark: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """An operator gave this sequence up before the job came; dead-letter it."""

    next_sequence: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The effects are true. `outbox` are the jobs that this commit released, to be published now."""

    receipt: Receipt
    outbox: Sequence[OutboxEntry] = ()


@dataclass(frozen=True, slots=True)
class Suspended:
    """The job waits for its group. `outbox` are the members that were accepted, to be published now."""

    receipt: Receipt
    outbox: Sequence[OutboxEntry] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was written, because the fence is no longer the key's mark; `mark` is the token that is."""

    mark: int


@dataclass(frozen=True, slots=True)
class Superseded:
    """The job is not known here, and its sequence is another job's: the store has lost the one and accepted the other.

    So it is after a failover to a replica that lagged, or a restore, while messages of the lost moments are left.
    """

    sequence: int


@dataclass(frozen=True, slots=True)
class Expired:
    """A job that has ended because it had not begun in time."""

    id: str
    type: str


NotOpened = Early | Duplicate | Gap | Stale | Skipped | Superseded | Conflict
OpenAnswer = Opened | NotOpened
