"""Whose a sequence of a key is: nobody's yet, some job's, or given up."""

from __future__ import annotations

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.ports.rules import HIGHEST_GIVEN, key_of


def is_taken(transaction: Transaction, envelope: Envelope, committed: int) -> bool:
    """Tell whether a job that is not known has a sequence that is to come and is another job's here."""
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
    """Tell whether the sequence was given up."""
    row = transaction.execute(
        "SELECT last FROM skipped WHERE type = ? AND key = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (type, key, sequence),
    ).fetchone()
    return row is not None and sequence <= row[0]
