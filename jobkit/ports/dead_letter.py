"""What is kept of a message that cannot become a job, alike in every store, and what makes two such messages one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from jobkit.model.envelope import Envelope, Heading
from jobkit.ports.rules import keepable


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter of a message as every store keeps it. `packed` is None where the message makes no job.

    `headers` is JSON; `fingerprint` is the message's identity: it is the same each time the message comes, and another
    one for each that differs in anything that could be read of it.
    """

    envelope: Envelope | None
    id: str | None
    type: str | None
    key: str | None
    sequence: int | None
    reason: str
    detail: str
    raw: bytes
    packed: bytes | None
    headers: str
    fingerprint: bytes


def letter_of(raw: bytes, envelope: Envelope | None, heading: Heading, *, reason: str, detail: str) -> Letter:
    """Return the letter of a message. An envelope that no store could keep is as good as none."""
    if envelope is not None:
        try:
            Envelope.unpack(envelope.pack())
        except (ValueError, TypeError):
            heading = Heading(envelope.id, envelope.type, envelope.key, {})
            envelope = None
    packed = None if envelope is None else envelope.pack()
    headers = {keepable(name): keepable(value) for name, value in heading.headers.items()}
    said = [heading.id, heading.type, heading.key, sorted(headers.items())]
    fingerprint = hashlib.sha256()
    for part in (raw, packed or b"", json.dumps(said).encode()):
        fingerprint.update(len(part).to_bytes(8, "big"))
        fingerprint.update(part)
    return Letter(
        envelope=envelope,
        id=_told(heading.id) if envelope is None else envelope.id,
        type=_told(heading.type) if envelope is None else envelope.type,
        key=_told(heading.key) if envelope is None else envelope.key,
        sequence=None if envelope is None else envelope.sequence,
        reason=keepable(reason),
        detail=keepable(detail),
        raw=raw,
        packed=packed,
        headers=json.dumps(headers) if headers else "",
        fingerprint=fingerprint.digest(),
    )


def load_headers(stored: str | bytes | None) -> Mapping[str, str]:
    """Return the headers that a letter was stored with."""
    found: dict[str, str] = json.loads(stored) if stored else {}
    return found


def _told(text: str | None) -> str | None:
    return None if text is None else keepable(text)
