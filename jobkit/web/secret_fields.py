"""Which fields of a model are secret, or hold something that is, and by which names a payload says them."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from inspect import isclass
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo

from jobkit.model.read_back import SECRETS

_NONE: frozenset[type] = frozenset()


def holds_secrets(annotation: Any, seen: frozenset[type] = _NONE) -> bool:
    """Tell whether a value of this annotation may be a secret, or hold one; what is in `seen` is looked at already."""
    if isinstance(annotation, typing.TypeVar):
        return holds_secrets(annotation.__bound__, seen)
    kind = typing.get_origin(annotation) or annotation
    if any(holds_secrets(one, seen) for one in typing.get_args(annotation)):
        return True
    if not isclass(kind) or kind in seen:
        return False
    if issubclass(kind, SECRETS):
        return True
    return any(holds_secrets(one, seen | {kind}) for one in _within(kind))


def _within(kind: type[Any]) -> Iterable[Any]:
    """Yield what the fields of a class are declared as."""
    if issubclass(kind, BaseModel):
        return [info.annotation for info in kind.model_fields.values()]
    if is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "_fields"):
        return typing.get_type_hints(kind, include_extras=True).values()
    return ()


def keys_of(name: str, info: FieldInfo) -> Sequence[str]:
    """Return the keys of a payload that a field is read from: its aliases, and its name; of a path, the first step."""
    found = info.validation_alias
    aliases = found.choices if isinstance(found, AliasChoices) else [info.alias if found is None else found]
    heads = [one.path[0] if isinstance(one, AliasPath) else one for one in aliases]
    return list(dict.fromkeys([*(str(one) for one in heads if one is not None), name]))


def fields_by_key(model: type[BaseModel]) -> Mapping[str, Sequence[str]]:
    """Return the names of the fields that may be read from each key of a payload."""
    found: dict[str, list[str]] = {}
    for name, info in model.model_fields.items():
        for key in keys_of(name, info):
            found.setdefault(key, []).append(name)
    return found


def secret_keys(model: type[BaseModel]) -> frozenset[str]:
    """Return the keys of a payload from which something secret may be read."""
    fields = model.model_fields.items()
    return frozenset(key for name, info in fields if holds_secrets(info.annotation) for key in keys_of(name, info))


def reads_paths(model: type[BaseModel]) -> bool:
    """Tell whether fields are read from within others: what is at a key is no field's then."""
    aliases = [info.validation_alias for info in model.model_fields.values()]
    choices = [one.choices if isinstance(one, AliasChoices) else [one] for one in aliases]
    return any(isinstance(one, AliasPath) for some in choices for one in some)
