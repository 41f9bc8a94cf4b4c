"""What a job type takes and returns, as JSON Schema: what is published for programs without its code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from jobkit.errors import TypeUnreadable
from jobkit.model.priority import Priority
from jobkit.model.safe_text import shown, storable
from jobkit.plugin.groups import AnyProcessor
from jobkit.ports.types import PublishedType

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Of what a definition looks like in the store.
_FORMAT = 1
_DESCRIPTION_CHARACTERS = 2_000

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """One job type: JSON Schemas of its payload and its result. Where it is in a `group`, jobs are kept under that.

    An `ordered` one needs a key from a submitter without its code. `priority` is that of jobs that say none; without
    one the type knows no priorities. `version` is that of its payloads. Where it has tenants, each has so many
    `places`, and a submitter without its code says whose a job is. `published_at` is when a worker said so last, in
    Unix seconds.
    """

    name: str
    group: str | None
    ordered: bool
    description: str
    payload: Schema
    result: Schema
    priority: Priority | None = None
    version: int = 1
    places: int | None = None
    published_at: float = 0.0

    @property
    def kept_as(self) -> str:
        """The job type that its jobs have in queues, leases and the store."""
        return self.group or self.name


def definition_of(processor: AnyProcessor) -> TypeDefinition:
    """Return the definition of a processor's type. What JSON Schema cannot say may be anything."""
    description = inspect.getdoc(processor.function) or ""
    return TypeDefinition(
        name=processor.name,
        group=processor.group,
        ordered=processor.ordered,
        description=storable(description)[:_DESCRIPTION_CHARACTERS],
        payload=_schema(processor.payload, "validation"),
        result=_schema(processor.result, "serialization"),
        priority=processor.priority,
        version=processor.version,
        places=None if processor.tenants is None else processor.tenants.places,
    )


def published(definition: TypeDefinition) -> PublishedType:
    """Return a definition as the store keeps it."""
    fields = {name: value for name, value in asdict(definition).items() if name != "published_at"}
    return PublishedType(definition.name, json.dumps({"format": _FORMAT, **fields}).encode())


def definition_in(type: PublishedType) -> TypeDefinition:
    """Return the definition that the store keeps. Raises `TypeUnreadable` where another version has written it."""
    try:
        fields = json.loads(type.definition)
        if fields.pop("format") != _FORMAT:
            raise ValueError("its format is another")
        priority = fields.pop("priority", None)
        read = TypeDefinition(**fields, priority=None if priority is None else Priority(priority))
        return replace(read, published_at=type.published_at)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TypeUnreadable(
            f"job type {type.name!r} was published by another version of jobkit: {shown(error)}"
        ) from error


class _AnythingElse(GenerateJsonSchema):
    """Writes what JSON Schema has no words for as what may be anything: the worker has the last word."""

    # Warnings are of defaults that JSON cannot say, which are left out.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  (pydantic's own attribute)

    def handle_invalid_for_json_schema(
        self,
        schema: core_schema.CoreSchema,  # noqa: ARG002  (pydantic's signature)
        error_info: str,  # noqa: ARG002
    ) -> JsonSchemaValue:
        return {}


def _schema(type: Any, mode: Literal["validation", "serialization"]) -> Schema:
    schema = TypeAdapter(type).json_schema(mode=mode, by_alias=True, schema_generator=_AnythingElse)
    return {"$schema": DIALECT, **schema}
