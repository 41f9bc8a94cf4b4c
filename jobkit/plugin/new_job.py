"""From a payload to a job that a store accepts: validated, with an id, a key and a bounded body."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from jobkit.errors import PayloadInvalid
from jobkit.model import due
from jobkit.model import names as rules
from jobkit.model.envelope import Envelope
from jobkit.model.ids import new_job_id
from jobkit.model.priority import Priority
from jobkit.model.safe_text import shown
from jobkit.model.unique import Unique
from jobkit.plugin.groups import AnyProcessor, enclosed
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import checked_key
from jobkit.ports.store import NewJob


def new_job(
    processor: AnyProcessor,
    payload: Payload | Mapping[str, Any] | bytes,
    *,
    max_bytes: int,
    key: str | None = None,
    id: str | None = None,
    submitted_at: float = 0.0,
    trace: Mapping[str, str] | None = None,
    at: datetime | None = None,
    after: timedelta | None = None,
    expires: datetime | timedelta | None = None,
    priority: str | None = None,
    tenant: str | None = None,
    unique: Unique | None = None,
) -> NewJob:
    """Return the job of a processor that `payload` asks for.

    Raises `PayloadInvalid`, or `ValueError` where it cannot be told when it is due, or the type does not know its
    priority, or tenants.
    """
    when = (*due.told(at, after), *due.told_expiry(expires))
    urgency = processor.priority_for(priority)
    parsed = _parsed(processor, payload)
    processor.limits_of(parsed)
    tenancy = processor.tenancy_of(parsed, tenant)
    body = enclosed(processor, processor.dump(parsed))
    refuse_large(processor.name, body, max_bytes)
    key = processor.key_of(parsed) if key is None else checked_key(key)
    envelope = new_envelope(processor.kept_as, body, key, id, submitted_at, trace, urgency, processor.version)
    return NewJob(envelope, processor.ordered, *when, unique, tenancy=tenancy)


def new_envelope(
    kept_as: str,
    body: bytes,
    key: str | None,
    id: str | None,
    submitted_at: float,
    trace: Mapping[str, str] | None,
    priority: Priority,
    version: int,
) -> Envelope:
    """Return the envelope of a new job, with an id of its own where none is given. Raises `PayloadInvalid`.

    `version` is that of its payload.
    """
    return Envelope(
        id=new_job_id() if id is None else checked_id(id),
        type=kept_as,
        body=body,
        key=key,
        submitted_at=submitted_at,
        trace=trace or {},
        priority=priority,
        version=version,
    )


def _parsed(processor: AnyProcessor, payload: Payload | Mapping[str, Any] | bytes) -> Payload:
    model: type[Payload] = processor.payload
    found: Payload
    if _is_own_main(payload, model):
        found = processor.parse(payload.model_dump_json().encode())
    elif isinstance(payload, Payload):
        if not isinstance(payload, model):
            raise PayloadInvalid(
                f"job type {processor.name!r} takes a {model.__name__}, not a {payload.__class__.__name__}"
            )
        found = payload
    elif isinstance(payload, bytes):
        found = processor.parse(payload)
    else:
        found = processor.from_mapping(payload)
    return found


def _is_own_main(payload: object, model: type[Payload]) -> TypeGuard[Payload]:
    """Return whether `payload` is of the class `model`, loaded a second time as a part of the program that runs.

    A script that submits to a processor in its own file has that file twice: as `__main__`, and as the plugin.
    """
    return (
        isinstance(payload, Payload)
        and not isinstance(payload, model)
        and payload.__class__.__module__ == "__main__"
        and payload.__class__.__qualname__ == model.__qualname__
    )


def refuse_large(type: str, body: bytes, max_bytes: int) -> None:
    """Raise `PayloadInvalid` where a job's body is larger than allowed."""
    if len(body) > max_bytes:
        raise PayloadInvalid(
            f"payload of type {type!r} has {len(body)} bytes, more than JOBKIT_MAX_PAYLOAD_BYTES allows "
            f"({max_bytes}); put large data in a file and its path in the payload"
        )


def checked_id(id: str) -> str:
    """Return `id` if it may name a job. Raises `PayloadInvalid` otherwise."""
    try:
        plain = rules.JOB_ID.check(id)
    except ValueError as error:
        raise PayloadInvalid(str(error)) from error
    if not plain.isprintable():
        raise PayloadInvalid(f"a job id must be of printable characters, not {shown(id)}")
    return plain
