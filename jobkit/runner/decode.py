"""First stage: decode. From bytes that arrived to a job that may be worked on, or the reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobkit.errors import ConfigurationError, PayloadInvalid, PayloadNewer, UnknownMember
from jobkit.model.envelope import NOTHING_READ, SCHEMA_VERSION, Envelope, Heading
from jobkit.model.limit import Limit
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import Processor, checked_key
from jobkit.plugin.registry import Registry


@dataclass(frozen=True, slots=True)
class Job:
    """A decoded job: its envelope carries its key, its payload is valid."""

    envelope: Envelope
    processor: Processor[Any, Any]
    payload: Payload
    limits: tuple[Limit, ...] = ()

    @property
    def key(self) -> str:
        """The key: what one lease covers and one lane serialises."""
        return self.envelope.key or ""

    @property
    def resource(self) -> str:
        """The name that the job's lease is claimed under."""
        return f"{self.envelope.type}/{self.envelope.key}"

    @property
    def sequence(self) -> int | None:
        """The job's place among those of its key, where it has one."""
        return self.envelope.sequence


@dataclass(frozen=True, slots=True)
class Malformed:
    """What arrived cannot be worked on; `reason` is for the dead letter, `detail` and `heading` say more."""

    raw: bytes
    envelope: Envelope | None
    reason: str
    detail: str
    heading: Heading = NOTHING_READ


@dataclass(frozen=True, slots=True)
class Unknown:
    """A job of which this worker does not know something: one of another version may, and it is held for that one.

    `kind` says what is unknown: schema, field, type or payload.
    """

    raw: bytes
    envelope: Envelope
    kind: str
    detail: str

    @property
    def malformed(self) -> Malformed:
        """What it is where nobody knows it."""
        return Malformed(self.raw, self.envelope, f"unknown {self.kind}", self.detail)


NotJob = Malformed | Unknown


def decode(
    raw: bytes,
    envelope: Envelope | None,
    problem: str,
    registry: Registry,
    *,
    max_bytes: int,
    heading: Heading = NOTHING_READ,
) -> Job | NotJob:
    """Return the job in a message. `problem` is what the broker found wrong with it already, `heading` what it read."""
    if envelope is None:
        return Malformed(raw, None, "malformed message", problem, heading)
    if envelope.schema > SCHEMA_VERSION:
        detail = f"schema {envelope.schema} is newer than {SCHEMA_VERSION}: upgrade jobkit here"
        return Unknown(raw, envelope, "schema", detail)
    if envelope.extra:
        return Unknown(raw, envelope, "field", f"unknown fields of the envelope: {', '.join(envelope.extra)}")
    if len(envelope.body) > max_bytes:
        detail = f"the payload has {len(envelope.body)} bytes, JOBKIT_MAX_PAYLOAD_BYTES allows {max_bytes}"
        return Malformed(raw, envelope, "oversized payload", detail)
    try:
        processor, body = registry.addressed(envelope.type, envelope.body)
    except UnknownMember as error:
        return Unknown(raw, envelope, "type", str(error))
    except ConfigurationError as error:
        return Malformed(raw, envelope, "unknown type", str(error))
    try:
        payload = processor.parse(body, envelope.version)
        key = processor.key_of(payload) if envelope.key is None else checked_key(envelope.key)
        limits = processor.limits_of(payload)
    except PayloadNewer as error:
        return Unknown(raw, envelope, "payload", str(error))
    except PayloadInvalid as error:
        return Malformed(raw, envelope, "invalid payload", str(error))
    return Job(envelope if envelope.key == key else envelope.with_key(key), processor, payload, limits)
