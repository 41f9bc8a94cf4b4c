"""Opening jobs: what the server is told, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobkit.backends.postgres.history import load_failures
from jobkit.backends.postgres.submit import digest_of, dump_trace
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.store import Conflict, Duplicate, Gap, Opened, Skipped, Stale

OPEN = "SELECT * FROM jobkit.open_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"


@dataclass(frozen=True, slots=True)
class JobOpening:
    """One job to open."""

    envelope: Envelope
    fence: Fence

    @property
    def apart(self) -> tuple[str, str | None]:
        """What no two of one call may share: their marks are set one after another."""
        return self.envelope.type, self.envelope.key


def key_of(envelope: Envelope) -> str:
    """Return the envelope's key. Raises `ValueError` where it carries none."""
    if envelope.key is None:
        raise ValueError(f"the envelope of job {envelope.id} carries no key")
    return envelope.key


def arguments(openings: Sequence[JobOpening]) -> tuple[list[Any], ...]:
    """Return the arguments of `OPEN`."""
    envelopes = [opening.envelope for opening in openings]
    fences = [opening.fence for opening in openings]
    return (
        [envelope.id for envelope in envelopes],
        [envelope.type for envelope in envelopes],
        [envelope.key for envelope in envelopes],
        [envelope.sequence for envelope in envelopes],
        [digest_of(envelope) for envelope in envelopes],
        [digest_of(replace(envelope, key=None)) for envelope in envelopes],
        [dump_trace(envelope.trace) for envelope in envelopes],
        [envelope.schema for envelope in envelopes],
        [envelope.submitted_at for envelope in envelopes],
        [fence.token for fence in fences],
        [fence.nonce for fence in fences],
        [fence.owner for fence in fences],
    )


def answers(
    openings: Sequence[JobOpening], rows: Sequence[Mapping[str, Any]]
) -> list[Opened | Duplicate | Gap | Stale | Skipped | Conflict]:
    """Return what the rows of `OPEN` say of the jobs, in the order of the jobs."""
    by_place = {row["place"]: row for row in rows}
    return [_answer(opening.envelope, by_place[place]) for place, opening in enumerate(openings, start=1)]


def _answer(envelope: Envelope, row: Mapping[str, Any]) -> Opened | Duplicate | Gap | Stale | Skipped | Conflict:
    match row["answer"]:
        case "opened":
            return Opened(row["opens"], load_failures(row["failures"]), row["log_length"])
        case "duplicate" | "forgotten" as kind:
            return Duplicate(Receipt(envelope.id, kind))
        case "gap":
            return Gap(row["number"], row["blocked"])
        case "stale":
            return Stale(row["number"])
        case "skipped":
            return Skipped(row["number"])
        case _:
            return Conflict(envelope.id)
