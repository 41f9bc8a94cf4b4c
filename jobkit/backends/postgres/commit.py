"""Committing jobs: what the server is told of their effects, and what its answers mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobkit.backends.postgres import outbox, submit
from jobkit.backends.postgres.sanitize import fit
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.rules import RELEASED, dump_manifest
from jobkit.ports.store import Committed, Duplicate, Effects, Refused

COMMIT = (
    "SELECT * FROM jobkit.commit_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
    "$19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, "
    "$34, $35, $36, $37, $38)"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """One job to commit."""

    envelope: Envelope
    fence: Fence
    effects: Effects

    @property
    def apart(self) -> tuple[str, str | None]:
        """What no two of one call may share: their effects are written all at once."""
        return self.envelope.type, self.envelope.key


def arguments(endings: Sequence[Ending]) -> tuple[Any, ...]:
    """Return the arguments of `COMMIT`."""
    envelopes = [ending.envelope for ending in endings]
    placed = [(place, ending.effects) for place, ending in enumerate(endings, start=1)]
    records = [(place, fit(name), value) for place, effects in placed for name, value in effects.records.items()]
    entries = [(place, fit(entry.kind), entry.data) for place, effects in placed for entry in effects.entries]
    manifests = [(place, dump_manifest(effects.blobs)) for place, effects in placed if effects.blobs]
    follow_ups = [(place, job) for place, effects in placed for job in effects.follow_ups]
    return (
        [envelope.id for envelope in envelopes],
        [envelope.type for envelope in envelopes],
        [envelope.key for envelope in envelopes],
        [ending.fence.token for ending in endings],
        [ending.fence.nonce for ending in endings],
        [ending.effects.result for ending in endings],
        *_columns(records, 3),
        *_columns(entries, 3),
        *_columns(manifests, 2),
        [place for place, _ in follow_ups],
        *submit.columns([job for _, job in follow_ups]),
        *submit.names([job for _, job in follow_ups]),
        RELEASED,
        *submit.groups([job for _, job in follow_ups]),
        *submit.lines([job for _, job in follow_ups]),
        submit.notices([job.envelope for _, job in follow_ups]),
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> tuple[list[Any], ...]:
    return tuple([row[column] for row in rows] for column in range(width))


def answers(endings: Sequence[Ending], rows: Sequence[Mapping[str, Any]]) -> list[Committed | Duplicate | Refused]:
    """Return what the rows of `COMMIT` say of the jobs, in the order of the jobs."""
    by_place: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_place[row["place"]].append(row)
    return [_answer(ending.envelope, *by_place[place]) for place, ending in enumerate(endings, start=1)]


def _answer(
    envelope: Envelope, row: Mapping[str, Any], *released: Mapping[str, Any]
) -> Committed | Duplicate | Refused:
    match row["answer"]:
        case "committed" | "again":
            return Committed(Receipt(envelope.id, "committed"), [outbox.entry(item) for item in released])
        case "duplicate" | "cancelled" | "expired":
            return Duplicate(Receipt(envelope.id, row["answer"]))
        case _:
            return Refused(row["mark"])
