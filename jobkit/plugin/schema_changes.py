"""What has become of a payload's schema: the changes by which what was valid is valid no more.

It looks at JSON Schemas as pydantic writes them, and says nothing of what it cannot judge, such as a validator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobkit.model.safe_text import shown

Schema = Mapping[str, Any]

# Bounds, and whether a greater value takes less.
_BOUNDS = {
    "minimum": True,
    "exclusiveMinimum": True,
    "minLength": True,
    "minItems": True,
    "maximum": False,
    "exclusiveMaximum": False,
    "maxLength": False,
    "maxItems": False,
}
# What takes less wherever it is another, or is new.
_FIXED = ("pattern", "format", "multipleOf", "uniqueItems")
# Models that contain themselves have no end.
_DEEPEST = 30


def narrowed(before: Schema, after: Schema) -> list[str]:
    """Return what `after` does not take any more of what `before` took, each as `field: what`."""
    return list(_Comparison(before, after).of(before, after, "payload", 0))


class _Comparison:
    """Compares two schemas, each of which refers to definitions of its own."""

    def __init__(self, before: Schema, after: Schema) -> None:
        self._before = before.get("$defs", {})
        self._after = after.get("$defs", {})

    def of(self, before: object, after: object, where: str, depth: int) -> Iterator[str]:
        """Yield what `after` takes no more of what is at this place."""
        old, new = _resolved(before, self._before), _resolved(after, self._after)
        if old == new or new is True or new == {} or depth > _DEEPEST:
            return
        if not isinstance(new, Mapping):
            yield f"{where}: nothing is taken any more"
            return
        if not isinstance(old, Mapping) or not _says_anything(old):
            yield f"{where}: anything was taken, and is not any more"
            return
        choices, kept = _choices(old), _choices(new)
        if len(choices) > 1 or len(kept) > 1:
            for choice in choices:
                if all(any(self.of(choice, one, where, depth + 1)) for one in kept):
                    yield f"{where}: {_named(_resolved(choice, self._before))} is not taken any more"
            return
        yield from _values(old, new, where)
        yield from self._fields(old, new, where, depth)
        for name in ("items", "additionalProperties"):
            if name in old and name in new and old[name] is not False and new[name] is not False:
                yield from self.of(old[name], new[name], f"{where}[]", depth + 1)
        yield from self._places(old.get("prefixItems"), new.get("prefixItems"), where, depth)

    def _fields(self, old: Schema, new: Schema, where: str, depth: int) -> Iterator[str]:
        had, has = old.get("properties", {}), new.get("properties", {})
        for name, field in had.items():
            if name in has:
                yield from self.of(field, has[name], _within(where, name), depth + 1)
            elif new.get("additionalProperties", True) is False:
                yield f"{_within(where, name)}: it was removed"
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                yield f"{_within(where, name)}: it is required" + ("" if name in had else ", and was not there")

    def _places(self, old: object, new: object, where: str, depth: int) -> Iterator[str]:
        if isinstance(old, Sequence) and isinstance(new, Sequence):
            for place, (one, other) in enumerate(zip(old, new, strict=False)):
                yield from self.of(one, other, f"{where}[{place}]", depth + 1)


def _resolved(schema: object, definitions: Mapping[str, object]) -> object:
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            break
        schema = definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
    return schema


def _says_anything(schema: Schema) -> bool:
    return any(name in schema for name in ("type", "enum", "const", "anyOf", "oneOf", "allOf", "properties"))


def _choices(schema: Schema) -> Sequence[object]:
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return list(schema[name])
    return [schema]


def _values(old: Schema, new: Schema, where: str) -> Iterator[str]:
    """Yield what single values are taken no more."""
    if not _types(old) <= _wider(_types(new)):
        yield f"{where}: it was {_named(old)}, and is {_named(new)}"
        return
    allowed = _allowed(new)
    if allowed is not None:
        gone = [value for value in _allowed(old) or () if value not in allowed]
        if _allowed(old) is None or gone:
            yield f"{where}: it takes only {', '.join(map(shown, allowed))}"
    for name, greater_is_less in _BOUNDS.items():
        if name in new and (name not in old or (new[name] > old[name] if greater_is_less else new[name] < old[name])):
            yield f"{where}: {name} is {new[name]}" + (f", and was {old[name]}" if name in old else "")
    for name in _FIXED:
        if name in new and new[name] != old.get(name):
            yield f"{where}: {name} is {new[name]}" + (f", and was {old[name]}" if name in old else "")


def _types(schema: Schema) -> set[str]:
    told = schema.get("type")
    return {told} if isinstance(told, str) else set(told or ())


def _wider(types: set[str]) -> set[str]:
    if not types:
        return {"string", "number", "integer", "boolean", "null", "array", "object"}
    return types | {"integer"} if "number" in types else types


def _allowed(schema: Schema) -> Sequence[object] | None:
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    return list(found) if found is not None else None


def _named(schema: object) -> str:
    if not isinstance(schema, Mapping):
        return shown(schema)
    if (allowed := _allowed(schema)) is not None:
        return f"one of {', '.join(map(shown, allowed))}"
    return " or ".join(sorted(_types(schema))) or str(schema.get("title", "anything"))


def _within(where: str, name: str) -> str:
    return name if where == "payload" else f"{where}.{name}"
