"""Envelopes as AMQP messages and back: the body is the payload, everything else is properties and headers.

It does not trust what it reads: a message that anybody may have published becomes a delivery with an envelope, or one
with the problem that it has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aio_pika
from aiormq import spec

from jobkit.backends.rabbitmq.frame_reader import UNREADABLE, Delivered
from jobkit.model.envelope import (
    MAX_ID_LENGTH,
    MAX_SCHEMA,
    MAX_VERSION,
    SCHEMA_VERSION,
    Envelope,
    Heading,
)
from jobkit.model.notice import Notice, packed, unpacked
from jobkit.model.partition import Partition
from jobkit.model.read_text import bounded_key
from jobkit.model.sequence import MAX_SEQUENCE
from jobkit.ports.broker import Delivery

# The default of RabbitMQ 4; earlier versions take more.
MAX_BODY_BYTES = 16 << 20
# Properties and headers have to fit into one frame, of 128 KiB unless the server says otherwise.
MAX_HEAD_BYTES = 64 << 10

KEY = "jobkit-key"
SEQUENCE = "jobkit-sequence"
SUBMITTED_AT = "jobkit-submitted-at"
SCHEMA = "jobkit-schema"
LONG_ID = "jobkit-id"
TRACE = "jobkit-trace"
VERSION = "jobkit-version"
NOTICES = "jobkit-notices"
DELAYED = "jobkit-delayed"
DELAY_LEFT = "jobkit-delay-left"
# Each other header of that beginning is a field of the envelope that a later version of jobkit has written.
_OURS = "jobkit-"
_KNOWN = frozenset({KEY, SEQUENCE, SUBMITTED_AT, SCHEMA, LONG_ID, TRACE, VERSION, NOTICES, DELAYED, DELAY_LEFT})

# What W3C calls them is what tracing tools look for; whatever else a propagator adds goes into a table of its own.
_TRACE_HEADERS = ("traceparent", "tracestate", "baggage")
_SHORT_BYTES = 255
# What the server notes about a message's past. Published again, it would make the server see a loop, and drop it.
_BROKERS_OWN = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count", "x-opt-")


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: a body with its properties, to the queue of that name."""

    queue: str
    body: bytes
    properties: spec.Basic.Properties


def addressed(message: aio_pika.Message, queue: str) -> Message:
    """Return a message of aio-pika as it is published to a queue."""
    return Message(queue, message.body, message.properties)


def to_message(envelope: Envelope, queue: str) -> Message:
    """Return the message that carries `envelope`, one to which `too_large_for` has no objection."""
    headers: dict[str, Any] = {SCHEMA: envelope.schema, SUBMITTED_AT: repr(envelope.submitted_at)}
    if envelope.key is not None:
        headers[KEY] = envelope.key
    if envelope.sequence is not None:
        headers[SEQUENCE] = envelope.sequence
    if envelope.version != 1:
        headers[VERSION] = envelope.version
    for name, value in envelope.extra.items():
        headers[_OURS + name.replace("_", "-")] = json.dumps(value)
    other_trace = {}
    for name, value in envelope.trace.items():
        if name in _TRACE_HEADERS:
            headers[name] = value
        else:
            other_trace[name] = value
    if other_trace:
        headers[TRACE] = other_trace
    if envelope.notices:
        headers[NOTICES] = packed(envelope.notices)
    id = envelope.id
    if len(id.encode()) > _SHORT_BYTES:
        headers[LONG_ID] = id
        id = id.encode()[:_SHORT_BYTES].decode(errors="ignore")
    properties = spec.Basic.Properties(
        content_type="application/json",
        delivery_mode=2,
        message_id=id,
        message_type=envelope.type,
        app_id="jobkit",
        headers=headers,
    )
    return Message(queue, envelope.body, properties)


def to_delivery(message: Delivered, partition: Partition) -> Delivery:
    """Return the delivery of a message that came out of `partition`'s queue."""
    headers = message.properties.headers or {}
    redelivered = message.redelivered or DELAYED in headers
    try:
        envelope = _envelope(message.body, message.properties, headers, partition)
    except ValueError as error:
        heading = _heading(message.properties, headers)
        return Delivery(message.tag, message.body, None, f"not a job: {error}", redelivered, heading)
    return Delivery(message.tag, message.body, envelope, "", redelivered)


def delayed(body: bytes, properties: spec.Basic.Properties, queue: str, left: float) -> Message:
    """Return the message again as it goes into a delay queue; `left` are the seconds to wait after that one."""
    headers = {
        name: value for name, value in (properties.headers or {}).items() if not name.lower().startswith(_BROKERS_OWN)
    }
    headers |= {DELAYED: True, DELAY_LEFT: repr(max(0.0, left))}
    again = aio_pika.Message(
        body,
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        correlation_id=properties.correlation_id,
        message_id=properties.message_id,
        timestamp=properties.timestamp,
        type=properties.message_type,
        app_id=properties.app_id,
        headers=headers,
    )
    return addressed(again, queue)


def delay_left(properties: spec.Basic.Properties) -> float:
    """Return the seconds that a message which left a delay queue still has to wait."""
    left = _number((properties.headers or {}).get(DELAY_LEFT))
    return 0.0 if left is None else left


def _envelope(
    body: bytes, properties: spec.Basic.Properties, headers: Mapping[str, Any], partition: Partition
) -> Envelope:
    """Return the envelope; a type, a key, a sequence, a schema and a time may all be missing. Raises `ValueError`."""
    if UNREADABLE in headers:
        raise ValueError(f"its properties cannot be read: {headers[UNREADABLE]}")
    id = headers.get(LONG_ID, properties.message_id)
    if not isinstance(id, str) or not 1 <= len(id) <= MAX_ID_LENGTH or "\0" in id:
        raise ValueError(f"its message id must be of 1 to {MAX_ID_LENGTH} characters, without NUL")
    type = properties.message_type or partition.type
    if type != partition.type:
        raise ValueError(f"its type is {type!r}, but it is in a queue of {partition.type!r}")
    key = headers.get(KEY)
    if key is not None:
        _check_key(key)
    return Envelope(
        id=id,
        type=type,
        body=body,
        key=key,
        sequence=_whole(headers, SEQUENCE, None, MAX_SEQUENCE),
        submitted_at=_submitted_at(properties, headers),
        trace=_trace(headers),
        schema=_whole(headers, SCHEMA, SCHEMA_VERSION, MAX_SCHEMA) or SCHEMA_VERSION,
        priority=partition.priority,
        version=_whole(headers, VERSION, 1, MAX_VERSION) or 1,
        extra=_extra(headers),
        notices=_notices(headers[NOTICES]) if NOTICES in headers else (),
    )


def _extra(headers: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the fields that this version does not know. Values that are no JSON are taken as text."""
    return {
        name.removeprefix(_OURS).replace("-", "_"): _plain(value)
        for name, value in headers.items()
        if name.startswith(_OURS) and name not in _KNOWN
    }


def _plain(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else str(value)
    except (ValueError, RecursionError):
        return value


def _notices(header: object) -> tuple[Notice, ...]:
    try:
        return unpacked(header)
    except ValueError as error:
        raise ValueError(f"its header {NOTICES} {error}") from error


def _check_key(key: object) -> None:
    try:
        bounded_key(key)
    except ValueError as error:
        raise ValueError(f"its header {KEY} {error}") from error


def _heading(properties: spec.Basic.Properties, headers: Mapping[str, Any]) -> Heading:
    """Return what can be read of a message that is no job."""
    key = headers.get(KEY)
    others = {name: str(value) for name, value in headers.items() if not name.lower().startswith(_BROKERS_OWN)}
    return Heading(
        id=properties.message_id,
        type=properties.message_type,
        key=key if isinstance(key, str) else None,
        headers=others,
    )


def _whole(headers: Mapping[str, Any], name: str, missing: int | None, most: int) -> int | None:
    value = headers.get(name)
    if value is None:
        return missing
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValueError(f"its header {name} must be a whole number from 1 to {most}")
    return value


def _submitted_at(properties: spec.Basic.Properties, headers: Mapping[str, Any]) -> float:
    """Return the time, for people, in whichever way it is given."""
    given = headers.get(SUBMITTED_AT, properties.timestamp)
    if isinstance(given, datetime):
        return given.timestamp()
    return _number(given) or 0.0


def _number(value: object) -> float | None:
    """Return a header as a number; text is taken too, because the headers' own numbers are short of precision."""
    try:
        number = float(value)  # type: ignore[arg-type]  # what is not a number raises
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _trace(headers: Mapping[str, Any]) -> dict[str, str]:
    other = headers.get(TRACE)
    found = dict(other) if isinstance(other, Mapping) else {}
    found |= {name: headers[name] for name in _TRACE_HEADERS if name in headers}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def too_large_for(envelope: Envelope, most: int) -> str | None:
    """Return why a server that takes bodies of `most` bytes cannot take a message, or None."""
    head = sum(len(text.encode()) for pair in envelope.trace.items() for text in pair)
    if envelope.extra:
        head += len(json.dumps(dict(envelope.extra)).encode())
    head += len((envelope.key or "").encode()) + len(envelope.id.encode())
    head += len(packed(envelope.notices).encode()) if envelope.notices else 0
    for what, size, limit in (("payload", len(envelope.body), most), ("header", head, MAX_HEAD_BYTES)):
        if size > limit:
            return (
                f"its {what} has {size} bytes, RabbitMQ takes {limit}; put large data into blobs and their names into "
                "the payload"
            )
    return None
