"""The repairs that only a command may do: requeue, purge, resume, skip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.submit import check_name, store_script

REQUEUE = store_script("requeue", "outbox", "order", "letters")
PURGE = store_script("purge", "outbox", "order", "letters")
RESUME = store_script("resume", "outbox", "order")
SKIP = store_script("skip", "outbox", "order")

# Scripts count in doubles: above this, sequences that follow each other could not be told apart.
HIGHEST_SEQUENCE = 1 << 53


def check_skip(type: str, key: str, before: int) -> None:
    """Raise `ValueError` where a key cannot be kept, or would be taken to sequences that cannot be counted on."""
    check_name(type, key)
    if before > HIGHEST_SEQUENCE:
        raise ValueError(f"{type}/{key}: sequences on Redis end at {HIGHEST_SEQUENCE}, nothing can be skipped beyond")


def skipped(type: str, key: str, before: int, row: Sequence[Any]) -> int:
    """Return how many jobs the answer of `SKIP` says were released."""
    match row:
        case [b"skipped", released]:
            return int(released)
        case [_, expected]:
            raise ValueError(f"{type}/{key} waits for sequence {int(expected)}: nothing can be skipped before {before}")
        case _:
            raise AssertionError(row)
