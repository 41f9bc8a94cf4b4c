"""The repairs that only a command may do: requeue, purge, republish, resume, skip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import ENDING, check_name, facts, store_script
from jobkit.errors import UniqueNameTaken
from jobkit.model.envelope import Envelope
from jobkit.ports.rules import HIGHEST_GIVEN, beyond_sequences, digest_of, keyless_digest_of, nothing_to_skip

_LETTERS = ("outbox", "order", "ending", "letters")
ENVELOPE_OF_LETTER = store_script("letter_envelope", *_LETTERS)
REQUEUE = store_script("requeue", "outbox", *ENDING, "end_early", "unique", "foreign")
PURGE = store_script("purge", "outbox", *ENDING)
REPUBLISH = store_script("republish", "outbox")
RESUME = store_script("resume", "outbox", "order")
SKIP = store_script("skip", "outbox", "order")


def keyed(row: Sequence[Any]) -> Envelope | None:
    """Return the envelope in the answer of `ENVELOPE_OF_LETTER` under the key that its job has by now, or None."""
    packed, key = row
    if packed is None:
        return None
    envelope = Envelope.unpack(packed)
    return envelope.with_key(key.decode()) if envelope.key is None and key is not None else envelope


def requeue_arguments(number: int, envelope: Envelope) -> Sequence[Argument]:
    """Return the arguments of `REQUEUE`."""
    return (str(number), *facts(envelope), keyless_digest_of(envelope))


def is_requeued(number: int, row: Sequence[Any]) -> bool:
    """Return whether `REQUEUE` could do it. Raises `UniqueNameTaken` where another job holds the job's name."""
    match row:
        case [b"taken", name, holder]:
            raise UniqueNameTaken(number, name.decode(), holder.decode())
        case _:
            return bool(row[0])


def purge_arguments(number: int, envelope: Envelope | None) -> Sequence[Argument]:
    """Return the arguments of `PURGE`."""
    if envelope is None:
        return (str(number),)
    return (str(number), envelope.id, digest_of(envelope), keyless_digest_of(envelope))


def check_skip(type: str, key: str, before: int) -> None:
    """Raise `ValueError` where a key cannot be kept, or would be taken to sequences that are given to nobody."""
    check_name(type, key)
    if before > HIGHEST_GIVEN:
        raise beyond_sequences(type, key)


def skipped(type: str, key: str, before: int, row: Sequence[Any]) -> int:
    """Return how many jobs the answer of `SKIP` says were released."""
    match row:
        case [b"skipped", released]:
            return int(released)
        case [_, expected]:
            raise nothing_to_skip(type, key, int(expected), before)
        case _:
            raise AssertionError(row)
