"""Sequences that are given up: by an operator, before their jobs came, or together with their jobs.

They are kept as ranges that neither overlap nor touch, so that whoever closes the gap before one finds its end at once.
One may lie ahead of what the key waits for; it is passed over when the key gets there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from jobkit.backends.sqlite import park
from jobkit.backends.sqlite.transaction import Transaction


def give_up(transaction: Transaction, type: str, key: str, first: int, last: int) -> int:
    """Give up sequences of a key that has a row; return how many parked jobs that released.

    Where the key waits for one of them it goes on behind. Where their turn was over, the next parked ones whose turn is
    over, too, come out.
    """
    first, last = _join(transaction, type, key, first, last)
    (committed,) = transaction.execute(
        "SELECT committed FROM keys WHERE type = ? AND key = ?", (type, key)
    ).fetchone() or (0,)
    if first > committed + 1:
        return 0
    if last > committed:
        committed = last
        transaction.execute(
            "UPDATE keys SET committed = ?, touched = ? WHERE type = ? AND key = ?", (last, transaction.now, type, key)
        )
    return len(park.release_next(transaction, type, key, committed + 1))


def give_up_all(transaction: Transaction, turns: Iterable[tuple[str, str | None, int | None]]) -> None:
    """Give up the turns of jobs, by type, key and sequence, of which those have one that have both of the latter."""
    sequences: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for type, key, sequence in turns:
        if key is not None and sequence is not None:
            sequences[type, key].append(sequence)
    for (type, key), given_up in sequences.items():
        for first, last in _runs(sorted(given_up)):
            give_up(transaction, type, key, first, last)


def _runs(sequences: list[int]) -> list[tuple[int, int]]:
    """Return the sequences, which rise, as ranges without a hole."""
    runs: list[tuple[int, int]] = []
    for sequence in sequences:
        if runs and sequence <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], sequence)
        else:
            runs.append((sequence, sequence))
    return runs


def _join(transaction: Transaction, type: str, key: str, first: int, last: int) -> tuple[int, int]:
    """Write a range together with those that it overlaps or touches; return what it is then."""
    rows = transaction.execute(
        "DELETE FROM skipped WHERE type = ?1 AND key = ?2 AND first - 1 <= ?4 AND last >= ?3 - 1 "
        "AND first >= (SELECT coalesce(max(first), 0) FROM skipped WHERE type = ?1 AND key = ?2 AND first <= ?3) "
        "RETURNING first, last",
        (type, key, first, last),
    ).fetchall()
    first = min([first, *(row[0] for row in rows)])
    last = max([last, *(row[1] for row in rows)])
    transaction.execute("INSERT INTO skipped (type, key, first, last) VALUES (?, ?, ?, ?)", (type, key, first, last))
    return first, last
