"""Opening jobs: what the server is told, and what its answers mean. `functions/open.sql` decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobkit.backends.postgres.history import load_failures
from jobkit.backends.postgres.submit import dump_trace, notices
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import slot_of
from jobkit.model.priority import Priority
from jobkit.ports.rules import HIGHEST_GIVEN, RELEASED, SILENT_KEPT, TAKE_OVERS_KEPT, digest_of, keyless_digest_of
from jobkit.ports.store import Conflict, Duplicate, Early, Gap, OpenAnswer, Opened, Skipped, Stale, Superseded

OPEN = (
    "SELECT * FROM jobkit.open_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
    "$19, $20)"
)


@dataclass(frozen=True, slots=True)
class JobOpening:
    """One job to open; `whole`: the server has asked for its envelope."""

    envelope: Envelope
    fence: Fence
    whole: bool = False

    @property
    def apart(self) -> tuple[str, str | None]:
        """What no two of one call may share: their marks are set one after another."""
        return self.envelope.type, self.envelope.key


def arguments(openings: Sequence[JobOpening]) -> tuple[Any, ...]:
    """Return the arguments of `OPEN`."""
    envelopes = [opening.envelope for opening in openings]
    fences = [opening.fence for opening in openings]
    return (
        [envelope.id for envelope in envelopes],
        [envelope.type for envelope in envelopes],
        [envelope.key for envelope in envelopes],
        [envelope.sequence for envelope in envelopes],
        [slot_of(envelope.key) for envelope in envelopes],
        [digest_of(envelope) for envelope in envelopes],
        [keyless_digest_of(opening.envelope) if opening.whole else None for opening in openings],
        [dump_trace(envelope.trace) for envelope in envelopes],
        [envelope.schema for envelope in envelopes],
        [envelope.submitted_at for envelope in envelopes],
        [opening.envelope.pack() if opening.whole else None for opening in openings],
        [fence.token for fence in fences],
        [fence.nonce for fence in fences],
        [fence.owner for fence in fences],
        HIGHEST_GIVEN,
        SILENT_KEPT,
        RELEASED,
        _priorities(envelopes),
        TAKE_OVERS_KEPT,
        notices(envelopes) if any(opening.whole for opening in openings) else [],
    )


def _priorities(envelopes: Sequence[Envelope]) -> list[str]:
    """Return the priorities of messages: nothing where all are normal."""
    if all(envelope.priority is Priority.NORMAL for envelope in envelopes):
        return []
    return [envelope.priority.value for envelope in envelopes]


def answers(openings: Sequence[JobOpening], rows: Sequence[Mapping[str, Any]]) -> list[OpenAnswer | None]:
    """Return what the rows of `OPEN` say of the jobs, in their order; None where the server needs the envelope."""
    by_place = {row["place"]: row for row in rows}
    return [_answer(opening.envelope, by_place[place]) for place, opening in enumerate(openings, start=1)]


def _answer(envelope: Envelope, row: Mapping[str, Any]) -> OpenAnswer | None:
    match row["answer"]:
        case "opened":
            return Opened(row["opens"], load_failures(row["failures"]), row["log_length"], row["silent"])
        case "early":
            return Early(row["due_in"])
        case "duplicate" | "cancelled" | "expired" | "scheduled" | "moved" | "forgotten" as kind:
            return Duplicate(Receipt(envelope.id, kind))
        case "gap":
            return Gap(row["number"], row["blocked"])
        case "stale":
            return Stale(row["number"])
        case "skipped":
            return Skipped(row["number"])
        case "superseded":
            return Superseded(row["number"])
        case "unknown":
            return None
        case _:
            return Conflict(envelope.id)
