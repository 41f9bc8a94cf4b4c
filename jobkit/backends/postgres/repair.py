"""The repairs that only a command may do: requeue, purge, republish, resume, skip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres.submit import facts
from jobkit.errors import UniqueNameTaken
from jobkit.model.envelope import Envelope
from jobkit.ports.rules import (
    HIGHEST_GIVEN,
    RELEASED,
    beyond_sequences,
    digest_of,
    keyless_digest_of,
    nothing_to_skip,
)

ENVELOPE_OF_LETTER = """
    SELECT d.envelope, j.key FROM jobkit.dead d LEFT JOIN jobkit.jobs j ON j.id = d.id WHERE d.number = $1
"""
REQUEUE = "SELECT * FROM jobkit.requeue_dead($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
PURGE = "SELECT jobkit.purge_dead($1, $2, $3, $4, $5) AS done"
REPUBLISH = "SELECT id FROM jobkit.republish($1)"
RESUME = "SELECT jobkit.resume_gap($1, $2, $3) AS released"
SKIP = "SELECT * FROM jobkit.skip_gap($1, $2, $3, $4)"


def keyed(row: Mapping[str, Any]) -> Envelope | None:
    """Return the envelope in a row of `ENVELOPE_OF_LETTER` under the key that its job has by now, or None."""
    if row["envelope"] is None:
        return None
    envelope = Envelope.unpack(row["envelope"])
    return envelope.with_key(row["key"]) if envelope.key is None and row["key"] else envelope


def requeue_arguments(number: int, envelope: Envelope) -> tuple[Any, ...]:
    """Return the arguments of `REQUEUE`."""
    return (number, *facts(envelope), keyless_digest_of(envelope), RELEASED)


def is_requeued(number: int, row: Mapping[str, Any]) -> bool:
    """Return whether `REQUEUE` could do it. Raises `UniqueNameTaken` where another job holds the job's name."""
    if row["holder"] is not None:
        raise UniqueNameTaken(number, row["name"], row["holder"])
    return bool(row["requeued"])


def purge_arguments(number: int, envelope: Envelope | None) -> tuple[Any, ...]:
    """Return the arguments of `PURGE`."""
    if envelope is None:
        return (number, None, None, None, RELEASED)
    return (number, envelope.id, digest_of(envelope), keyless_digest_of(envelope), RELEASED)


def check_skip(type: str, key: str, before: int) -> None:
    """Raise `ValueError` where a key would be taken to sequences that are given to nobody."""
    if before > HIGHEST_GIVEN:
        raise beyond_sequences(type, key)


def skipped(type: str, key: str, before: int, row: Mapping[str, Any]) -> int:
    """Return what `SKIP` says. Raises `ValueError` where nothing could be skipped."""
    if row["released"] is None:
        raise nothing_to_skip(type, key, row["expected"], before)
    released: int = row["released"]
    return released
