"""Jobs of types whose code is not here: checked against what their workers have published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic_core import from_json

from jobkit.client.schema_check import problems
from jobkit.errors import PayloadInvalid
from jobkit.model import due
from jobkit.model.clock import Clock
from jobkit.model.priority import chosen_priority
from jobkit.model.read_back import dump_untyped
from jobkit.model.unique import Unique
from jobkit.plugin.groups import in_group
from jobkit.plugin.new_job import new_envelope, refuse_large
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import checked_key
from jobkit.plugin.tenants import told_tenancy
from jobkit.plugin.type_definition import TypeDefinition, definition_in
from jobkit.ports.store import NewJob
from jobkit.ports.types import Types

# For so long what was published is taken to be so still; what does not pass is looked at anew before it is refused.
_REMEMBERED_SECONDS = 30.0


class PublishedTypes:
    """The types that workers have published, as far as this process has asked for them."""

    def __init__(self, types: Types, clock: Clock) -> None:
        self._types = types
        self._clock = clock
        self._known: dict[str, tuple[TypeDefinition, float]] = {}

    async def get(self, name: str) -> TypeDefinition | None:
        """Return a type, or None where no worker has published it. Raises `TypeUnreadable` or `Unavailable`."""
        known = self._known.get(name)
        if known is not None and self._clock.now() - known[1] < _REMEMBERED_SECONDS:
            return known[0]
        return await self._look(name)

    async def passed(self, type: TypeDefinition, payload: object) -> tuple[TypeDefinition, object]:
        """Return the payload as JSON has it, with the type by whose latest schema it is valid.

        Raises `PayloadInvalid` naming the fields that are not, or `Unavailable`.
        """
        values = _plain(type.name, payload)
        if problems(type.payload, values):
            type = await self._look(type.name) or type
            if found := problems(type.payload, values):
                raise PayloadInvalid(
                    f"payload of type {type.name!r} is not valid by the schema that its workers published: "
                    f"{'; '.join(found)}"
                )
        return type, values

    async def _look(self, name: str) -> TypeDefinition | None:
        self._known.pop(name, None)
        for kept in await self._types.types([name]):
            self._known[name] = (definition_in(kept), self._clock.now())
            return self._known[name][0]
        return None


def new_job(
    type: TypeDefinition,
    values: object,
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
    """Return a job of a published type. Without a key, the worker that has the code makes it.

    Raises `PayloadInvalid`, also where an ordered type has no key, or one with tenants no tenant, or `ValueError` for a
    time, a priority, or a tenant of a type that has none.
    """
    when = (*due.told(at, after), *due.told_expiry(expires))
    urgency = chosen_priority(type.name, priority, type.priority)
    if type.ordered and key is None:
        raise PayloadInvalid(
            f"job type {type.name!r} is ordered, and only its code makes a key of a payload: say which by key="
        )
    body = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
    body = body if type.group is None else in_group(type.name, body)
    refuse_large(type.name, body, max_bytes)
    key = None if key is None else checked_key(key)
    envelope = new_envelope(type.kept_as, body, key, id, submitted_at, trace, urgency, type.version)
    return NewJob(envelope, type.ordered, *when, unique, tenancy=told_tenancy(type.name, tenant, type.places))


def _plain(type: str, payload: object) -> object:
    """Return a payload as JSON has it. Raises `PayloadInvalid` where it is none."""
    try:
        if isinstance(payload, bytes):
            raw = payload
        elif isinstance(payload, Payload):
            raw = payload.model_dump_json(by_alias=True).encode()
        else:
            raw = dump_untyped(payload, "payload")
        plain: object = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise PayloadInvalid(f"payload of type {type!r} is not JSON: {error}") from error
    return plain
