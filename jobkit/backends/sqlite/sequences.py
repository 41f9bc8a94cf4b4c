"""Whose a sequence of a key is: nobody's yet, some job's, or given up."""

from __future__ import annotations

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.ports.rules import HIGHEST_GIVEN, key_of, without_order


def is_taken(transaction: Transaction, envelope: Envelope, committed: int) -> bool:
    """Return whether a job that is not known has a sequence that is to come and is another job's here."""
    if envelope.sequence is None or not committed < envelope.sequence <= HIGHEST_GIVEN:
        return False
    (taken,) = transaction.execute(
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE type = ?1 AND key = ?2 AND sequence = ?3 AND ended IS NULL) "
        "OR EXISTS (SELECT 1 FROM jobs WHERE type = ?1 AND key = ?2 AND sequence = ?3 AND state = 'dead')",
        (envelope.type, envelope.key, envelope.sequence),
    ).fetchone()
    # Cancelled ones, whose turn is to come, are given up.
    return bool(taken) or is_skipped(transaction, envelope.type, key_of(envelope), envelope.sequence)


def is_skipped(transaction: Transaction, type: str, key: str, sequence: int) -> bool:
    """Return whether the sequence was given up."""
    row = transaction.execute(
        "SELECT last FROM skipped WHERE type = ? AND key = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (type, key, sequence),
    ).fetchone()
    return row is not None and sequence <= row[0]


def next_sequence(transaction: Transaction, envelope: Envelope) -> int:
    """Give out the next sequence of the envelope's key. Raises `ValueError` where it carries none."""
    if envelope.key is None:
        raise without_order(envelope)
    (sequence,) = transaction.execute(
        "INSERT INTO keys (type, key, token, submitted, touched) VALUES (?, ?, (SELECT floor FROM retention), 1, ?) "
        "ON CONFLICT DO UPDATE SET submitted = submitted + 1, touched = excluded.touched RETURNING submitted",
        (envelope.type, envelope.key, transaction.now),
    ).fetchone()
    return int(sequence)
