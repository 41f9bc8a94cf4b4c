"""The envelope: what travels with a payload from submit to commit.

Packed form: one line of JSON (everything but the payload), a newline, the payload's bytes as they came.
The payload is kept as bytes, so that what could not be parsed can still be shown and requeued untouched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """One job on its way.

    `key` and `sequence` may be missing on messages of foreign publishers: the key is then derived from the
    payload, and a missing sequence means that the job is taken in its queue's order. `trace` carries W3C trace
    context. `submitted_at` is Unix time in seconds, for people.
    """

    id: str
    type: str
    body: bytes
    key: str | None = None
    sequence: int | None = None
    submitted_at: float = 0.0
    trace: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION

    def digest(self) -> str:
        """Return what makes two envelopes of one id the same job: a SHA-256 over type, key and payload."""
        canonical = hashlib.sha256()
        for part in (self.type.encode(), (self.key or "").encode(), self.body):
            canonical.update(len(part).to_bytes(8, "big"))
            canonical.update(part)
        return canonical.hexdigest()

    def pack(self) -> bytes:
        """Return the envelope as bytes; `unpack` is its inverse."""
        head = {
            "id": self.id,
            "type": self.type,
            "key": self.key,
            "sequence": self.sequence,
            "submitted_at": self.submitted_at,
            "trace": dict(self.trace),
            "schema": self.schema,
        }
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def unpack(cls, packed: bytes) -> Envelope:
        """Return the envelope that `pack` made `packed` from."""
        head, _, body = packed.partition(b"\n")
        return cls(body=body, **json.loads(head))

    def with_key(self, key: str) -> Envelope:
        """Return this envelope under `key`."""
        return replace(self, key=key)
