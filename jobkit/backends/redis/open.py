"""Opening a job: its fence becomes its key's mark, and the server tells what to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.history import load_failures
from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import ENDING, check_name, facts, store_script
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports import rules
from jobkit.ports.store import Conflict, Duplicate, Early, Gap, OpenAnswer, Opened, Skipped, Stale, Superseded

OPEN = store_script("open", "outbox", *ENDING, "foreign", "end_early")


def key_of(envelope: Envelope) -> str:
    """Return the envelope's key. Raises `ValueError` where it carries none, or one that cannot be kept."""
    key = rules.key_of(envelope)
    check_name(envelope.type, key)
    return key


def holder(envelope: Envelope, fence: Fence) -> tuple[str, str, str, str, str]:
    """Return who writes, and to which job, as scripts are told."""
    return envelope.id, envelope.type, key_of(envelope), str(fence.token), fence.nonce


def arguments(envelope: Envelope, fence: Fence, *, whole: bool) -> Sequence[Argument]:
    """Return the arguments of `OPEN`; `whole`: the server has asked for the envelope."""
    without_key = rules.keyless_digest_of(envelope) if whole else ""
    fenced = (str(fence.token), fence.nonce, fence.owner)
    kept = (str(rules.SILENT_KEPT), envelope.priority.value, str(rules.TAKE_OVERS_KEPT))
    return (*facts(envelope, whole=whole), *fenced, without_key, *kept)


def answer(envelope: Envelope, row: Sequence[Any]) -> OpenAnswer | None:
    """Return what the answer of `OPEN` says, or None where it needs the envelope."""
    match row:
        case [b"opened", opens, failures, entries, silent]:
            return Opened(int(opens), load_failures(failures), int(entries), int(silent))
        case [b"early", seconds]:
            return Early(float(seconds))
        case [b"ended"]:
            return Duplicate(Receipt(envelope.id, "duplicate"))
        case [(b"cancelled" | b"expired" | b"scheduled" | b"moved" | b"forgotten") as kind]:
            return Duplicate(Receipt(envelope.id, kind.decode()))
        case [b"stale", mark]:
            return Stale(int(mark))
        case [b"gap", expected, blocked]:
            return Gap(int(expected), bool(blocked))
        case [b"skipped", following]:
            return Skipped(int(following))
        case [b"superseded", sequence]:
            return Superseded(int(sequence))
        case [b"unknown"]:
            return None
        case _:
            return Conflict(envelope.id)
