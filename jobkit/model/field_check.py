"""What can be told of a model before there is a value of it: fields that would never read back as they were given."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator
from inspect import isclass
from typing import Any

from pydantic import BaseModel, PlainSerializer, WrapSerializer
from pydantic.fields import FieldInfo

from jobkit.model.read_back import HOW_TO_KEEP_ONE, SECRETS


def unreadable_fields(annotation: Any) -> list[str]:
    """Return a sentence for each field of the models in a type that would not read back as it was written."""
    found: list[str] = []
    for model in _models(annotation, set()):
        for name, field in model.model_fields.items():
            problem = _problem(model, name, field)
            if problem is not None:
                found.append(f"{model.__name__}.{name} {problem}")
        if model.model_config.get("ser_json_inf_nan") == "constants":
            found.append(f"{model.__name__} writes NaN as it is, which is no JSON: use ser_json_inf_nan='strings'")
    return found


def _problem(model: type[BaseModel], name: str, field: FieldInfo) -> str | None:
    if _is_written_by_the_author(model, name, field):
        # Then only a value can tell.
        return None
    if field.exclude:
        return "is declared with exclude=True, so it would not be written: remove that, or use a PrivateAttr"
    if any(isclass(part) and issubclass(part, SECRETS) for part in _parts(field.annotation)):
        return f"is a secret, which is written as asterisks: {HOW_TO_KEEP_ONE}"
    if field.serialization_alias not in (None, name, field.validation_alias):
        return (
            f"is written as {field.serialization_alias!r} and read as {field.validation_alias or name!r}: "
            "give it one alias for both"
        )
    if isinstance(field.default, float) and not math.isfinite(field.default):
        infinity = model.model_config.get("ser_json_inf_nan")
        return None if infinity == "strings" else f"is {field.default} by default, which JSON cannot say"
    return None


def _is_written_by_the_author(model: type[BaseModel], name: str, field: FieldInfo) -> bool:
    decorators = model.__pydantic_decorators__
    if decorators.model_serializers:
        return True
    if any(isinstance(one, PlainSerializer | WrapSerializer) for one in field.metadata):
        return True
    return any({name, "*"} & set(one.info.fields) for one in decorators.field_serializers.values())


def _models(annotation: Any, seen: set[type]) -> Iterator[type[BaseModel]]:
    """Yield the models in a type, and those within them."""
    for part in _parts(annotation):
        if isclass(part) and issubclass(part, BaseModel) and part not in seen:
            seen.add(part)
            yield part
            for field in part.model_fields.values():
                yield from _models(field.annotation, seen)


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield a type and all that it is made of: `list[A | None]` is a list, A and None."""
    metadata = getattr(annotation, "__metadata__", ())
    if any(isinstance(one, PlainSerializer | WrapSerializer) for one in metadata):
        # Written by the author: only a value can tell.
        return
    origin = typing.get_origin(annotation)
    yield annotation if origin is None else origin
    for argument in typing.get_args(annotation):
        yield from _parts(argument)
