"""The envelope: what travels with a payload from submit to commit.

Packed form: one line of JSON (everything but the payload), a newline, the payload's bytes as they came.
The payload is kept as bytes, so that what could not be parsed can still be shown and requeued untouched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

SCHEMA_VERSION = 1


def _without_nul(text: str) -> str:
    # Not every backend can keep one.
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


_Text = Annotated[str, AfterValidator(_without_nul)]


class _Head(BaseModel):
    """The first line of a packed envelope, which anybody may have written."""

    model_config = ConfigDict(strict=True, extra="allow")

    id: Annotated[_Text, Field(min_length=1, max_length=200)]
    type: Annotated[_Text, Field(min_length=1, max_length=200)]
    key: _Text | None = None
    sequence: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    submitted_at: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    trace: dict[str, str] = {}
    schema_: Annotated[int, Field(alias="schema", ge=1)] = SCHEMA_VERSION


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
        """Return the envelope that `pack` made `packed` from. Raises `ValueError` naming each field that is wrong."""
        first_line, _, body = packed.partition(b"\n")
        try:
            head = _Head.model_validate_json(first_line)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, item['loc'])) or 'head'}: {item['msg']}" for item in error.errors()]
            raise ValueError("; ".join(problems)) from error
        if head.model_extra and head.schema_ <= SCHEMA_VERSION:
            raise ValueError(f"unknown fields: {', '.join(head.model_extra)}")
        return cls(
            id=head.id,
            type=head.type,
            body=body,
            key=head.key,
            sequence=head.sequence,
            submitted_at=head.submitted_at,
            trace=head.trace,
            schema=head.schema_,
        )

    def with_key(self, key: str) -> Envelope:
        """Return this envelope under `key`."""
        return replace(self, key=key)

    def with_sequence(self, sequence: int) -> Envelope:
        """Return this envelope with its place among those of its key. Each ordered job is given one, so it is quick."""
        return Envelope(self.id, self.type, self.body, self.key, sequence, self.submitted_at, self.trace, self.schema)
